"""The engine's decisions, on a platform in memory and with real git."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.release.audit import audit
from toolkit.release.change import Change
from toolkit.release.engine import Machine
from toolkit.release.errors import (
    CrashResidue,
    GateRefused,
    HistoryCorrupt,
    Locked,
    NoRollbackTarget,
    NotServing,
    NotVerified,
    PreconditionFailed,
    PushFailed,
    ReleaseError,
    ReleaseFailed,
    RollbackFailed,
    RolledBack,
)
from toolkit.release.event import Event
from toolkit.release.git import Repository
from toolkit.release.policy import Environment
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.release.status import look, story
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop, git


@pytest.fixture
def workshop(tmp_path: Path, platforms: dict[str, InMemoryPlatform]) -> Iterator[Workshop]:
    """A repository without a remote, whose history has no finding after the test."""
    workshop = Workshop.open(tmp_path / "clone", None)
    yield workshop
    assert audit(workshop.ledger(), workshop.machine.policy).findings == []


@pytest.fixture
def shared_workshop(tmp_path: Path, platforms: dict[str, InMemoryPlatform]) -> Iterator[Workshop]:
    """A repository with a bare remote, whose history has no finding after the test."""
    workshop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    yield workshop
    assert audit(workshop.ledger(), workshop.machine.policy).findings == []


def serving(workshop: Workshop, environment: Environment) -> str:
    """Return the release that the environment serves, which must be the desired one."""
    seen = look(workshop.machine, workshop.ledger(), environment)
    assert not seen.drift
    return seen.release


def stories(workshop: Workshop, environment: Environment) -> list[tuple[str, str, str]]:
    events = story(workshop.ledger().history(environment.name))
    return [(event.kind, event.release, event.outcome) for event in events]


def test_31_promoting_what_serves_already_writes_no_event(workshop: Workshop) -> None:
    release = workshop.release()
    workshop.promote(release, workshop.staging)
    before = workshop.ledger().head("staging")
    plan = workshop.machine.plan_promotion(workshop.staging, release.version)
    assert plan.nothing_to_do
    assert workshop.ledger().head("staging") == before


def test_a_release_that_should_serve_already_and_does_not_is_refused(
    workshop: Workshop, platform: InMemoryPlatform
) -> None:
    release = workshop.release()
    workshop.promote(release, workshop.staging)
    platform.release = None
    with pytest.raises(PreconditionFailed, match="should serve") as refusal:
        workshop.machine.plan_promotion(workshop.staging, release.version)
    assert refusal.value.next_step == "invoke deploy --env staging"


def test_a_bad_first_release_leaves_the_environment_empty(workshop: Workshop) -> None:
    with pytest.raises(RolledBack):
        workshop.promote(workshop.release(b"wrong predictions"), workshop.staging)
    assert not workshop.machine.observe(workshop.staging).instances
    assert look(workshop.machine, workshop.ledger(), workshop.staging).release == ""


def test_23_24_25_a_rollback_goes_past_a_bad_release_and_then_further_back(
    workshop: Workshop,
) -> None:
    releases = [workshop.release(model) for model in (b"one", b"two", b"three")]
    for release in releases:
        workshop.promote(release, workshop.staging)
    with pytest.raises(RolledBack):
        workshop.promote(workshop.release(b"wrong predictions"), workshop.staging)
    assert workshop.rollback(workshop.staging).release == releases[1].version
    assert workshop.rollback(workshop.staging).release == releases[0].version
    assert serving(workshop, workshop.staging) == releases[0].version
    with pytest.raises(NoRollbackTarget, match="no release to roll back to") as refusal:
        workshop.rollback(workshop.staging)
    assert refusal.value.exit_code == 40
    assert refusal.value.state == "staging unchanged"
    assert serving(workshop, workshop.staging) == releases[0].version


def test_a_rollback_to_a_named_release_wants_it_verified_here(workshop: Workshop) -> None:
    first, second, third = (workshop.release(model) for model in (b"one", b"two", b"three"))
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    with pytest.raises(NoRollbackTarget, match="was never verified in staging"):
        workshop.rollback(workshop.staging, third.version)
    assert workshop.rollback(workshop.staging, first.version).release == first.version


def test_10_prod_wants_the_release_verified_in_staging(shared_workshop: Workshop) -> None:
    release = shared_workshop.release()
    with pytest.raises(PreconditionFailed, match="was not verified in staging"):
        shared_workshop.promote(release, shared_workshop.prod)
    shared_workshop.promote(release, shared_workshop.staging)
    event = shared_workshop.promote(release, shared_workshop.prod)
    assert event.approved_by == "Ada <ada@example.com>"


def test_09_a_release_without_a_passed_gate_is_refused(workshop: Workshop) -> None:
    with pytest.raises(GateRefused, match="has not passed the gate"):
        workshop.promote(workshop.release(gate="failed"), workshop.staging)


def test_07_of_two_promotions_at_once_one_wins_and_the_other_names_it(
    shared_workshop: Workshop,
) -> None:
    release = shared_workshop.release()
    outcomes: list[Event | ReleaseError] = []
    plans = [
        shared_workshop.machine.plan_promotion(shared_workshop.staging, release.version)
        for _ in range(2)
    ]

    def promote(number: int) -> None:
        try:
            outcomes.append(shared_workshop.machine.promote(plans[number], Progress()))
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
        "Ada <ada@example.com> took the lock at" in lost.why
        or "has written to its history" in lost.why
    )
    assert stories(shared_workshop, shared_workshop.staging) == [
        ("promote", release.version, "verified")
    ]


def test_a_fresh_clone_shows_the_whole_history(shared_workshop: Workshop, tmp_path: Path) -> None:
    first, second = shared_workshop.release(b"one"), shared_workshop.release(b"two")
    for release in (first, second):
        shared_workshop.promote(release, shared_workshop.staging)
    shared_workshop.rollback(shared_workshop.staging)
    git(tmp_path, "clone", "--quiet", str(tmp_path / "remote.git"), "elsewhere")
    machine = Machine(Repository(tmp_path / "elsewhere"), shared_workshop.machine.policy)
    elsewhere = Workshop(tmp_path / "elsewhere", machine)
    assert elsewhere.ledger().history("staging") == shared_workshop.ledger().history("staging")
    assert elsewhere.ledger().bundle(first.version) == shared_workshop.ledger().bundle(
        first.version
    )
    assert git(elsewhere.folder, "for-each-ref", "refs/heads/env") == ""


def test_27_without_the_remote_a_promotion_stops_and_a_rollback_goes_on(
    shared_workshop: Workshop, tmp_path: Path
) -> None:
    first, second = shared_workshop.release(b"one"), shared_workshop.release(b"two")
    for release in (first, second):
        shared_workshop.promote(release, shared_workshop.staging)
    third = shared_workshop.release(b"three").version
    remote = tmp_path / "remote.git"
    remote.rename(tmp_path / "gone.git")
    with pytest.raises(PushFailed, match="does not answer"):
        shared_workshop.machine.plan_promotion(shared_workshop.staging, third)
    shared_workshop.rollback(shared_workshop.staging)
    assert serving(shared_workshop, shared_workshop.staging) == first.version
    (tmp_path / "gone.git").rename(remote)
    next_command = Machine(Repository(shared_workshop.folder), shared_workshop.machine.policy)
    shared_workshop = replace(shared_workshop, machine=next_command)
    shared_workshop.unhold(shared_workshop.staging)
    shared_workshop.promote(shared_workshop.release(b"four"), shared_workshop.staging)
    there = git(remote, "rev-parse", "env/staging")
    assert there == git(shared_workshop.folder, "rev-parse", "env/staging")


def test_27_without_the_right_to_push_a_promotion_stops_and_a_rollback_goes_on(
    shared_workshop: Workshop, platform: InMemoryPlatform, tmp_path: Path
) -> None:
    first, second, third = (shared_workshop.release(m) for m in (b"one", b"two", b"three"))
    for release in (first, second):
        shared_workshop.promote(release, shared_workshop.staging)
    hook = tmp_path / "remote.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho this branch is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    before = shared_workshop.ledger().head("staging")
    with pytest.raises(PushFailed) as refusal:
        shared_workshop.promote(third, shared_workshop.staging)
    assert "this branch is protected" in refusal.value.why
    assert refusal.value.exit_code == 21
    assert shared_workshop.ledger().head("staging") == before
    assert platform.release == second
    assert shared_workshop.rollback(shared_workshop.staging).release == first.version
    assert git(tmp_path / "remote.git", "rev-parse", "env/staging") == before
    hook.unlink()
    shared_workshop.unhold(shared_workshop.staging)
    shared_workshop.promote(third, shared_workshop.staging)
    there = git(tmp_path / "remote.git", "rev-parse", "env/staging")
    assert there == shared_workshop.ledger().head("staging")


def test_two_histories_that_diverged_are_refused(shared_workshop: Workshop, tmp_path: Path) -> None:
    shared_workshop.promote(shared_workshop.release(), shared_workshop.staging)
    orphan = git(shared_workshop.folder, "commit-tree", "HEAD^{tree}", "-m", "another history")
    true_one = git(tmp_path / "remote.git", "rev-parse", "env/staging")
    git(
        shared_workshop.folder,
        "push",
        "--quiet",
        "--force",
        "origin",
        f"{orphan}:refs/heads/env/staging",
    )
    with pytest.raises(HistoryCorrupt, match="two histories of env/staging"):
        shared_workshop.ledger().history("staging")
    git(
        shared_workshop.folder,
        "push",
        "--quiet",
        "--force",
        "origin",
        f"{true_one}:refs/heads/env/staging",
    )


@pytest.mark.parametrize(("dies_in", "outcome"), [("work", "aborted"), ("close", "verified")])
def test_21_recover_ends_what_a_dead_promotion_began(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, dies_in: str, outcome: str
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    workshop.promote(first, workshop.staging)
    expired = replace(workshop.machine.policy, lease_s=-60)
    dying = replace(workshop, machine=replace(workshop.machine, policy=expired))

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Change, dies_in, die)
        dying.promote(second, workshop.staging)
    with pytest.raises(CrashResidue, match="was killed before its end") as residue:
        workshop.machine.plan_promotion(workshop.staging, second.version)
    assert residue.value.next_step == "invoke recover --env staging"
    assert workshop.machine.recover(workshop.staging, Progress()).outcome == outcome
    assert (
        serving(workshop, workshop.staging) == (second if outcome == "verified" else first).version
    )
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift
    with pytest.raises(PreconditionFailed, match="nothing to recover"):
        workshop.machine.recover(workshop.staging, Progress())


def test_21_recover_leaves_a_living_promotion_alone(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = workshop.release()

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Change, "work", die)
        workshop.promote(release, workshop.staging)
    with pytest.raises(Locked, match="locked by a promote"):
        workshop.machine.recover(workshop.staging, Progress())


def test_08_a_rollback_preempts_a_promotion(workshop: Workshop, platform: InMemoryPlatform) -> None:
    first, second, third = (workshop.release(model) for model in (b"one", b"two", b"three"))
    for release in (first, second):
        workshop.promote(release, workshop.staging)

    def roll_back_meanwhile(record: Record) -> None:
        if record == third:
            workshop.rollback(workshop.staging)

    platform.before_apply = roll_back_meanwhile
    with pytest.raises(Locked, match="taken over by a rollback") as refusal:
        workshop.promote(third, workshop.staging)
    assert "Ada <ada@example.com> started it at" in refusal.value.why
    assert serving(workshop, workshop.staging) == second.version
    assert stories(workshop, workshop.staging)[0] == ("rollback", second.version, "verified")


def test_08_a_promotion_waits_while_a_rollback_runs(
    workshop: Workshop, platform: InMemoryPlatform
) -> None:
    first, second, third = (workshop.release(model) for model in (b"one", b"two", b"three"))
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    refusals: list[int] = []

    def promote_meanwhile(record: Record) -> None:
        with pytest.raises(Locked, match="locked by a rollback") as refusal:
            workshop.promote(third, workshop.staging)
        refusals.append(refusal.value.exit_code)

    platform.before_apply = promote_meanwhile
    workshop.rollback(workshop.staging)
    assert refusals == [13]
    assert serving(workshop, workshop.staging) == first.version


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (b"wrong predictions", "the gated model"),
        (b"wrong version", "/version has the digest 'sha256:another'"),
    ],
)
def test_14_a_release_that_answers_wrongly_is_rolled_back(
    workshop: Workshop, model: bytes, why: str
) -> None:
    good, bad = workshop.release(), workshop.release(model)
    workshop.promote(good, workshop.staging)
    with pytest.raises(RolledBack) as refusal:
        workshop.promote(bad, workshop.staging)
    assert refusal.value.exit_code == 30
    assert why in refusal.value.why
    assert refusal.value.state == f"staging serves {good.version}, as before"
    assert serving(workshop, workshop.staging) == good.version


def test_15_when_undoing_fails_too_it_is_not_tried_again(
    workshop: Workshop, platform: InMemoryPlatform
) -> None:
    good, bad = workshop.release(), workshop.release(b"never ready")
    workshop.promote(good, workshop.staging)

    def refuse_the_good_one(record: Record) -> None:
        if record == good:
            raise NotServing("the disk is gone")

    platform.before_apply = refuse_the_good_one
    with pytest.raises(RollbackFailed, match="could not be undone") as refusal:
        workshop.promote(bad, workshop.staging)
    assert refusal.value.exit_code == 31
    assert "never ready" in refusal.value.why and "the disk is gone" in refusal.value.why
    assert stories(workshop, workshop.staging)[0] == ("promote", bad.version, "failed")


def three_of_which_the_second_fails(
    workshop: Workshop, platform: InMemoryPlatform, error: NotServing
) -> list[Record]:
    """Promote three releases to staging; from then on the second cannot serve any more."""
    first, second, third = (workshop.release(model) for model in (b"one", b"two", b"three"))
    for release in (first, second, third):
        workshop.promote(release, workshop.staging)

    def refuse_the_second(record: Record) -> None:
        if record == second:
            raise error

    platform.before_apply = refuse_the_second
    return [first, second, third]


def test_16_a_rollback_to_an_unhealthy_release_keeps_what_serves(
    workshop: Workshop, platform: InMemoryPlatform
) -> None:
    error = ReleaseFailed("it knows no customer any more")
    first, second, third = three_of_which_the_second_fails(workshop, platform, error)
    with pytest.raises(NotVerified) as refusal:
        workshop.rollback(workshop.staging)
    assert refusal.value.exit_code == 42
    assert refusal.value.state == f"staging serves {third.version}, as before"
    assert stories(workshop, workshop.staging)[0] == ("rollback", second.version, "failed")
    assert workshop.rollback(workshop.staging).release == first.version


def test_a_rollback_that_the_machine_prevents_names_the_way_further_back(
    workshop: Workshop, platform: InMemoryPlatform
) -> None:
    error = NotServing("its registry is silent")
    first, second, third = three_of_which_the_second_fails(workshop, platform, error)
    with pytest.raises(NotVerified) as refusal:
        workshop.rollback(workshop.staging)
    assert refusal.value.next_step == (
        "fix the machine, then invoke rollback --env staging; "
        f"or go further back with --version {first.version}"
    )
    assert stories(workshop, workshop.staging)[0] == ("rollback", second.version, "aborted")
    assert workshop.rollback(workshop.staging, first.version).release == first.version


def test_where_the_machine_prevents_the_undoing_too_no_release_is_condemned(
    workshop: Workshop, platform: InMemoryPlatform
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    workshop.promote(first, workshop.staging)

    def refuse(record: Record) -> None:
        raise NotServing("the disk is full")

    platform.before_apply = refuse
    with pytest.raises(RollbackFailed) as refusal:
        workshop.promote(second, workshop.staging)
    assert refusal.value.next_step == "fix the machine, then invoke deploy --env staging"
    assert stories(workshop, workshop.staging)[0] == ("promote", second.version, "aborted")
    platform.before_apply = lambda record: None
    assert workshop.machine.deploy(workshop.staging, Progress()) == first
    assert workshop.machine.plan_promotion(workshop.staging, None).record == second


def test_21_recover_carries_a_dead_rollback_to_its_end(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    expired = replace(workshop.machine.policy, lease_s=-60)
    dying = replace(workshop, machine=replace(workshop.machine, policy=expired))
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Change, "work", die)
        dying.rollback(workshop.staging)
    assert workshop.machine.recover(workshop.staging, Progress()).outcome == "verified"
    assert serving(workshop, workshop.staging) == first.version


def test_21_what_was_verified_last_is_a_target_while_a_killed_promotion_holds_the_lock(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (workshop.release(model) for model in (b"one", b"two", b"three"))
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    # Both were rolled back from, and the second was verified after that.
    workshop.rollback(workshop.staging)
    workshop.rollback(workshop.staging, second.version)
    workshop.unhold(workshop.staging)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Change, "work", die)
        workshop.promote(third, workshop.staging)
    assert "locked; next: wait until it ends; if it was killed, after " in str(
        look(workshop.machine, workshop.ledger(), workshop.staging)
    )
    assert workshop.rollback(workshop.staging).release == second.version
    assert serving(workshop, workshop.staging) == second.version


def test_21_a_killed_rollback_may_be_typed_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Change, "work", die)
        workshop.rollback(workshop.staging)
    event = workshop.rollback(workshop.staging)
    assert (event.release, event.previous) == (first.version, second.version)
    assert serving(workshop, workshop.staging) == first.version


def test_21_a_rollback_without_a_target_names_the_way_out_of_a_lock(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = workshop.release()
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Change, "work", die)
        workshop.promote(release, workshop.staging)
    lock = workshop.ledger().history("staging")[0]
    with pytest.raises(NoRollbackTarget) as refusal:
        workshop.rollback(workshop.staging)
    assert refusal.value.state == f"staging unchanged; locked until {lock.lease_until}"
    assert refusal.value.next_step == (
        "wait until it ends; if it was killed, "
        f"after {lock.lease_until}: invoke recover --env staging"
    )


def die(change: Change, *outcome: str) -> None:
    """A step in which the command is killed."""
    raise SystemExit
