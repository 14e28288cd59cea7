"""How well one column alone predicts churn: a column that nearly is the target leaks it.

The figure is that of a small tree, cross-validated. With thousands of columns most of the trees
would be fitted in vain, so for all columns at once it is first computed what no tree can exceed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.model_selection import StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

from .contract import Contract
from .dataset import Dataset

# Cross-validated ROC AUC of a small tree on one column: from the first on, the column counts as a
# leak of the target, from the second on it needs a review.
LEAKING_AUC = 0.98
SUSPICIOUS_AUC = 0.90
ROWS = 5_000  # of each label
FOLDS = 3
DEPTH = 4
LEAF = 10
# A tree has 16 leaves, so what it predicts above a threshold are up to 8 intervals, and the nulls.
INTERVALS = 2**DEPTH // 2 + 1
# Sums of weights are exact but for this.
ROUNDING = 1e-9
# The strongest of more columns is the strongest of so many that could be it.
PROBED = 50
# Columns that are sorted together, for memory.
BLOCK = 512

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Values:
    """A column as the probe takes it.

    Attributes
    ----------
    numbers
        [n]: NaN for nulls; of a category its place among the categories.
    categories
        The number of categories; 0 for a numeric column.
    """

    numbers: Floats
    categories: int = 0

    def select(self, rows: Rows) -> "Values":
        """Return the values of these customers."""
        return Values(self.numbers[rows], self.categories)

    def matrix(self) -> Floats:
        """Return what a tree takes, [n, 1], or one-hot [n, categories]."""
        if not self.categories:
            return self.numbers[:, np.newaxis]
        one_hot: Floats = (self.numbers[:, np.newaxis] == np.arange(self.categories)).astype(float)
        return one_hot


class Probe:
    """Asks how well single columns of one table predict churn.

    Parameters
    ----------
    churned
        Whether each customer churned, [n]; at least three of each.

    Attributes
    ----------
    rows
        The positions of the customers who are looked at, [m]: of a large table not all.
    """

    def __init__(self, churned: npt.NDArray[np.bool_]) -> None:
        groups = (np.flatnonzero(churned), np.flatnonzero(~churned))
        self.rows: Rows = np.concatenate([group[:: -(-len(group) // ROWS)] for group in groups])
        self._churned = churned[self.rows]
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        self._folds: list[tuple[Rows, Rows]] = list(folds.split(self.rows, self._churned))
        # Of each fold the rows that are predicted, in no order: those with equal values are not to
        # be sorted by their label.
        rng = np.random.default_rng(0)
        self._predicted = [rng.permutation(test) for _, test in self._folds]
        counts = self._churned.sum(), (~self._churned).sum()
        self._weights = np.where(self._churned, 1 / max(counts[0], 1), -1 / max(counts[1], 1))

    def auc(self, values: Values) -> float:
        """Return the cross-validated area under the ROC curve of a small tree on one column.

        Parameters
        ----------
        values
            Of the customers at `rows`, [m].
        """
        matrix = values.matrix()
        y_prob = np.zeros(len(self.rows))
        with _unchecked():
            for train, test in self._folds:
                tree = DecisionTreeClassifier(
                    max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0
                ).fit(matrix[train], self._churned[train])
                y_prob[test] = np.asarray(tree.predict_proba(matrix[test]))[:, 1]
        return _auc(self._churned, y_prob)

    def upper_bounds(self, columns: list[Values]) -> Floats:
        """Return what the `auc` of each column cannot exceed, [k], without fitting a tree.

        Above any threshold stand, in each fold, some categories or some intervals of numbers. What
        these hold of all churned customers is more than what they hold of the retained ones by at
        most the difference d of the best choice of them. So the ROC curve is nowhere above the
        diagonal by more than d, and the area under it at most 1 - (1 - d)**2 / 2.
        """
        differences = np.zeros(len(columns))
        numeric = [place for place, one in enumerate(columns) if not one.categories]
        for start in range(0, len(numeric), BLOCK):
            block = numeric[start : start + BLOCK]
            matrix = np.column_stack([columns[place].numbers for place in block])
            for rows in self._predicted:
                order = np.argsort(matrix[rows], axis=0, kind="stable")
                differences[block] += _best_intervals(self._weights[rows][order])
        for place, one in enumerate(columns):
            if one.categories:
                # Nulls are one more category.
                codes = np.nan_to_num(one.numbers, nan=one.categories).astype(np.int64)
                for rows in self._predicted:
                    sums = np.bincount(codes[rows], weights=self._weights[rows])
                    differences[place] += sums[sums > 0].sum()
        bounds: Floats = 1 - (1 - np.minimum(differences, 1.0)) ** 2 / 2 + ROUNDING
        return bounds

    def reaching(self, columns: Mapping[str, Values], least: float) -> dict[str, float]:
        """Return the `auc` of every column in which it is at least so high."""
        bounds = self.upper_bounds(list(columns.values()))
        aucs = (
            (name, self.auc(values))
            for (name, values), bound in zip(columns.items(), bounds, strict=True)
            if bound >= least
        )
        return {name: auc for name, auc in aucs if auc >= least}

    def strongest(self, columns: Mapping[str, Values]) -> tuple[str, float]:
        """Return the column with the highest `auc`, of equal ones the first, and its `auc`.

        Of more than `PROBED` columns it is the strongest of the `PROBED` that could be the highest,
        among which a leak stands out: of few customers, nearly every column could reach 0.9.
        """
        names = list(columns)
        bounds = self.upper_bounds(list(columns.values()))
        best, found = -1.0, 0
        for place in np.argsort(-bounds, kind="stable")[:PROBED].tolist():
            if bounds[place] < best:
                break
            auc = self.auc(columns[names[place]])
            if auc > best or (auc == best and place < found):
                best, found = auc, place
        return names[found], best


def _unchecked() -> Any:
    """Let scikit-learn check no parameters: with thousands of columns that is most of its work."""
    return sklearn.config_context(skip_parameter_validation=True, assume_finite=True)


def _best_intervals(weights: Floats) -> Floats:
    """Return the highest sum of weights, [n, k], in up to `INTERVALS` intervals of each column."""
    # With up to i intervals: the last one open, or all closed.
    inside = np.full((INTERVALS, weights.shape[1]), -np.inf)
    outside = np.zeros((INTERVALS + 1, weights.shape[1]))
    for row in weights:
        np.maximum(inside, outside[:-1], out=inside)
        inside += row
        np.maximum(outside[1:], inside, out=outside[1:])
    best: Floats = outside[-1]
    return best


def _auc(y_true: npt.NDArray[np.bool_], y_prob: Floats) -> float:
    """Return the area under the ROC curve; a tree gives few distinct probabilities."""
    _, places = np.unique(y_prob, return_inverse=True)
    churned = np.bincount(places, weights=y_true)
    retained = np.bincount(places, weights=~y_true)
    below = np.cumsum(retained) - retained
    pairs = churned.sum() * retained.sum()
    return float((churned * (below + retained / 2)).sum() / pairs)


def strongest_column(dataset: Dataset, contract: Contract) -> tuple[str, float]:
    """Return the feature that alone predicts churn best, and its ROC AUC; see `Probe.strongest`."""
    probe = Probe(dataset.labels == 1)
    return probe.strongest(dict(_values(dataset.select(probe.rows), contract)))


def _values(dataset: Dataset, contract: Contract) -> Iterator[tuple[str, Values]]:
    for column in contract.features:
        values = dataset.columns[column.name]
        if column.is_numeric:
            yield column.name, Values(values)
        else:
            place_of = {name: float(place) for place, name in enumerate(column.categories)}
            numbers = np.array([place_of.get(value, np.nan) for value in values])
            yield column.name, Values(numbers, len(column.categories))
