"""Promotions and rollbacks on the ``process`` platform: real git, real processes."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from toolkit.release import ledger
from toolkit.release.canary.traffic import Replay
from toolkit.release.errors import NotVerified, PreconditionFailed, RolledBack
from toolkit.release.policy import Environment
from toolkit.release.progress import Progress
from toolkit.release.status import look
from toolkit.tests.command_line import write_policy
from toolkit.tests.workshop import CUSTOMER, Workshop


def serving(environment: Environment) -> str:
    """Return the release that the environment's own address reports."""
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
    ],
)
def test_13_a_bad_release_rolls_itself_back_and_shows_why(
    workshop: Workshop, model: bytes, reason: str
) -> None:
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


def test_16_no_customer_is_sent_to_a_last_known_good_that_has_gone_bad(
    workshop: Workshop,
) -> None:
    rot = workshop.folder.parent / "rot"
    rotting = f"while|{rot}|exit 7 its licence has expired".encode()
    first, second = workshop.release(rotting), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    rot.touch()
    address = f"http://{workshop.staging.host}:{workshop.staging.port}"
    replay = Replay([address], [CUSTOMER], 50)
    with replay.running(), pytest.raises(NotVerified) as refusal:
        workshop.rollback(workshop.staging)
    assert "its licence has expired" in refusal.value.why
    assert refusal.value.state == f"staging serves {second.version}, as before"
    assert replay.asked > 0 and not replay.unanswered()
    assert serving(workshop.staging) == second.version
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift


def test_a_soak_time_begins_when_the_servers_do_whatever_the_ledger_says(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, prod = workshop.release(), replace(workshop.prod, approval=None, soak_minutes=60)
    with monkeypatch.context() as patch:
        two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
        patch.setattr(ledger, "now", lambda: two_hours_ago)
        workshop.promote(release, workshop.staging)
    with pytest.raises(PreconditionFailed, match="has not served long enough") as refusal:
        workshop.machine.plan_promotion(prod, release.version)
    assert "0 min of 60 min; by its servers staging serves" in refusal.value.why
    # As from another machine, where none of these servers can be seen.
    with monkeypatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(workshop.folder / "another machine"))
        plan = workshop.machine.plan_promotion(prod, release.version)
    assert "served 2 h 0 min" in str(plan) and "by the ledger alone: nothing runs" in str(plan)


def test_29_deploy_restores_the_desired_state_and_status_shows_the_drift(
    workshop: Workshop,
) -> None:
    release = workshop.release()
    workshop.promote(release, workshop.staging)
    workshop.machine.stop(workshop.staging)
    assert look(workshop.machine, workshop.ledger(), workshop.staging).drift == "nothing runs"
    workshop.machine.deploy(workshop.staging, Progress())
    assert serving(workshop.staging) == release.version
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift


def test_a_release_starts_with_the_command_of_its_own_commit(workshop: Workshop) -> None:
    write_policy(workshop.folder, workshop.machine.policy)
    built_before = workshop.release(b"before")
    policy = replace(workshop.machine.policy, serve=("-m", "server_of_another_toolkit"))
    write_policy(workshop.folder, policy)
    today = replace(workshop, machine=replace(workshop.machine, policy=policy))
    today.promote(built_before, today.staging)
    assert serving(today.staging) == built_before.version
    with pytest.raises(RolledBack, match="server_of_another_toolkit"):
        today.promote(today.release(b"after"), today.staging)
    assert serving(today.staging) == built_before.version
