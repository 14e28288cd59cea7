"""The last verdict on a release counts, for a promotion and for the audit alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from toolkit.release import ledger
from toolkit.release.audit import audit
from toolkit.release.checks import known_bad
from toolkit.release.errors import PreconditionFailed, RolledBack
from toolkit.release.event import ABORTED, FAILED, ROLLED_BACK, VERIFIED, Event
from toolkit.release.records import Record
from toolkit.tests.workshop import Workshop


@pytest.mark.parametrize(
    ("events", "bad"),
    [
        # The newest first: kind, release, outcome, the release before.
        ([("promote", "A", ROLLED_BACK, "O")], {"A"}),
        ([("promote", "A", ABORTED, "O")], set()),
        ([("promote", "A", FAILED, "O")], {"A"}),
        ([("promote", "A", VERIFIED, "O"), ("promote", "A", ROLLED_BACK, "O")], set()),
        ([("promote", "A", ROLLED_BACK, "O"), ("promote", "A", VERIFIED, "O")], {"A"}),
        ([("recover", "A", VERIFIED, "O"), ("promote", "A", FAILED, "O")], set()),
        ([("rollback", "O", VERIFIED, "A")], {"A"}),
        ([("rollback", "A", VERIFIED, "B"), ("rollback", "O", VERIFIED, "A")], {"B"}),
        ([("drill", "A", FAILED, "O"), ("promote", "A", VERIFIED, "O")], {"A"}),
        ([("hold", "A", "noted", ""), ("promote", "A", ROLLED_BACK, "O")], {"A"}),
    ],
)
def test_a_release_is_bad_until_it_is_verified_again(
    events: list[tuple[str, str, str, str]], bad: set[str]
) -> None:
    history = [Event(kind, one, "", outcome, last) for kind, one, outcome, last in events]
    assert known_bad(history) == bad


@pytest.fixture
def two(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> tuple[Record, Record]:
    """Two releases, of which staging has found the second bad, some hours ago."""
    first, second = workshop.release(b"one"), workshop.release(b"two")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "now", lambda: datetime.now(UTC) - timedelta(hours=3))
        for release in (first, second):
            workshop.promote(release, workshop.staging)
        workshop.rollback(workshop.staging)
        workshop.unhold(workshop.staging)
    return first, second


def orders_broken(workshop: Workshop) -> list[str]:
    found = audit(workshop.ledger(), workshop.machine.policy).findings
    return [one.text for one in found if one.rule == "order"]


def test_what_was_found_bad_and_verified_again_goes_on_to_the_next_environment(
    workshop: Workshop, two: tuple[Record, Record]
) -> None:
    _, second = two
    with pytest.raises(PreconditionFailed, match="was found bad in staging") as refusal:
        workshop.promote(second, workshop.prod)
    assert f"invoke promote --env staging --version {second.version}" in refusal.value.next_step
    workshop.promote(second, workshop.staging)
    assert workshop.promote(second, workshop.prod).outcome == VERIFIED
    assert orders_broken(workshop) == []


def test_the_audit_finds_a_promotion_of_what_the_environment_before_had_found_bad(
    workshop: Workshop, two: tuple[Record, Record]
) -> None:
    first, second = two
    workshop.record_promotion(first, workshop.prod)
    assert orders_broken(workshop) == []
    workshop.record_promotion(second, workshop.prod)
    assert orders_broken(workshop) == [
        f"promote of {second.version}: staging had found it bad before that, and not verified it "
        "again"
    ]


def test_a_release_that_failed_by_its_own_fault_is_bad(workshop: Workshop) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"never ready")
    workshop.promote(first, workshop.staging)
    with pytest.raises(RolledBack):
        workshop.promote(second, workshop.staging)
    assert known_bad(workshop.ledger().history("staging")) == {second.version}
