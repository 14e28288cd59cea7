"""Moves the clock of this process.

time-machine does it for what Python, its libraries and pandas tell of the time, whenever they were
imported; NumPy reads the time past Python, in C, and is moved here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

import numpy as np
import time_machine
from numpy import datetime64

UNITS = {"now": "datetime64[s]", "today": "datetime64[D]"}


@contextmanager
def moved(by: timedelta) -> Iterator[None]:
    """Let the clock tell another time: `time`, `datetime`, pandas and `numpy.datetime64`."""

    class Moment(datetime64, metaclass=_InPlaceOf):
        def __new__(cls, value: Any = "NaT", *unit: Any) -> Any:
            if isinstance(value, str) and value in UNITS:
                value = (datetime64("now") + np.timedelta64(by)).astype(UNITS[value])
            return datetime64(value, *unit)

    with time_machine.travel(by), mock.patch.object(np, "datetime64", Moment):
        yield


class _InPlaceOf(type):
    """The class of a class that stands in for its base: an instance of either is one of it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__bases__[0])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__bases__[0])
