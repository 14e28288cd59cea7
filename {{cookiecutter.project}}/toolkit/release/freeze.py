"""Freeze windows, in which nothing is promoted. A rollback is never frozen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEKLY = re.compile(rf"({'|'.join(DAYS)}) ([01]\d|2[0-3]):([0-5]\d)")
WEEK = timedelta(weeks=1)


@dataclass(frozen=True)
class Freeze:
    """One window, a table ``[[freezes]]`` of ``release.toml``.

    Parameters
    ----------
    name : str
        For people.
    environments : tuple of str
        Those that are frozen.
    begins, ends : datetime.datetime or str
        Both a date with a time, without offset, or both a weekday with a time, such as
        ``Fri 16:00``, for a window of every week. The end is exclusive.
    time_zone : str
        Of both times, such as ``Europe/Berlin``.

    Raises
    ------
    ValueError
        It cannot be read, or ends before it begins.
    """

    name: str
    environments: tuple[str, ...]
    begins: datetime | str
    ends: datetime | str
    time_zone: str

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{self.time_zone!r} is not a time zone") from None
        if isinstance(self.begins, str) and isinstance(self.ends, str):
            if _time_of_week(self.begins) == _time_of_week(self.ends):
                raise ValueError("begins and ends are the same time of the week")
        elif isinstance(self.begins, datetime) and isinstance(self.ends, datetime):
            if self.begins.tzinfo or self.ends.tzinfo:
                raise ValueError("begins and ends must have no offset: time_zone gives it")
            if self.ends <= self.begins:
                raise ValueError("ends must come after begins")
        else:
            raise ValueError("begins and ends must be two dates, or two weekdays")

    def end(self, now: datetime) -> datetime | None:
        """Return when the current window ends, or None outside of one.

        Parameters
        ----------
        now : datetime.datetime
            With its time zone.
        """
        zone = ZoneInfo(self.time_zone)
        # A freeze follows the clock on the wall, also when daylight saving time changes it.
        wall = now.astimezone(zone).replace(tzinfo=None)
        if isinstance(self.begins, datetime) and isinstance(self.ends, datetime):
            return self.ends.replace(tzinfo=zone) if self.begins <= wall < self.ends else None
        begins, ends = _time_of_week(str(self.begins)), _time_of_week(str(self.ends))
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        since = (wall - midnight + timedelta(days=wall.weekday()) - begins) % WEEK
        length = (ends - begins) % WEEK
        return (wall - since + length).replace(tzinfo=zone) if since < length else None


def _time_of_week(text: str) -> timedelta:
    found = WEEKLY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a weekday with a time, such as 'Fri 16:00'")
    day, hour, minute = found.groups()
    return timedelta(days=DAYS.index(day), hours=int(hour), minutes=int(minute))
