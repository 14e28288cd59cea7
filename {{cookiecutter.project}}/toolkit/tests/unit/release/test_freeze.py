"""A freeze follows the clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from toolkit.release.freeze import Freeze

WEEKEND = Freeze("weekend", ("prod",), "Fri 16:00", "Mon 07:00", "Europe/Berlin")
CHRISTMAS = Freeze(
    *("christmas", ("prod",)),
    *(datetime(2026, 12, 20, 18), datetime(2027, 1, 2, 8)),
    "America/New_York",
)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("freeze", "now", "end"),
    [
        (WEEKEND, "2026-11-20 14:59", None),
        (WEEKEND, "2026-11-20 15:00", "2026-11-23T07:00+01:00"),
        (WEEKEND, "2026-11-22 12:00", "2026-11-23T07:00+01:00"),
        (WEEKEND, "2026-11-23 05:59", "2026-11-23T07:00+01:00"),
        (WEEKEND, "2026-11-23 06:00", None),
        # In summer the wall is two hours before UTC, and over this weekend the clocks change.
        (WEEKEND, "2026-07-17 14:00", "2026-07-20T07:00+02:00"),
        (WEEKEND, "2026-10-24 12:00", "2026-10-26T07:00+01:00"),
        (CHRISTMAS, "2026-12-20 22:59", None),
        (CHRISTMAS, "2026-12-20 23:00", "2027-01-02T08:00-05:00"),
        (CHRISTMAS, "2027-01-02 13:00", None),
    ],
)
def test_32_a_window_holds_where_its_clocks_hang(freeze: Freeze, now: str, end: str | None) -> None:
    found = freeze.end(moment(now))
    assert (found.isoformat(timespec="minutes") if found else None) == end


@pytest.mark.parametrize(
    ("begins", "ends", "why"),
    [
        (datetime(2026, 1, 2), datetime(2026, 1, 2), "ends must come after begins"),
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3), "have no offset"),
        ("Fri 24:00", "Mon 07:00", "is not a weekday with a time"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(
    begins: datetime | str, ends: datetime | str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        Freeze("odd", ("prod",), begins, ends, "UTC")
