"""The clock is moved for whoever reads it, also for code that was imported before."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from toolkit.model import clock

DAYS = 400
READINGS: dict[str, Callable[[], Any]] = {
    "time.time": lambda: datetime.fromtimestamp(time.time()),
    "time.time_ns": lambda: datetime.fromtimestamp(time.time_ns() / 1e9),
    "time.localtime": lambda: datetime(*time.localtime()[:6]),
    "time.gmtime": lambda: datetime(*time.gmtime()[:6]),
    "time.strftime": lambda: datetime.fromisoformat(time.strftime("%Y-%m-%dT%H:%M:%S")),
    "datetime.now": datetime.now,
    "datetime.now with a time zone": lambda: datetime.now(UTC).replace(tzinfo=None),
    "datetime.today": datetime.today,
    "date.today": lambda: datetime.combine(date.today(), datetime.min.time()),
    "pandas.Timestamp.now": pd.Timestamp.now,
    "pandas.Timestamp": lambda: pd.Timestamp("now"),
    "pandas.to_datetime": lambda: pd.to_datetime("now"),
    "numpy.datetime64 now": lambda: np.datetime64("now").astype(datetime),
    "numpy.datetime64 today": lambda: datetime.combine(
        np.datetime64("today").astype(date), datetime.min.time()
    ),
}


@pytest.mark.parametrize("reading", READINGS)
def test_every_clock_is_moved_and_set_back(reading: str) -> None:
    # The minute is for a test that runs while the hour or the day changes.
    read, room = READINGS[reading], timedelta(days=1, minutes=1)
    before = read()
    with clock.moved(timedelta(days=DAYS)):
        moved = read()
    assert abs(moved - before - timedelta(days=DAYS)) < room
    assert abs(read() - before) < room


def test_a_moment_that_is_given_stays_what_it_is() -> None:
    with clock.moved(timedelta(days=DAYS)):
        moment = np.datetime64("2026-11-29")
        assert isinstance(moment, np.datetime64)
        assert issubclass(type(moment), np.datetime64)
        assert np.datetime64(0, "D") == np.datetime64("1970-01-01")
        assert np.isnat(np.datetime64("NaT"))
    assert moment == np.datetime64("2026-11-29")


def test_a_duration_is_measured_as_before() -> None:
    before = time.monotonic()
    with clock.moved(timedelta(days=DAYS)):
        assert time.monotonic() - before < 60
