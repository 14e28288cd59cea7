"""Infers from a table what each of its columns is, and what may stand in it from now on."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from .contract import MAX_NULL_RATE, Column, Csv
from .probe import LEAKING_AUC, SUSPICIOUS_AUC, auc_alone
from .table import to_number

MAX_CATEGORIES = 50
# Of a range on each side: tomorrow's customers may be a bit beyond today's.
HEADROOM = 0.25
# A cap on nulls is this many times what was seen.
NULL_HEADROOM = 2.0


@dataclass(frozen=True)
class Inferred:
    """What was decided about a column.

    Attributes
    ----------
    column
        As it stands in the contract; None where it is left out.
    seen
        What stands in the table, in words.
    note
        Why it is left out, or what somebody should look at; empty where all is plain.
    nulls
        How many there are, where, and what goes with them; empty where there are none.
    """

    name: str
    column: Column | None
    seen: str
    note: str = ""
    nulls: str = ""


def infer(name: str, text: pd.Series, written: Csv, left: npt.NDArray[np.bool_]) -> Inferred:
    """Decide about a column that may be a feature.

    Parameters
    ----------
    text
        The column, [n], NaN for nulls.
    written
        How numbers are written in it.
    left
        Which customers left, [n].
    """
    known = text.dropna()
    different = int(known.nunique())
    if different < 2:
        seen = f"always {known.iloc[0]!r}" if different else "always empty"
        return Inferred(name, None, seen, "constant: there is nothing to learn from it")
    cap = _null_cap(float(text.isna().mean()))
    numbers = to_number(text, written)
    if numbers.notna().equals(text.notna()) and np.isfinite(numbers.dropna()).all():
        return _number(name, text, numbers, cap, left)
    if pd.to_datetime(known, format="ISO8601", errors="coerce", utc=True).notna().all():
        seen = f"{known.min()} to {known.max()}"
        note = "a date is checked, but no feature; max_age_days would tell when the table is stale"
        return Inferred(name, Column(name, "date", "date", max_null_rate=cap), seen, note)
    if different > MAX_CATEGORIES:
        seen = f"{different} different texts"
        why = "id-like" if different == len(known) else "too many for a category"
        return Inferred(name, None, seen, f"{why}: a model would learn names by heart")
    names = tuple(sorted(known.unique()))
    shares = known.value_counts(normalize=True)
    seen = ", ".join(f"{name!r} {share:.1%}" for name, share in shares[:3].items())
    codes = pd.Categorical(text, categories=names).codes
    probe = np.eye(different)[codes] * (codes >= 0)[:, np.newaxis]
    column = Column(name, "feature", "category", categories=names, max_null_rate=cap)
    return _probed(column, seen if different <= 3 else f"{seen}, ...", probe, left)


def _number(
    name: str, text: pd.Series, numbers: pd.Series, cap: float, left: npt.NDArray[np.bool_]
) -> Inferred:
    whole = not text.str.contains("[.,eE]", na=False).any() and not (numbers.dropna() % 1).any()
    low, high, different = float(numbers.min()), float(numbers.max()), int(numbers.nunique())
    seen = f"{low:g} to {high:g}, mean {numbers.mean():.4g}"
    if whole and different == numbers.notna().sum() and different > MAX_CATEGORIES:
        return Inferred(name, None, seen, "id-like: every row has another whole number")
    if different < 2:  # The texts are different: 1 and 1.0.
        return Inferred(name, None, seen, "constant: there is nothing to learn from it")
    minimum, maximum = _range(low, high, different)
    kind = "integer" if whole else "number"
    column = Column(name, "feature", kind, minimum, maximum, max_null_rate=cap)
    return _probed(column, seen, numbers.to_numpy()[:, np.newaxis], left)


def _null_cap(seen: float) -> float:
    """Return the greatest null rate to accept: the usual one, or some more than was seen."""
    if seen <= MAX_NULL_RATE / NULL_HEADROOM:
        return MAX_NULL_RATE
    return min(1.0, math.ceil(100 * NULL_HEADROOM * seen) / 100)


def _range(low: float, high: float, different: int) -> tuple[float, float]:
    """Return the range to accept: that of flags as it is, any other with head-room."""
    if different == 2:
        return low, high
    room = HEADROOM * (high - low)
    # Rounded outwards, to what is left of the head-room's first digit.
    unit = 10.0 ** math.floor(math.log10(room))
    lower = math.floor((low - room) / unit) * unit
    upper = math.ceil((high + room) / unit) * unit
    # What was never negative cannot be: an age, a bill, a count.
    if low >= 0:
        lower = max(lower, 0.0)
    if high <= 0:
        upper = min(upper, 0.0)
    return float(f"{lower:.6g}"), float(f"{upper:.6g}")


def _probed(
    column: Column, seen: str, values: npt.NDArray[np.float64], left: npt.NDArray[np.bool_]
) -> Inferred:
    """Leave a feature out that alone tells who left."""
    auc = auc_alone(values, left)
    if auc >= LEAKING_AUC:
        note = f"leaks the target: alone it tells who left, with an AUC of {auc:.3f}"
        return Inferred(column.name, None, seen, note)
    if auc >= SUSPICIOUS_AUC:
        note = f"suspicious: alone it reaches an AUC of {auc:.3f}; is it known before they leave?"
        return Inferred(column.name, column, seen, note)
    return Inferred(column.name, column, seen)


def companion_of_nulls(column: pd.Series, others: Iterable[pd.Series]) -> str:
    """Return another column and its value that are there exactly where this one is null, if any."""
    missing = column.isna()
    for other in others:
        beside = other[missing]
        value = beside.iloc[0]
        if (beside == value).all() and int((other == value).sum()) == len(beside):
            return f"{other.name} is {value}"
    return ""
