"""Moves the clock of this process, for code that is imported from then on.

What reads the time past Python and NumPy, in C, is not moved.
"""

import datetime as moments
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from unittest import mock

import numpy as np
from numpy import datetime64

NOW = ("now", "today")


@contextmanager
def moved(by: timedelta) -> Iterator[None]:
    """Let `time`, `datetime`, `numpy.datetime64` and pandas' Timestamp tell another time."""
    seconds = by.total_seconds()
    read, local, utc = time.time, time.localtime, time.gmtime
    text, read_ns = time.strftime, time.time_ns

    def now() -> float:
        return read() + seconds

    class Date(date, metaclass=_InPlaceOf):
        @classmethod
        def today(cls) -> Any:
            return date.fromtimestamp(now())

    class DateTime(datetime, metaclass=_InPlaceOf):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(now(), tz)

        @classmethod
        def today(cls) -> Any:
            return datetime.fromtimestamp(now())

        @classmethod
        def utcnow(cls) -> Any:
            return datetime.fromtimestamp(now(), UTC).replace(tzinfo=None)

    class NumPyMoment(datetime64, metaclass=_InPlaceOf):
        def __new__(cls, value: Any = "NaT", *unit: Any) -> Any:
            if value in NOW:
                value = datetime64(round(now()), "s").astype(
                    "datetime64[D]" if value == "today" else "datetime64[s]"
                )
            return datetime64(value, *unit)

    changes: list[tuple[object, str, Any]] = [
        (time, "time", now),
        (time, "time_ns", lambda: read_ns() + round(seconds * 1e9)),
        (time, "localtime", lambda at=None: local(now() if at is None else at)),
        (time, "gmtime", lambda at=None: utc(now() if at is None else at)),
        (time, "strftime", lambda form, at=None: text(form, at or local(now()))),
        (moments, "date", Date),
        (moments, "datetime", DateTime),
        (np, "datetime64", NumPyMoment),
    ]
    if pandas := sys.modules.get("pandas"):
        for name in ("now", "today", "utcnow"):
            reading = classmethod(
                lambda cls, tz=None, name=name: cls(datetime.fromtimestamp(now(), tz))
            )
            changes.append((pandas.Timestamp, name, reading))
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


class _InPlaceOf(type):
    """The class of a class that stands in for its base: an instance of either is one of it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__bases__[0])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__bases__[0])
