"""The checks of a promotion, and their errors."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from toolkit.release.checks import Candidate, check
from toolkit.release.errors import (
    GateRefused,
    Held,
    NoRollbackTarget,
    PreconditionFailed,
    RolledBack,
)
from toolkit.release.freeze import Freeze
from toolkit.release.plan import OF_HEAD
from toolkit.release.policy import Environment
from toolkit.release.records import Record
from toolkit.tests.workshop import Workshop, git


def ask(
    workshop: Workshop,
    environment: Environment,
    record: Record,
    now: datetime | None = None,
    is_named: bool = True,
    freeze: Freeze | None = None,
    base: str | None = None,
) -> dict[str, str]:
    """Return each check's result."""
    ledger = workshop.ledger()
    policy = replace(workshop.machine.policy, freezes=(freeze,) if freeze else ())
    history = tuple(ledger.history(environment.name))
    candidate = Candidate(
        *(ledger, policy, environment, record, history, base, is_named),
        now=now or datetime.now(UTC),
        observe=workshop.machine.observe,
    )
    return dict(check(candidate))


def test_09_a_gate_that_has_not_passed_is_refused(workshop: Workshop) -> None:
    with pytest.raises(GateRefused, match="has not passed the gate") as refusal:
        ask(workshop, workshop.staging, workshop.release(gate="failed"))
    assert refusal.value.exit_code == 10


def test_10_what_was_found_bad_in_staging_does_not_reach_prod(workshop: Workshop) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    prod = replace(workshop.prod, approval=None)
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    assert "verified in staging at" in ask(workshop, prod, second)["order"]
    workshop.rollback(workshop.staging)
    with pytest.raises(PreconditionFailed, match="was found bad in staging") as refusal:
        ask(workshop, prod, second)
    assert refusal.value.exit_code == 14


def check_out(workshop: Workshop, release: Record) -> None:
    """Check the commit of a release out, as a job of its run does."""
    git(workshop.folder, "checkout", "--quiet", "--detach", release.commit)


def test_a_job_that_runs_late_or_again_does_not_go_back(workshop: Workshop) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    check_out(workshop, first)
    for version in (None, OF_HEAD):
        with pytest.raises(PreconditionFailed, match=f"release {first.version} is older") as old:
            workshop.machine.plan_promotion(workshop.staging, version)
        assert old.value.exit_code == 14
        assert old.value.state == "staging unchanged"
        assert f"--version {first.version}" in old.value.next_step
    named = workshop.machine.plan_promotion(workshop.staging, first.version)
    assert dict(named.checks)["newer"] == "no, and named all the same"
    check_out(workshop, second)
    assert workshop.machine.plan_promotion(workshop.staging, OF_HEAD).nothing_to_do


def test_a_job_promotes_the_release_of_its_own_run_and_not_what_staging_serves_by_then(
    shared_workshop: Workshop,
) -> None:
    workshop = shared_workshop
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
        workshop.ledger().add_approval("prod", release, "looked at it", signed=False)
    check_out(workshop, first)
    plan = workshop.machine.plan_promotion(workshop.prod, OF_HEAD)
    assert (plan.record, dict(plan.checks)["newer"]) == (first, "nothing serves yet")
    assert workshop.machine.plan_promotion(workshop.prod, None).record == second
    workshop.promote(second, workshop.prod)
    with pytest.raises(PreconditionFailed, match="is older than the one that prod serves"):
        workshop.machine.plan_promotion(workshop.prod, OF_HEAD)


def test_what_git_cannot_tell_is_not_newer(workshop: Workshop) -> None:
    release = workshop.release()
    gone = "0" * 40
    with pytest.raises(PreconditionFailed, match="cannot be told") as refusal:
        ask(workshop, workshop.staging, release, base=gone)
    assert gone in refusal.value.why


def test_a_release_serves_long_enough_in_staging_before_prod(
    workshop: Workshop,
) -> None:
    prod = replace(workshop.prod, approval=None, soak_minutes=60)
    first, second = workshop.release(b"one"), workshop.release(b"two")
    workshop.promote(first, workshop.staging)
    now = datetime.now(UTC)
    with pytest.raises(PreconditionFailed, match="has not served long enough") as refusal:
        ask(workshop, prod, first, now + timedelta(minutes=45))
    assert refusal.value.why == "45 min of 60 min"
    assert refusal.value.next_step.startswith("try again in 15 min")
    assert ask(workshop, prod, first, now + timedelta(minutes=61))["soak"].startswith("served 1 h")
    workshop.promote(second, workshop.staging)
    with pytest.raises(PreconditionFailed) as replaced:
        ask(workshop, prod, first, now + timedelta(days=1))
    assert f"{second.version} replaced it" in replaced.value.why


def test_12_a_freeze_says_its_name_and_its_end(workshop: Workshop) -> None:
    freeze = Freeze("weekend", ("staging",), "Fri 16:00", "Mon 07:00", "Europe/Berlin")
    saturday = datetime(2026, 11, 21, tzinfo=UTC)
    release = workshop.release()
    with pytest.raises(Held, match="staging is frozen: weekend") as refusal:
        ask(workshop, workshop.staging, release, saturday, freeze=freeze)
    assert refusal.value.exit_code == 12
    assert "until 2026-11-23T07:00+01:00" in refusal.value.why
    elsewhere = replace(freeze, environments=("prod",))
    assert ask(workshop, workshop.staging, release, saturday, freeze=elsewhere)["freeze"] == "none"


def test_12_a_freeze_never_prevents_a_rollback(workshop: Workshop) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    always = Freeze("always", ("staging",), datetime(2020, 1, 1), datetime(2999, 1, 1), "UTC")
    policy = replace(workshop.machine.policy, freezes=(always,))
    frozen = replace(workshop, machine=replace(workshop.machine, policy=policy))
    with pytest.raises(Held, match="staging is frozen: always"):
        frozen.promote(workshop.release(b"three"), frozen.staging)
    assert frozen.rollback(frozen.staging).release == first.version


def test_30_a_rollback_holds_until_somebody_lets_releases_in_again(workshop: Workshop) -> None:
    first, second, third = (workshop.release(model) for model in (b"one", b"two", b"three"))
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    workshop.rollback(workshop.staging)
    with pytest.raises(Held, match="on hold since a rollback") as refusal:
        workshop.promote(third, workshop.staging)
    assert refusal.value.exit_code == 12
    assert refusal.value.next_step.startswith("invoke unhold --env staging")
    workshop.unhold(workshop.staging)
    with pytest.raises(Held, match="was found bad in staging before"):
        ask(workshop, workshop.staging, second, is_named=False)
    assert ask(workshop, workshop.staging, second)["hold"] == "none"
    workshop.promote(third, workshop.staging)


def test_30_a_release_that_failed_is_not_sent_again_by_automation(workshop: Workshop) -> None:
    bad = workshop.release(b"wrong predictions")
    with pytest.raises(RolledBack):
        workshop.promote(bad, workshop.staging)
    with pytest.raises(Held, match="was found bad"):
        workshop.machine.plan_promotion(workshop.staging, None)


def test_a_hold_may_come_before_the_first_release(workshop: Workshop) -> None:
    release = workshop.release()
    workshop.hold(workshop.staging, "not yet")
    with pytest.raises(Held, match="on hold since a hold"):
        workshop.promote(release, workshop.staging)
    with pytest.raises(NoRollbackTarget):
        workshop.rollback(workshop.staging)
    workshop.unhold(workshop.staging)
    workshop.promote(release, workshop.staging)
    assert len(workshop.ledger().history("staging")) == 4


def test_a_hold_is_written_once_with_its_reason(workshop: Workshop) -> None:
    release = workshop.release()
    workshop.promote(release, workshop.staging)
    event = workshop.hold(workshop.staging, "the sale begins")
    assert event is not None
    assert (event.kind, event.outcome, event.release) == ("hold", "noted", release.version)
    assert workshop.hold(workshop.staging, "again") is None
    with pytest.raises(Held) as refusal:
        workshop.promote(workshop.release(b"two"), workshop.staging)
    assert "the sale begins" in refusal.value.why
    workshop.unhold(workshop.staging)
    newest = workshop.ledger().history("staging")[0]
    assert workshop.machine.plan_promotion(workshop.staging, release.version).nothing_to_do
    assert newest.kind == "unhold"
