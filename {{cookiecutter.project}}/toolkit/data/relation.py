"""How the columns of a table relate to its target, as a few numbers that can be stored.

A table whose columns are distributed as before may still have other labels, or a column that leaks
them. What a fixed model, that of the reference, makes of the customers tells so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from .contract import Column, Contract
from .distribution import Numbers, rounded

# A slice with fewer churned or retained customers has no ranking worth comparing.
MIN_OF_EACH = 15
# With fewer rows of its own a category has no churn rate that could order it among the others.
MIN_OF_CATEGORY = 30
BANDS = 4

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """A ROC AUC.

    Attributes
    ----------
    auc, sd
        Its value and its standard deviation, after DeLong.
    rows
        The number of customers.
    """

    auc: float
    sd: float
    rows: int


@dataclass(frozen=True)
class Slice:
    """The reference's model on some of the customers.

    Attributes
    ----------
    rows, churned
        The number of customers, and of those who churned.
    gap, gap_sd
        The churn rate minus the mean predicted probability, and its standard deviation.
    ranking
        The model's; None with too few of either label.
    """

    rows: int
    churned: int
    gap: float
    gap_sd: float
    ranking: Ranking | None


@dataclass(frozen=True)
class Relation:
    """How a table's columns relate to its target.

    Attributes
    ----------
    all
        The reference's model on all customers.
    slices
        The same by column, and there by its bands or categories, and its nulls.
    alone
        By column its ROC AUC as if it were a prediction; of a category, that of its churn rates.
    optimism
        How much higher the model's ROC AUC is for the customers that it was fitted to than for
        others; 0 for a later table.
    """

    all: Slice
    slices: dict[str, dict[str, Slice]]
    alone: dict[str, Ranking]
    optimism: float = 0.0


def measure(
    values: pd.DataFrame,
    contract: Contract,
    churned: npt.NDArray[np.bool_],
    y_prob: npt.NDArray[np.floating],
    numbers: Mapping[str, Numbers],
    edges: Sequence[float],
) -> Relation:
    """Return the relation of the features to the target.

    Parameters
    ----------
    values
        Columns as `Table.values` has them, [n] each.
    churned, y_prob
        Whether each customer churned, and the model's probability of it, [n] each.
    numbers
        The reference's numeric columns, whose quantiles divide these.
    edges
        The quantiles of the reference's predictions, among which customers are ranked.
    """
    rank = _ranks(y_prob, edges)
    probabilities = np.asarray(y_prob, dtype=np.float64)
    everybody = np.zeros(len(values), dtype=np.int64)
    [whole] = _slices(everybody, ["all"], churned, probabilities, rank).values()
    slices, alone = {}, {}
    for column in contract.features:
        codes, names = _divided(column, values[column.name], numbers)
        slices[column.name] = _slices(codes, names, churned, probabilities, rank)
        ranking = _alone(column, values[column.name], codes, churned, numbers)
        if ranking is not None:
            alone[column.name] = ranking
    return Relation(whole, slices, alone)


def rank_of(
    churned: npt.NDArray[np.bool_], y_prob: npt.NDArray[np.floating], edges: Sequence[float]
) -> Ranking | None:
    """Return the ranking of these customers, [n] each; None with too few of either label."""
    ranks = _ranks(y_prob, edges)
    count = int(ranks.max(initial=0)) + 1
    return _ranking(*(np.bincount(ranks[side], minlength=count) for side in (churned, ~churned)))


def _ranks(values: npt.NDArray[np.floating], edges: Sequence[float]) -> Codes:
    """Return the place of each value among the edges, [n]."""
    return np.searchsorted(np.unique(np.asarray(edges)), values).astype(np.int64)


def _divided(
    column: Column, values: pd.Series, numbers: Mapping[str, Numbers]
) -> tuple[Codes, list[str]]:
    """Return each row's slice, [n], -1 for none, and the slices' names."""
    if not column.is_numeric:
        codes = pd.Index(column.categories, dtype=object).get_indexer(
            pd.Index(values, dtype=object)
        )
        codes = codes.astype(np.int64)
        codes[values.isna().to_numpy()] = len(column.categories)
        return codes, [*(f"= {name}" for name in column.categories), "is null"]
    quantiles = numbers[column.name].quantiles
    places = np.arange(1, BANDS) * len(quantiles) // BANDS
    edges = np.unique([quantiles[place] for place in places] if quantiles else [])
    codes = np.searchsorted(edges, values.to_numpy()).astype(np.int64)
    codes[values.isna().to_numpy()] = len(edges) + 1
    return codes, [*_bands(edges), "is null"]


def _bands(edges: Floats) -> Iterator[str]:
    for low, high in zip([None, *edges], [*edges, None], strict=True):
        words = [f"over {low:g}"] if low is not None else []
        words += [f"up to {high:g}"] if high is not None else []
        yield " ".join(words) or "not null"


def _slices(
    codes: Codes,
    names: Sequence[str],
    churned: npt.NDArray[np.bool_],
    y_prob: Floats,
    rank: Codes,
) -> dict[str, Slice]:
    """Measure all slices of one column at once."""
    inside = codes >= 0
    codes, rank = codes[inside], rank[inside]
    churned, y_prob = churned[inside], y_prob[inside]
    count, ranks = len(names), int(rank.max(initial=0)) + 1
    counts = np.bincount((codes * ranks + rank) * 2 + churned, minlength=count * ranks * 2)
    by_rank = counts.reshape(count, ranks, 2)
    residuals = churned - y_prob
    rows = by_rank.sum(axis=(1, 2))
    sums = np.bincount(codes, weights=residuals, minlength=count)
    squares = np.bincount(codes, weights=residuals**2, minlength=count)
    # What the model itself expects of the noise: a slice in which nobody churns has residuals that
    # hardly vary, and still proves little.
    noise = np.bincount(codes, weights=y_prob * (1 - y_prob), minlength=count)
    found = {}
    for place, name in enumerate(names):
        if not rows[place]:
            continue
        mean = sums[place] / rows[place]
        variance = max(squares[place] / rows[place] - mean**2, noise[place] / rows[place])
        gap, gap_sd = rounded([mean, np.sqrt(variance / rows[place])])
        retained, left = by_rank[place].T
        found[name] = Slice(
            *(int(rows[place]), int(left.sum()), gap, gap_sd, _ranking(left, retained))
        )
    return found


def _ranking(churned: npt.NDArray[np.int64], retained: npt.NDArray[np.int64]) -> Ranking | None:
    """Return the ranking of customers whose numbers by rank, [k] each, are these."""
    positives, negatives = int(churned.sum()), int(retained.sum())
    if min(positives, negatives) < MIN_OF_EACH:
        return None
    # DeLong's placements: see comparison.py.
    lower = (np.cumsum(retained) - retained / 2) / negatives
    higher = 1 - (np.cumsum(churned) - churned / 2) / positives
    auc = float(churned @ lower) / positives
    variance = float(churned @ (lower - auc) ** 2) / (positives - 1) / positives
    variance += float(retained @ (higher - auc) ** 2) / (negatives - 1) / negatives
    value, sd = rounded([auc, np.sqrt(variance)])
    return Ranking(value, sd, positives + negatives)


def _alone(
    column: Column,
    values: pd.Series,
    codes: Codes,
    churned: npt.NDArray[np.bool_],
    numbers: Mapping[str, Numbers],
) -> Ranking | None:
    if column.is_numeric:
        known = values.notna().to_numpy()
        ranks = _ranks(values.to_numpy()[known], numbers[column.name].quantiles)
        count = int(ranks.max(initial=0)) + 1
        left, all_of = (
            np.bincount(rows, minlength=count) for rows in (ranks[churned[known]], ranks)
        )
    else:
        known = (codes >= 0) & (codes < len(column.categories))
        count = len(column.categories)
        left, all_of = (
            np.bincount(codes[rows], minlength=count) for rows in (known & churned, known)
        )
        large = all_of >= MIN_OF_CATEGORY
        left, all_of = (np.append(one[large], one[~large].sum()) for one in (left, all_of))
        order = np.argsort(left / np.maximum(all_of, 1), kind="stable")
        left, all_of = left[order], all_of[order]
    ranking = _ranking(left, all_of - left)
    if ranking is None:
        return None
    # In DeLong's, a value that no churned customer has by chance does not vary at all.
    sd = max(ranking.sd, _sd_without_relation(all_of, int(left.sum())))
    return replace(ranking, sd=rounded([sd])[0])


def _sd_without_relation(counts: npt.NDArray[np.int64], churned: int) -> float:
    """Return the standard deviation of the ROC AUC of ranks, [k], that do not tell who churned."""
    rows = int(counts.sum())
    middle = (np.cumsum(counts) - counts / 2) / rows
    variance = float(counts @ (middle - 0.5) ** 2) / rows
    return float(np.sqrt(variance / churned + variance / (rows - churned)))
