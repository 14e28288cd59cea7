"""The target of a rollback, and the lock."""

from __future__ import annotations

import pytest

from toolkit.release.checks import refuse_a_lock
from toolkit.release.errors import ArtifactGone, CrashResidue, Locked
from toolkit.release.event import Event, lease
from toolkit.release.plan import known_good
from toolkit.release.records import Record
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop, git


def history_of(*events: tuple[str, str, str, str]) -> list[Event]:
    """Return a history, newest first, from (kind, release, outcome, from) in order of time."""
    return [
        Event(kind, release, "", outcome, previous) for kind, release, outcome, previous in events
    ][::-1]


def test_last_known_good_is_the_newest_other_verified_release() -> None:
    history = history_of(("promote", "A", "verified", ""), ("promote", "B", "verified", "A"))
    assert known_good(history, "B") == ["A"]


def test_a_release_that_failed_is_never_known_good() -> None:
    history = history_of(
        ("promote", "A", "verified", ""),
        ("promote", "B", "verified", "A"),
        ("promote", "C", "rolled-back", "B"),
    )
    assert known_good(history, "B") == ["A"]


def test_a_second_rollback_goes_further_back() -> None:
    history = history_of(
        ("promote", "A", "verified", ""),
        ("promote", "B", "verified", "A"),
        ("promote", "C", "verified", "B"),
        ("rollback", "B", "verified", "C"),
    )
    assert known_good(history, "B") == ["A"]


def test_a_rollback_s_own_failed_target_is_passed_over() -> None:
    history = history_of(
        ("promote", "A", "verified", ""),
        ("promote", "B", "verified", "A"),
        ("promote", "C", "verified", "B"),
        ("rollback", "B", "failed", "C"),
    )
    assert known_good(history, "C") == ["A"]


def test_what_was_rolled_back_from_is_good_again_once_it_is_verified_again() -> None:
    history = history_of(
        ("promote", "A", "verified", ""),
        ("promote", "B", "verified", "A"),
        ("rollback", "A", "verified", "B"),
        ("promote", "B", "verified", "A"),
        ("promote", "C", "verified", "B"),
    )
    assert known_good(history, "C") == ["B", "A"]


def test_nothing_is_known_good_in_an_empty_history() -> None:
    assert known_good([], "") == []


def test_a_pending_event_is_the_lock_until_its_lease_runs_out() -> None:
    held = Event("promote", "B", "", "pending", actor="Ada", time="now", lease_until=lease(60))
    with pytest.raises(Locked, match="locked by a promote of B") as refusal:
        refuse_a_lock([held], "prod")
    assert refusal.value.why.startswith("Ada took the lock at now")
    left = Event("promote", "B", "", "pending", lease_until=lease(-1))
    with pytest.raises(CrashResidue, match="was killed before its end"):
        refuse_a_lock([left], "prod")
    refuse_a_lock([Event("promote", "B", "", "verified")], "prod")


def served(workshop: Workshop) -> tuple[Record, Record, Record]:
    """Return three releases that staging has served, the last one until now."""
    releases = (workshop.release(b"one"), workshop.release(b"two"), workshop.release(b"three"))
    for release in releases:
        workshop.promote(release, workshop.staging)
    return releases


def test_26_a_release_that_is_gone_is_skipped_and_the_plan_says_so(
    workshop: Workshop, platform: InMemoryPlatform
) -> None:
    first, second, _ = served(workshop)
    platform.gone.append(second)
    plan = workshop.machine.plan_rollback(workshop.staging, None)
    assert plan.record == first
    assert f"warning   {second.version} is not available: its registry has lost it" in str(plan)


def test_26_a_named_release_that_is_gone_is_refused_with_the_next_best(
    workshop: Workshop, platform: InMemoryPlatform
) -> None:
    first, second, _ = served(workshop)
    platform.gone.append(second)
    before = workshop.ledger().head("staging")
    with pytest.raises(ArtifactGone, match=f"cannot be rolled back to {second.version}") as refusal:
        workshop.rollback(workshop.staging, second.version)
    assert refusal.value.exit_code == 41
    assert refusal.value.state == "staging unchanged"
    assert refusal.value.next_step == f"invoke rollback --env staging --version {first.version}"
    assert workshop.ledger().head("staging") == before


def test_26_without_its_bundle_in_git_a_release_is_gone(
    workshop: Workshop, platform: InMemoryPlatform
) -> None:
    first, second, third = served(workshop)
    git(workshop.folder, "tag", "--delete", f"release/{second.version}")
    assert workshop.machine.plan_rollback(workshop.staging, None).record == first
    git(workshop.folder, "tag", "--delete", f"release/{first.version}")
    with pytest.raises(ArtifactGone, match="cannot be rolled back to any release") as refusal:
        workshop.rollback(workshop.staging)
    assert f"no tag release/{second.version}" in refusal.value.why
    assert f"no tag release/{first.version}" in refusal.value.why
    assert platform.release == third


def test_05_a_warning_about_a_release_is_in_the_plan_of_its_promotion(
    workshop: Workshop,
) -> None:
    odd = workshop.release(b"odd")
    plan = workshop.machine.plan_promotion(workshop.staging, odd.version)
    assert "warning   it looks odd" in str(plan)
    sound = workshop.release()
    assert "warning" not in str(workshop.machine.plan_promotion(workshop.staging, sound.version))
