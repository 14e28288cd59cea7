"""Where a rollback goes, and who may promote."""

from __future__ import annotations

import pytest

from release.checks import refuse_a_lock
from release.errors import CrashResidue, Locked
from release.event import Event, lease
from release.plan import known_good


def told(*events: tuple[str, str, str, str]) -> list[Event]:
    """Return a history, newest first, from (kind, release, outcome, from) in order of time."""
    return [
        Event(kind, release, "", outcome, previous) for kind, release, outcome, previous in events
    ][::-1]


def test_last_known_good_is_the_newest_other_verified_release() -> None:
    history = told(("promote", "A", "verified", ""), ("promote", "B", "verified", "A"))
    assert known_good(history, "B") == ["A"]


def test_a_release_that_failed_is_never_known_good() -> None:
    history = told(
        ("promote", "A", "verified", ""),
        ("promote", "B", "verified", "A"),
        ("promote", "C", "rolled-back", "B"),
    )
    assert known_good(history, "B") == ["A"]


def test_a_second_rollback_goes_further_back() -> None:
    history = told(
        ("promote", "A", "verified", ""),
        ("promote", "B", "verified", "A"),
        ("promote", "C", "verified", "B"),
        ("rollback", "B", "verified", "C"),
    )
    assert known_good(history, "B") == ["A"]


def test_a_rollback_s_own_failed_target_is_passed_over() -> None:
    history = told(
        ("promote", "A", "verified", ""),
        ("promote", "B", "verified", "A"),
        ("promote", "C", "verified", "B"),
        ("rollback", "B", "failed", "C"),
    )
    assert known_good(history, "C") == ["A"]


def test_what_was_rolled_back_from_stays_bad_when_promoted_again() -> None:
    history = told(
        ("promote", "A", "verified", ""),
        ("promote", "B", "verified", "A"),
        ("rollback", "A", "verified", "B"),
        ("promote", "B", "verified", "A"),
        ("promote", "C", "verified", "B"),
    )
    assert known_good(history, "C") == ["A"]


def test_nothing_is_known_good_in_an_empty_history() -> None:
    assert known_good([], "") == []


def test_a_pending_event_is_the_lock_until_its_lease_runs_out() -> None:
    held = Event("promote", "B", "", "pending", actor="Ada", time="now", lease_until=lease(60))
    with pytest.raises(Locked, match="locked by a promote of B") as refusal:
        refuse_a_lock([held], "prod")
    assert refusal.value.why.startswith("Ada holds it since now")
    left = Event("promote", "B", "", "pending", lease_until=lease(-1))
    with pytest.raises(CrashResidue, match="died half-way"):
        refuse_a_lock([left], "prod")
    refuse_a_lock([Event("promote", "B", "", "verified")], "prod")
