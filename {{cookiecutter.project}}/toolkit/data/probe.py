"""How well one column alone predicts churn: a column that nearly is the target leaks it."""

from functools import lru_cache
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

Rows = npt.NDArray[np.int64]


def single_feature_auc(values: npt.NDArray[np.float64], churned: npt.NDArray[np.bool_]) -> float:
    """Return the cross-validated area under the ROC curve of a small tree on these values alone.

    Parameters
    ----------
    values
        One column as numbers, [n, k]: k is 1, or the number of its categories; NaN for nulls.
    churned
        Whether each customer churned, [n]; at least three of each.
    """
    rows, folds = _plan(churned.tobytes())
    y_true, chosen = churned[rows], values[rows]
    y_prob = np.zeros(len(rows))
    with _unchecked():
        for train, test in folds:
            tree = _tree().fit(chosen[train], y_true[train])
            y_prob[test] = np.asarray(tree.predict_proba(chosen[test]))[:, 1]
    return _auc(y_true, y_prob)


def may_leak(values: npt.NDArray[np.float64], churned: npt.NDArray[np.bool_]) -> bool:
    """Return whether a column is worth its cross-validation: a third of the work says so.

    Parameters
    ----------
    values, churned
        As of `single_feature_auc`.
    """
    rows, _ = _plan(churned.tobytes())
    y_true, chosen = churned[rows], values[rows]
    with _unchecked():
        y_prob = np.asarray(_tree().fit(chosen, y_true).predict_proba(chosen))[:, 1]
    # On its own training rows a tree is better than on others.
    return _auc(y_true, y_prob) >= SUSPICIOUS_AUC


def _tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)


def _unchecked() -> Any:
    """Let scikit-learn check no parameters: with thousands of columns that is most of its work."""
    return sklearn.config_context(skip_parameter_validation=True, assume_finite=True)


@lru_cache(maxsize=1)
def _plan(churned: bytes) -> tuple[Rows, list[tuple[Rows, Rows]]]:
    """Return the rows to look at, and the folds of them: the same for all columns of a table."""
    labels = np.frombuffer(churned, dtype=np.bool_)
    groups = (np.flatnonzero(labels), np.flatnonzero(~labels))
    rows = np.concatenate([group[:: -(-len(group) // ROWS)] for group in groups])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    return rows, list(folds.split(rows, labels[rows]))


def _auc(y_true: npt.NDArray[np.bool_], y_prob: npt.NDArray[np.float64]) -> float:
    """Return the area under the ROC curve; a tree gives few distinct probabilities."""
    _, places = np.unique(y_prob, return_inverse=True)
    churned = np.bincount(places, weights=y_true)
    retained = np.bincount(places, weights=~y_true)
    below = np.cumsum(retained) - retained
    pairs = churned.sum() * retained.sum()
    return float((churned * (below + retained / 2)).sum() / pairs)


def strongest_column(dataset: Dataset, contract: Contract) -> tuple[str, float]:
    """Return the feature that alone predicts churn best, and its ROC AUC."""
    churned = dataset.labels == 1
    aucs = {}
    for column in contract.features:
        values = dataset.columns[column.name]
        if column.is_numeric:
            numbers = values[:, np.newaxis]
        else:
            numbers = np.column_stack([values == name for name in column.categories]).astype(float)
        aucs[column.name] = single_feature_auc(numbers, churned)
    name = max(aucs, key=lambda name: aucs[name])
    return name, aucs[name]
