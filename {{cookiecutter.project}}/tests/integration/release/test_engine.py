"""Promotions and rollbacks on the ``process`` platform: real git, real processes."""

from __future__ import annotations

import json
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from release.change import Change
from release.engine import Machine
from release.errors import (
    ApprovalMissing,
    CrashResidue,
    GateRefused,
    HistoryCorrupt,
    Locked,
    NoRollbackTarget,
    NotVerified,
    PreconditionFailed,
    PushFailed,
    ReleaseError,
    RolledBack,
)
from release.git import Repository
from release.ledger import Event, Ledger
from release.policy import Environment
from release.progress import Progress
from release.status import look, story
from tests.workshop import Workshop, git


def serving(environment: Environment) -> str:
    """Ask the environment's own address which release it is."""
    address = f"http://{environment.host}:{environment.port}/version"
    with urllib.request.urlopen(address, timeout=5) as response:
        return str(json.load(response)["release"])


def stories(workshop: Workshop, environment: Environment) -> list[tuple[str, str, str]]:
    events = story(workshop.ledger().history(environment.name))
    return [(event.kind, event.release, event.outcome) for event in events]


def test_a_promotion_serves_the_release_and_is_recorded(workshop: Workshop) -> None:
    release = workshop.release()
    event = workshop.promote(release, workshop.staging)
    assert serving(workshop.staging) == release.version
    assert event.outcome == "verified"
    recorded, pending = workshop.ledger().history("staging")
    assert recorded.caused_by == pending.sha
    assert recorded.actor == "Ada <ada@example.com>"
    assert (recorded.digest, recorded.gate) == (release.digest, "passed")
    assert float(recorded.duration_s) > 0


def test_promoting_what_serves_already_writes_no_event(workshop: Workshop) -> None:
    release = workshop.release()
    workshop.promote(release, workshop.staging)
    before = workshop.ledger().head("staging")
    plan = workshop.machine.plan_promotion(workshop.staging, release.version)
    assert plan.nothing_to_do
    assert workshop.ledger().head("staging") == before


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (b"crash at start", "this model crashes at start"),
        (b"never ready", "was not ready after 3 s"),
        (b"wrong predictions", "the gated model said"),
        (b"wrong version", "says digest 'sha256:another'"),
    ],
)
def test_a_bad_release_rolls_itself_back(workshop: Workshop, model: bytes, reason: str) -> None:
    good = workshop.release()
    workshop.promote(good, workshop.staging)
    bad = workshop.release(model)
    with pytest.raises(RolledBack) as refusal:
        workshop.promote(bad, workshop.staging)
    assert reason in refusal.value.why
    assert serving(workshop.staging) == good.version
    assert stories(workshop, workshop.staging)[0] == ("promote", bad.version, "rolled-back")
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift


def test_a_bad_first_release_leaves_the_environment_empty(workshop: Workshop) -> None:
    with pytest.raises(RolledBack):
        workshop.promote(workshop.release(b"wrong predictions"), workshop.staging)
    assert not workshop.machine.observe(workshop.staging).instances
    assert look(workshop.machine, workshop.ledger(), workshop.staging).release == ""


def test_a_rollback_goes_past_a_bad_release_and_then_further_back(workshop: Workshop) -> None:
    releases = [workshop.release(model) for model in (b"one", b"two", b"three")]
    for release in releases:
        workshop.promote(release, workshop.staging)
    with pytest.raises(RolledBack):
        workshop.promote(workshop.release(b"wrong predictions"), workshop.staging)
    assert workshop.rollback(workshop.staging).release == releases[1].version
    assert workshop.rollback(workshop.staging).release == releases[0].version
    assert serving(workshop.staging) == releases[0].version
    with pytest.raises(NoRollbackTarget, match="nothing to go back to") as refusal:
        workshop.rollback(workshop.staging)
    assert refusal.value.state == "staging unchanged"
    assert serving(workshop.staging) == releases[0].version


def test_a_rollback_to_a_named_release_wants_it_verified_here(workshop: Workshop) -> None:
    first, second, third = (workshop.release(model) for model in (b"one", b"two", b"three"))
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    with pytest.raises(NoRollbackTarget, match="never served in staging"):
        workshop.rollback(workshop.staging, third.version)
    assert workshop.rollback(workshop.staging, first.version).release == first.version


def test_a_rollback_that_is_not_verified_keeps_what_serves(
    workshop: Workshop, tmp_path: Path
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    # The files of the older release are damaged on the serving machine in a way that its record
    # cannot know.
    python = (
        tmp_path / "state" / "workshop" / "releases" / first.version / "venv" / "bin" / "python"
    )
    python.unlink()
    with pytest.raises(NotVerified):
        workshop.rollback(workshop.staging)
    assert serving(workshop.staging) == second.version
    assert stories(workshop, workshop.staging)[0] == ("rollback", first.version, "failed")


def test_prod_wants_staging_and_an_approval_of_this_digest(workshop: Workshop) -> None:
    release = workshop.release()
    with pytest.raises(PreconditionFailed, match="was not verified in staging"):
        workshop.promote(release, workshop.prod)
    workshop.promote(release, workshop.staging)
    git(workshop.folder, "tag", "--delete", f"approval/prod/{release.version}")
    git(
        workshop.folder, "push", "--quiet", "--delete", "origin", f"approval/prod/{release.version}"
    )
    with pytest.raises(ApprovalMissing, match="nobody has approved"):
        workshop.machine.plan_promotion(workshop.prod, None)
    message = f"approve it\n\nDigest: sha256:{'0' * 64}"
    git(
        workshop.folder,
        "tag",
        "--annotate",
        f"approval/prod/{release.version}",
        "--message",
        message,
    )
    with pytest.raises(ApprovalMissing, match="nobody has approved"):
        workshop.machine.plan_promotion(workshop.prod, None)
    git(workshop.folder, "tag", "--delete", f"approval/prod/{release.version}")
    event = workshop.promote(release, workshop.prod)
    assert event.approved_by == "Ada <ada@example.com>"


def test_a_release_without_a_passed_gate_is_refused(workshop: Workshop) -> None:
    with pytest.raises(GateRefused, match="no passed gate"):
        workshop.promote(workshop.release(gate="failed"), workshop.staging)


def test_of_two_promotions_at_once_one_wins_and_the_other_says_who_holds_it(
    workshop: Workshop,
) -> None:
    release = workshop.release()
    outcomes: list[Event | ReleaseError] = []
    plans = [workshop.machine.plan_promotion(workshop.staging, release.version) for _ in range(2)]

    def promote(number: int) -> None:
        try:
            outcomes.append(workshop.machine.promote(plans[number], Progress()))
        except ReleaseError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=promote, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (lost,) = (outcome for outcome in outcomes if isinstance(outcome, ReleaseError))
    assert isinstance(lost, Locked)
    assert (
        "Ada <ada@example.com> holds it since" in lost.why
        or "wrote to its history first" in lost.why
    )
    assert stories(workshop, workshop.staging) == [("promote", release.version, "verified")]


def test_a_rollback_preempts_a_promotion(workshop: Workshop) -> None:
    first, second, slow = (workshop.release(m) for m in (b"one", b"two", b"never ready"))
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    lost: list[ReleaseError] = []

    def promote() -> None:
        try:
            workshop.promote(slow, workshop.staging)
        except ReleaseError as error:
            lost.append(error)

    thread = threading.Thread(target=promote)
    thread.start()
    while not workshop.ledger().history("staging")[0].is_pending:
        thread.join(0.05)
    event = workshop.rollback(workshop.staging)
    thread.join()
    assert event.release == second.version
    assert serving(workshop.staging) == second.version
    assert isinstance(lost[0], Locked)
    assert stories(workshop, workshop.staging)[0] == ("rollback", second.version, "verified")


def test_the_whole_story_is_told_from_a_fresh_clone(workshop: Workshop, tmp_path: Path) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    workshop.rollback(workshop.staging)
    git(tmp_path, "clone", "--quiet", str(tmp_path / "remote.git"), "elsewhere")
    machine = Machine(Repository(tmp_path / "elsewhere"), workshop.machine.policy)
    elsewhere = Workshop(tmp_path / "elsewhere", machine)
    assert elsewhere.ledger().history("staging") == workshop.ledger().history("staging")
    assert elsewhere.ledger().bundle(first.version) == workshop.ledger().bundle(first.version)
    assert git(elsewhere.folder, "for-each-ref", "refs/heads/env") == ""


def test_without_the_remote_a_promotion_stops_and_a_rollback_goes_on(
    workshop: Workshop, tmp_path: Path
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    remote = tmp_path / "remote.git"
    remote.rename(tmp_path / "gone.git")
    third = Ledger.open(workshop.machine.repository).versions()[0]
    with pytest.raises(PushFailed, match="does not answer"):
        workshop.machine.plan_promotion(workshop.staging, third)
    workshop.rollback(workshop.staging)
    assert serving(workshop.staging) == first.version
    (tmp_path / "gone.git").rename(remote)
    workshop.promote(workshop.release(b"four"), workshop.staging)
    there = git(remote, "rev-parse", "env/staging")
    assert there == git(workshop.folder, "rev-parse", "env/staging")


def test_two_histories_that_parted_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    workshop.promote(workshop.release(), workshop.staging)
    orphan = git(workshop.folder, "commit-tree", "HEAD^{tree}", "-m", "another history")
    true_one = git(tmp_path / "remote.git", "rev-parse", "env/staging")
    git(workshop.folder, "push", "--quiet", "--force", "origin", f"{orphan}:refs/heads/env/staging")
    with pytest.raises(HistoryCorrupt, match="two histories of env/staging"):
        workshop.ledger().history("staging")
    git(
        workshop.folder,
        "push",
        "--quiet",
        "--force",
        "origin",
        f"{true_one}:refs/heads/env/staging",
    )


def test_deploy_brings_back_what_git_says_and_status_shows_the_drift(workshop: Workshop) -> None:
    release = workshop.release()
    workshop.promote(release, workshop.staging)
    workshop.machine.stop(workshop.staging)
    assert look(workshop.machine, workshop.ledger(), workshop.staging).drift == "nothing runs"
    workshop.machine.deploy(workshop.staging, Progress())
    assert serving(workshop.staging) == release.version
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift


@pytest.mark.parametrize(("dies_in", "outcome"), [("apply", "aborted"), ("verify", "verified")])
def test_recover_ends_what_a_dead_promotion_began(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, dies_in: str, outcome: str
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    workshop.promote(first, workshop.staging)
    expired = replace(workshop.machine.policy, lease_s=-60)
    dying = replace(workshop, machine=replace(workshop.machine, policy=expired))

    def die(change: Change) -> None:
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Change, dies_in, die)
        dying.promote(second, workshop.staging)
    with pytest.raises(CrashResidue, match="died half-way") as residue:
        workshop.machine.plan_promotion(workshop.staging, second.version)
    assert residue.value.next_step == "invoke recover --env staging"
    assert workshop.machine.recover(workshop.staging, Progress()).outcome == outcome
    assert serving(workshop.staging) == (second if outcome == "verified" else first).version
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift
    with pytest.raises(PreconditionFailed, match="nothing to recover"):
        workshop.machine.recover(workshop.staging, Progress())


def test_recover_leaves_a_living_promotion_alone(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = workshop.release()

    def die(change: Change) -> None:
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Change, "apply", die)
        workshop.promote(release, workshop.staging)
    with pytest.raises(Locked, match="locked by a promote"):
        workshop.machine.recover(workshop.staging, Progress())
