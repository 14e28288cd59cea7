"""How well one column alone tells who left: a column that knows the answer is no feature."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from .contract import Contract
from .dataset import Dataset

# A small tree, judged on customers that it has not seen: from here on the column knows the answer,
# and from there on somebody should ask how.
LEAKING_AUC = 0.98
SUSPICIOUS_AUC = 0.90
ROWS = 5_000  # of each kind of customers
FOLDS = 3
DEPTH = 4
LEAF = 10


def auc_alone(values: npt.NDArray[np.float64], left: npt.NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve of a small tree that sees these values alone.

    Parameters
    ----------
    values
        One column as numbers, [n, k]: k is 1, or the number of its categories; NaN for nulls.
    left
        Which customers left, [n]; at least three of each kind.
    """
    groups = (np.flatnonzero(left), np.flatnonzero(~left))
    rows = np.concatenate([group[:: -(-len(group) // ROWS)] for group in groups])
    tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    given = cross_val_predict(tree, values[rows], left[rows], cv=folds, method="predict_proba")
    return float(roc_auc_score(left[rows], given[:, 1]))


def strongest_column(dataset: Dataset, contract: Contract) -> tuple[str, float]:
    """Return the column that alone tells best who left, and how well."""
    left = dataset.labels == 1
    found = {}
    for column in contract.features:
        values = dataset.columns[column.name]
        if column.is_numeric:
            numbers = values[:, np.newaxis]
        else:
            numbers = np.column_stack([values == name for name in column.categories]).astype(float)
        found[column.name] = auc_alone(numbers, left)
    name = max(found, key=lambda name: found[name])
    return name, found[name]
