"""Promotions and rollbacks on the ``process`` platform: real git, real processes."""

from __future__ import annotations

import json
import threading
import urllib.request
from pathlib import Path

import pytest

from release.errors import Locked, NotVerified, ReleaseError, RolledBack
from release.policy import Environment
from release.progress import Progress
from release.status import look
from tests.workshop import Workshop


def serving(environment: Environment) -> str:
    """Ask the environment's own address which release it is."""
    address = f"http://{environment.host}:{environment.port}/version"
    with urllib.request.urlopen(address, timeout=5) as response:
        return str(json.load(response)["release"])


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


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (b"crash at start", "this model crashes at start"),
        (b"never ready", "was not ready after 2 s"),
        (b"wrong predictions", "the gated model said"),
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
    newest = workshop.ledger().history("staging")[0]
    assert (newest.kind, newest.release, newest.outcome) == ("promote", bad.version, "rolled-back")
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift


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
    newest = workshop.ledger().history("staging")[0]
    assert (newest.kind, newest.release, newest.outcome) == ("rollback", second.version, "verified")


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
    newest = workshop.ledger().history("staging")[0]
    assert (newest.kind, newest.release, newest.outcome) == ("rollback", first.version, "failed")


def test_deploy_brings_back_what_git_says_and_status_shows_the_drift(workshop: Workshop) -> None:
    release = workshop.release()
    workshop.promote(release, workshop.staging)
    workshop.machine.stop(workshop.staging)
    assert look(workshop.machine, workshop.ledger(), workshop.staging).drift == "nothing runs"
    workshop.machine.deploy(workshop.staging, Progress())
    assert serving(workshop.staging) == release.version
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift
