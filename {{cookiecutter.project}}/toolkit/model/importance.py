"""Permutation importance: how much ROC AUC a model loses when one input feature is shuffled.

The input features are the contract's columns: a one-hot encoded category is shuffled as a whole,
and the features that are derived from a column are computed again. Two features that say the same
hide each other's importance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from ..data.contract import Contract
from ..data.dataset import quick_rows
from .comparison import Placements, placements, sd_of_mean_placement
from .evaluation import TAILS
from .features import Features, Matrix
from .fitting import THREADS
from .training import Evaluation

# Of customers that the model was not trained on; less than a second for a small contract.
ROWS = 2_000
# Of one feature, and of all features of a contract: a wide one has fewer shuffles of each.
REPEATS = 5
SHUFFLES = 200
# Digits of a ROC AUC: the same evidence on machines whose last bits differ.
DIGITS = 6


@dataclass(frozen=True)
class Importance:
    """One input feature's permutation importance.

    Attributes
    ----------
    decrease
        In ROC AUC when the feature is shuffled, the mean of all shuffles.
    low, high
        Its 95 % interval, by DeLong's variance: over the draw of customers and the shuffles.
    """

    feature: str
    decrease: float
    low: float
    high: float


@dataclass(frozen=True)
class PermutationImportance:
    """All input features, the most important first.

    Attributes
    ----------
    rows
        How many customers were predicted.
    repeats
        How often each feature was shuffled.
    features
        Empty where the customers have too few of one label for an interval.
    """

    rows: int
    repeats: int
    features: tuple[Importance, ...]


def permutation_importance(
    evaluation: Evaluation, contract: Contract, seed: int
) -> PermutationImportance:
    """Measure the permutation importance of every input feature.

    Parameters
    ----------
    evaluation
        Of more customers than `ROWS`, so many are chosen by a hash of their ids.
    seed
        Of the shuffles, which are the same for every feature.
    """
    rows = quick_rows(evaluation.customers, ROWS)
    chosen = evaluation.customers.select(rows)
    repeats = max(1, min(REPEATS, SHUFFLES // len(contract.features)))
    churned = chosen.labels == 1
    if min(churned.sum(), (~churned).sum()) < 2:
        return PermutationImportance(len(rows), repeats, ())
    features = Features(contract)
    matrix = features.matrix(chosen.columns)

    def placed(*matrices: Matrix) -> list[Placements]:
        # In one call: most of the time of a call is its own, not that of its rows.
        every = np.concatenate(matrices) if len(matrices) > 1 else matrices[0]
        y_prob = evaluation.predict(every, np.tile(rows, len(matrices)))
        return [placements(churned, part) for part in np.split(y_prob, len(matrices))]

    def shuffled(name: str) -> Iterator[Matrix]:
        for order in orders:
            columns = chosen.columns | {name: chosen.columns[name][order]}
            yield features.altered(matrix, columns, name)

    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(rows)) for _ in range(repeats)]
    with threadpool_limits(THREADS):
        (unshuffled,) = placed(matrix)
        found = [
            _importance(column.name, unshuffled, placed(*shuffled(column.name)))
            if evaluation.sees(features.places_of(column.name))
            else Importance(column.name, 0.0, 0.0, 0.0)
            for column in contract.features
        ]
    found.sort(key=lambda one: -one.decrease)
    return PermutationImportance(len(rows), repeats, tuple(found))


def _importance(name: str, unshuffled: Placements, shuffled: Sequence[Placements]) -> Importance:
    """Return the mean decrease, with the interval of a mean of DeLong's placements."""
    of_churned, of_retained = (
        before - np.mean(after, axis=0)
        for before, after in zip(unshuffled, zip(*shuffled, strict=True), strict=True)
    )
    decrease = float(of_churned.mean())
    margin = float(stats.norm.ppf(TAILS[1])) * sd_of_mean_placement(of_churned, of_retained)
    low, high = decrease - margin, decrease + margin
    return Importance(name, *(round(figure, DIGITS) for figure in (decrease, low, high)))
