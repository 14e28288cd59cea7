"""The distribution of a column, as a few numbers that can be stored and compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

# The probabilities of the stored quantiles: the midpoints of a hundred equal parts.
PROBABILITIES = (np.arange(100) + 0.5) / 100
# Every tenth quantile is a bin edge, so that each bin has about a tenth of the reference.
EDGES = slice(10, None, 10)
BARS = 24
DIGITS = 6


@dataclass(frozen=True)
class Numbers:
    """The distribution of a numeric column.

    Attributes
    ----------
    nulls, rows
        The number of nulls, and of all other values.
    mean, sd
        Mean and standard deviation; 0 where there are no values.
    quantiles
        At `PROBABILITIES`, [100]; empty where there are no values.
    edges, counts
        The number of values in each bin; a bin includes its upper edge, the last has none.
    start, width, bars
        A histogram for the report; its first and last bar include the values beyond them.
    lowest, highest
        The extreme values; None where there are none, or an older reference does not say.
    far
        The number of values far outside of all quantiles, those of the reference; None where an
        older one does not say.
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
    lowest: float | None = None
    highest: float | None = None
    far: int | None = None

    @property
    def fences(self) -> tuple[float, float]:
        """The numbers beyond which a value is far: as far again as the last quantile."""
        low, middle, high = (self.quantiles[place] for place in (0, len(self.quantiles) // 2, -1))
        return 2 * low - middle, 2 * high - middle


@dataclass(frozen=True)
class Categories:
    """The distribution of a categorical column.

    Attributes
    ----------
    nulls, rows
        The number of nulls, and of all other values.
    counts
        The number of values by category.
    """

    nulls: int
    rows: int
    counts: dict[str, int]


def measure_numbers(
    values: npt.NDArray[np.floating], like: Numbers | None, whole: bool = False
) -> Numbers:
    """Return the distribution of numbers, [n] with NaN for nulls.

    Parameters
    ----------
    like
        The distribution whose bins and bars are used; None to choose them from these numbers.
    whole
        Whether all are integers: then every bar is as wide as the same number of integers.
    """
    # One sort gives the quantiles, and all counts by bisection; NaNs are sorted to the end.
    ordered = np.sort(values)
    ordered = ordered[: len(ordered) - int(np.isnan(values).sum())]
    positions = (PROBABILITIES * len(ordered)).astype(np.int64)
    quantiles = rounded(ordered[positions] if len(ordered) else ())
    if like is None:
        edges = tuple(dict.fromkeys(quantiles[EDGES]))
        start, width, bars = _histogram(quantiles, whole)
    else:
        edges, start, width, bars = like.edges, like.start, like.width, len(like.bars)
    measured = Numbers(
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
        lowest=rounded(ordered[:1])[0] if len(ordered) else None,
        highest=rounded(ordered[-1:])[0] if len(ordered) else None,
    )
    fenced = measured if like is None else like
    if not fenced.quantiles:
        return replace(measured, far=0)
    low, high = fenced.fences
    inside = np.searchsorted(ordered, high, "right") - np.searchsorted(ordered, low, "left")
    return replace(measured, far=len(ordered) - int(inside))


def measure_categories(values: pd.Series) -> Categories:
    """Return the distribution of categories, [n] with nulls."""
    counts = values.value_counts().sort_index()
    rows = int(counts.sum())
    return Categories(
        nulls=len(values) - rows,
        rows=rows,
        counts={str(category): int(count) for category, count in counts.items()},
    )


def rounded(values: Sequence[float] | npt.NDArray[np.floating]) -> tuple[float, ...]:
    """Round to significant digits: enough for a file that is kept in git."""
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)


def _histogram(quantiles: Sequence[float], whole: bool) -> tuple[float, float, int]:
    """Return start, width and number of bars that cover all but the tails."""
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
    """Return the number of sorted values before, between and after the edges."""
    positions = np.searchsorted(ordered, edges, side=side)
    return tuple(int(count) for count in np.diff(positions, prepend=0, append=len(ordered)))
