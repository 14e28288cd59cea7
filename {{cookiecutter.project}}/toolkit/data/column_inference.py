"""Infers the role, type and allowed values of each column of a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ..model import precision
from .column_reading import Reading
from .contract import MAX_NULL_RATE, Column, Csv
from .number_text import to_number
from .probe import LEAKING_AUC, SUSPICIOUS_AUC, Probe, Rows, Values
from .table import is_number

MAX_CATEGORIES = 50
# Up to the second number of values where each has that many rows on average.
ROWS_PER_CATEGORY, MOST_CATEGORIES = 20, 200
# On each side of an observed range, as a share of it: later customers may lie a bit outside.
HEADROOM = 0.25
# The allowed null rate is this many times the observed one.
NULL_HEADROOM = 2.0
TOO_PRECISE = "too precise"
CONSTANT = "constant: a model can learn nothing from it"


@dataclass(frozen=True)
class Inferred:
    """The decision about a column.

    Attributes
    ----------
    column
        The contract's entry; None where the column is ignored.
    observed
        The observed values, in words.
    note
        Why the column is ignored, or what to review; else empty.
    nulls
        The share and the rows of its nulls, and the value of another column that coincides with
        them; empty where there are none.
    probed
        What `review_leaks` asks of a feature; None of any other column.
    """

    name: str
    column: Column | None
    observed: str
    note: str = ""
    nulls: str = ""
    probed: Values | None = field(default=None, compare=False, repr=False)


def infer(
    name: str,
    text: pd.Series,
    reading: Reading,
    dialect: Csv,
    probed: Rows,
) -> Inferred:
    """Decide about a column that may be a feature, but for whether it leaks the target.

    Parameters
    ----------
    text
        The column, [n], NaN for nulls.
    reading
        How its texts are read.
    dialect
        The format of its numbers.
    probed
        The positions of the customers whose values the probe of leaks takes.
    """
    inferred = _inferred(name, text, reading, dialect, probed)
    if inferred.column is None:
        return inferred
    column = replace(
        inferred.column, na_values=reading.na_values, sign=reading.sign, format=reading.format
    )
    note = "; ".join(filter(None, (inferred.note, reading.note)))
    return replace(inferred, column=column, note=note)


def _inferred(
    name: str,
    text: pd.Series,
    reading: Reading,
    dialect: Csv,
    probed: Rows,
) -> Inferred:
    cap = _null_cap(float(text.isna().mean()))
    if reading.kind == "number":
        return _number(name, text, reading, dialect, cap, probed)
    values = text.dropna()
    counts = values.value_counts()
    distinct = len(counts)
    if distinct < 2:
        return _constant(name, values)
    if reading.kind == "unread":
        return Inferred(name, None, f"{reading.example!r}: {reading.value}", reading.note)
    if reading.kind == "date":
        dates = values
        if not pd.api.types.is_datetime64_any_dtype(values):
            dates = pd.to_datetime(values, format=reading.format or "ISO8601", utc=True)
        first, last = int(np.argmin(dates)), int(np.argmax(dates))
        observed = f"{values.iloc[first]} to {values.iloc[last]}"
        note = "a date is validated but no feature; with max_age_days a stale table would fail"
        return Inferred(name, Column(name, "date", "date", max_null_rate=cap), observed, note)
    if distinct > _most_categories(len(values)):
        observed = f"{distinct} distinct values"
        why = f"too many categories for {len(values)} rows"
        if distinct == len(values):
            why = "id-like"
        return Inferred(name, None, observed, f"{why}: a model would memorise it")
    names = tuple(sorted(counts.index))
    shares = counts / len(values)
    observed = ", ".join(f"{name!r} {share:.1%}" for name, share in shares[:3].items())
    observed = observed if distinct <= 3 else f"{observed}, ..."
    column = Column(name, "feature", "category", categories=names, max_null_rate=cap)
    codes = pd.Categorical(text.iloc[probed], categories=names).codes
    places = np.where(codes < 0, np.nan, codes)
    return Inferred(name, column, observed, probed=Values(places, distinct))


def _constant(name: str, values: pd.Series) -> Inferred:
    observed = f"always {str(values.iloc[0])!r}" if len(values) else "always empty"
    return Inferred(name, None, observed, CONSTANT)


def _number(
    name: str,
    text: pd.Series,
    reading: Reading,
    dialect: Csv,
    cap: float,
    probed: Rows,
) -> Inferred:
    if is_number(text):
        numbers = pd.Series(text.to_numpy(float, na_value=np.nan), index=text.index)
    else:
        numbers = to_number(text, dialect, reading.sign)
    known = numbers.dropna().to_numpy()
    distinct = len(np.unique(known))
    if distinct < 2 and text.nunique() < 2:
        return _constant(name, text.dropna())
    whole = not np.modf(known)[0].any()
    if whole and not is_number(text):
        whole = not text.str.contains(f"[{dialect.decimal}eE]", na=False).any()
    low, high = float(known.min()), float(known.max())
    observed = f"{low:g} to {high:g}, mean {numbers.mean():.4g}"
    if whole and distinct == len(known) and distinct > MAX_CATEGORIES:
        return Inferred(name, None, observed, "id-like: every row has a different integer")
    if distinct < 2:  # Only the texts differ: 1 and 1.0.
        return Inferred(name, None, observed, CONSTANT)
    if precision.merged_share(numbers.to_numpy()) >= precision.TOO_MANY:
        note = (
            f"{TOO_PRECISE}: a model computes in float32, which is exact for whole numbers up to "
            f"{precision.EXACT_TO:,} only, and would take values for one another; if it is a "
            "quantity, bin or round it in the table"
        )
        return Inferred(name, None, observed, note)
    minimum, maximum = _range(low, high, distinct)
    kind = "integer" if whole else "number"
    column = Column(name, "feature", kind, minimum, maximum, max_null_rate=cap)
    return Inferred(name, column, observed, probed=Values(numbers.to_numpy()[probed]))


def _most_categories(rows: int) -> int:
    """Return up to how many distinct values a category may have, with so many non-null rows."""
    return max(MAX_CATEGORIES, min(MOST_CATEGORIES, rows // ROWS_PER_CATEGORY))


def _null_cap(observed: float) -> float:
    """Return the highest null rate to allow: the default, or a multiple of the observed one."""
    if observed <= MAX_NULL_RATE / NULL_HEADROOM:
        return MAX_NULL_RATE
    return min(1.0, math.ceil(100 * NULL_HEADROOM * observed) / 100)


def _range(low: float, high: float, distinct: int) -> tuple[float, float]:
    """Return the range to allow: that of flags unchanged, any other with headroom."""
    if distinct == 2:
        return low, high
    room = HEADROOM * (high - low)
    # Rounded outwards to the first digit of the headroom.
    unit = 10.0 ** math.floor(math.log10(room))
    lower = math.floor((low - room) / unit) * unit
    upper = math.ceil((high + room) / unit) * unit
    # An age, a bill or a count that was never negative never will be.
    if low >= 0:
        lower = max(lower, 0.0)
    if high <= 0:
        upper = min(upper, 0.0)
    # Without the noise of the multiplication, and never inside of what was observed.
    return min(low, float(f"{lower:.12g}")), max(high, float(f"{upper:.12g}"))


def review_leaks(columns: Sequence[Inferred], probe: Probe) -> list[Inferred]:
    """Ignore the features that leak the target, and note which may leak it."""
    probed = {one.name: one.probed for one in columns if one.probed is not None}
    aucs = probe.reaching(probed, SUSPICIOUS_AUC)
    return [_reviewed(one, aucs.get(one.name, 0.0)) for one in columns]


def _reviewed(one: Inferred, auc: float) -> Inferred:
    if auc >= LEAKING_AUC:
        note = f"target leakage: on its own it reaches a ROC AUC of {auc:.3f}"
        return Inferred(one.name, None, one.observed, note)
    note = ""
    if auc >= SUSPICIOUS_AUC:
        note = (
            f"possible target leakage: on its own it reaches a ROC AUC of {auc:.3f}; is it known "
            "before the customer churns?"
        )
    return replace(one, note="; ".join(filter(None, (note, one.note))), probed=None)
