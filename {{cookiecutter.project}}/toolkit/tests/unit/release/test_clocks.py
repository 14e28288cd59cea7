"""Clocks that are an hour off: the chain gives the order of events, not the clocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest

from toolkit.release import ledger
from toolkit.release.checks import refuse_a_lock
from toolkit.release.errors import CrashResidue, Locked, PreconditionFailed
from toolkit.release.event import PENDING, Event, lease
from toolkit.release.progress import Progress
from toolkit.release.records import FILE_NAME, Record
from toolkit.release.status import look
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop

HOUR = timedelta(hours=1)


def promote_by_a_clock(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, record: Record, ahead: timedelta
) -> None:
    """Promote on a machine whose clock is ahead, or behind."""
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "now", lambda: datetime.now(UTC) + ahead)
        shop.promote(record, shop.staging)


@pytest.mark.parametrize("skews", [(HOUR, -HOUR, HOUR), (-HOUR, HOUR, -HOUR)])
def test_32_a_rollback_goes_by_the_chain_whatever_the_clocks_said(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, skews: tuple[timedelta, ...]
) -> None:
    releases = [workshop.release(model) for model in (b"one", b"two", b"three")]
    for release, skew in zip(releases, skews, strict=True):
        promote_by_a_clock(workshop, monkeypatch, release, skew)
    order = [event.release for event in workshop.ledger().history("staging") if event.gate]
    assert order[::2] == [release.version for release in reversed(releases)]
    assert workshop.rollback(workshop.staging).release == releases[1].version
    assert workshop.rollback(workshop.staging).release == releases[0].version


def test_32_a_lease_by_a_fast_clock_holds_longer_and_a_rollback_goes_first(
    workshop: Workshop,
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    an_hour_ahead = lease(workshop.machine.policy.lease_s + 3600)
    held = Event(
        *("promote", second.version, second.digest, PENDING), lease_until=an_hour_ahead, actor="Ada"
    )
    workshop.ledger().append("staging", held, {FILE_NAME: second.to_json()})
    with pytest.raises(Locked) as refusal:
        refuse_a_lock(workshop.ledger().history("staging"), "staging")
    assert f"it expires at {an_hour_ahead}" in refusal.value.why
    assert workshop.rollback(workshop.staging).release == first.version


def test_32_a_lease_by_a_slow_clock_may_be_ended_early_and_still_one_command_wins(
    workshop: Workshop, platform: InMemoryPlatform
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    workshop.promote(first, workshop.staging)
    an_hour_behind = replace(workshop.machine.policy, lease_s=600 - 3600)
    slow = replace(workshop, machine=replace(workshop.machine, policy=an_hour_behind))

    def recover_meanwhile(record: Record) -> None:
        if record == second:
            with pytest.raises(CrashResidue):
                workshop.promote(second, workshop.staging)
            workshop.machine.recover(workshop.staging, Progress())

    platform.before_apply = recover_meanwhile
    with pytest.raises(Locked, match="taken over by a recover"):
        slow.promote(second, workshop.staging)
    seen = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert (seen.release, seen.drift) == (first.version, "")
    assert seen.newest and (seen.newest.kind, seen.newest.outcome) == ("recover", "aborted")


def test_32_a_release_verified_by_a_fast_clock_has_not_soaked_yet(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = workshop.release()
    promote_by_a_clock(workshop, monkeypatch, release, HOUR)
    prod = replace(workshop.prod, soak_minutes=10)
    with pytest.raises(PreconditionFailed, match="has not served long enough") as refusal:
        workshop.machine.plan_promotion(prod, release.version)
    assert refusal.value.why == "0 min of 10 min"


def soak_of(shop: Workshop, record: Record, minutes: int = 10) -> str:
    """Return what the soak check of prod says to a release."""
    prod = replace(shop.prod, approval=None, soak_minutes=minutes)
    plan = shop.machine.plan_promotion(prod, record.version)
    return dict(plan.checks)["soak"]


def ago(time: timedelta) -> str:
    return (datetime.now(UTC) - time).isoformat(timespec="seconds")


def test_a_release_that_the_ledger_dates_back_has_not_soaked_by_its_servers(
    workshop: Workshop, platform: InMemoryPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = workshop.release()
    promote_by_a_clock(workshop, monkeypatch, release, -HOUR)
    with pytest.raises(PreconditionFailed, match="has not served long enough") as refusal:
        soak_of(workshop, release)
    since = f"staging serves {release.version} since {platform.since}"
    assert refusal.value.why == f"0 min of 10 min; by its servers {since}"
    platform.since = ago(HOUR / 2)
    expected = "served 30 min in staging, 10 min are required; by its servers and the ledger"
    assert soak_of(workshop, release) == expected


def test_a_release_has_not_soaked_while_servers_ran_another_one_all_the_time(
    workshop: Workshop, platform: InMemoryPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events were written by hand, between those of the release that serves."""
    serves, record = workshop.release(b"serves"), workshop.release(b"never served")
    promote_by_a_clock(workshop, monkeypatch, serves, -3 * HOUR)
    platform.since = ago(3 * HOUR)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "now", lambda: datetime.now(UTC) - 2 * HOUR)
        workshop.record_promotion(record, workshop.staging)
    for is_hidden in (False, True):
        if is_hidden:
            workshop.record_promotion(serves, workshop.staging)
        with pytest.raises(PreconditionFailed, match="has not served long enough") as refusal:
            soak_of(workshop, record)
        since = f"by its servers staging serves {serves.version} since {platform.since}"
        assert refusal.value.why.startswith("0 min of 10 min; ")
        assert refusal.value.why.endswith(since)
        assert refusal.value.next_step == "promote it to staging again"


def test_where_no_server_can_be_asked_the_plan_says_that_the_ledger_alone_was(
    workshop: Workshop, platform: InMemoryPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = workshop.release()
    promote_by_a_clock(workshop, monkeypatch, release, -HOUR)
    platform.since = ""
    untold = "by the ledger alone: its servers do not say since when they serve"
    assert soak_of(workshop, release).endswith(untold)
    platform.release = None
    assert soak_of(workshop, release).endswith("by the ledger alone: nothing runs")

    def refuse() -> NoReturn:
        raise PreconditionFailed("kubectl is for another cluster than that of staging")

    monkeypatch.setattr(platform, "observe", refuse)
    assert soak_of(workshop, release).endswith("another cluster than that of staging")
