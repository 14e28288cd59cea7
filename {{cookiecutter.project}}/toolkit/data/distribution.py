"""How a column's values are distributed, in a few numbers that can be kept and compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

# The shares at which quantiles are kept: the middles of a hundred equal parts.
SHARES = (np.arange(100) + 0.5) / 100
# Every tenth quantile is an edge, so that about a tenth of the reference lies in each bin.
EDGES = slice(10, None, 10)
BARS = 24
DIGITS = 6


@dataclass(frozen=True)
class Numbers:
    """How numbers are distributed.

    Attributes
    ----------
    nulls, rows
        How many values are null, and how many are not.
    mean, sd
        Of the values; 0 where there are none.
    quantiles
        At `SHARES`, [100]; empty where there are no values.
    edges, counts
        How many values lie in each bin: up to the first edge and with it, ..., above the last.
    start, width, bars
        A histogram to look at; its first and last bar also hold what lies beyond.
    """

    nulls: int
    rows: int
    mean: float
    sd: float
    quantiles: tuple[float, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    start: float
    width: float
    bars: tuple[int, ...]


@dataclass(frozen=True)
class Categories:
    """How often each category is there.

    Attributes
    ----------
    nulls, rows
        How many values are null, and how many are not.
    counts
        By category.
    """

    nulls: int
    rows: int
    counts: dict[str, int]


def measure_numbers(
    values: npt.NDArray[np.floating], like: Numbers | None, whole: bool = False
) -> Numbers:
    """Measure numbers, [n] with NaN for nulls.

    Parameters
    ----------
    like
        Whose edges and bars to count in; None to choose them from these numbers.
    whole
        Whether all are integers: then a bar holds the same integers of each that it could.
    """
    # One sort gives the quantiles, and every count by bisection; NaNs go to the end.
    ordered = np.sort(values)
    ordered = ordered[: len(ordered) - int(np.isnan(values).sum())]
    quantiles = rounded(ordered[(SHARES * len(ordered)).astype(np.int64)] if len(ordered) else ())
    if like is None:
        edges = tuple(dict.fromkeys(quantiles[EDGES]))
        start, width, bars = _histogram(quantiles, whole)
    else:
        edges, start, width, bars = like.edges, like.start, like.width, len(like.bars)
    return Numbers(
        nulls=len(values) - len(ordered),
        rows=len(ordered),
        mean=rounded([ordered.mean(dtype=np.float64)])[0] if len(ordered) else 0.0,
        sd=rounded([ordered.std(dtype=np.float64)])[0] if len(ordered) else 0.0,
        quantiles=quantiles,
        edges=edges,
        counts=_counts(ordered, np.asarray(edges), "right"),
        start=start,
        width=width,
        bars=_counts(ordered, start + width * np.arange(1, bars), "left"),
    )


def measure_categories(values: pd.Series) -> Categories:
    """Measure categories, nulls for nulls."""
    counts = values.value_counts().sort_index()
    rows = int(counts.sum())
    return Categories(
        nulls=len(values) - rows,
        rows=rows,
        counts={str(category): int(count) for category, count in counts.items()},
    )


def rounded(values: Sequence[float] | npt.NDArray[np.floating]) -> tuple[float, ...]:
    """Round to significant digits: what is kept in git need not tell more."""
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)


def _histogram(quantiles: Sequence[float], whole: bool) -> tuple[float, float, int]:
    """Return start, width and number of the bars that show all but the tails."""
    if not quantiles:
        return 0.0, 1.0, 1
    low, high = quantiles[0], quantiles[-1]
    if whole:
        width = float(np.ceil((high - low + 1) / BARS))
        return low, width, int(np.ceil((high - low + 1) / width))
    if high == low:
        return low, 1.0, 1
    return low, rounded([(high - low) / BARS])[0], BARS


def _counts(
    ordered: npt.NDArray[np.floating],
    edges: npt.NDArray[np.floating],
    side: Literal["left", "right"],
) -> tuple[int, ...]:
    """Return how many of the ordered values lie before, between and after the edges."""
    positions = np.searchsorted(ordered, edges, side=side)
    return tuple(int(count) for count in np.diff(positions, prepend=0, append=len(ordered)))
