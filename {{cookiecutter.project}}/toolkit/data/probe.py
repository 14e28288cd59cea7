"""How well one column alone predicts churn: a column that nearly is the target leaks it."""

import numpy as np
import numpy.typing as npt
from scipy import stats
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


def single_feature_auc(values: npt.NDArray[np.float64], churned: npt.NDArray[np.bool_]) -> float:
    """Return the cross-validated area under the ROC curve of a small tree on these values alone.

    Parameters
    ----------
    values
        One column as numbers, [n, k]: k is 1, or the number of its categories; NaN for nulls.
    churned
        Whether each customer churned, [n]; at least three of each.
    """
    groups = (np.flatnonzero(churned), np.flatnonzero(~churned))
    rows = np.concatenate([group[:: -(-len(group) // ROWS)] for group in groups])
    tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    y_true, y_prob = churned[rows], np.empty(len(rows))
    # As cross_val_predict and roc_auc_score do, in a third of the time: a table may have thousands
    # of columns.
    numbers = values[rows].astype(np.float32)
    for train, test in folds.split(y_true, y_true):
        tree.fit(numbers[train], y_true[train])
        y_prob[test] = np.asarray(tree.predict_proba(numbers[test]))[:, 1]
    ranks, positives = stats.rankdata(y_prob), int(y_true.sum())
    above = ranks[y_true].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(y_true) - positives)))


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
