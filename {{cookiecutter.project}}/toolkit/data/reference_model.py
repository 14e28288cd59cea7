"""The reference's model: small enough for its weights to stand in a file.

So the same customers get the same predictions at any time and in any clone.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.features import Features, Matrix
from .contract import Contract
from .dataset import Dataset, as_objects, position, quick_rows
from .distribution import PROBABILITIES, rounded
from .relation import rank_of
from .table import Table

# The feature matrix of a whole table would need more memory than the table.
CHUNK_ROWS = 100_000
FOLDS = 3
# Features times rows, at most, that its ranking of other customers is estimated from.
CELLS = 8_000_000


@dataclass(frozen=True)
class ReferenceModel:
    """A logistic regression on standardised features; a null is imputed with the mean.

    Attributes
    ----------
    features
        The names of the matrix's columns, [k].
    means, sds, weights
        Mean, standard deviation (1 where constant) and weight of each feature, [k].
    intercept
        The log odds of a customer with all features at their means.
    """

    features: tuple[str, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def predict(self, matrix: Matrix) -> npt.NDArray[np.float32]:
        """Return the probabilities of churn, [n], for a feature matrix [n, k]."""
        means, sds, weights = np.array([self.means, self.sds, self.weights], dtype=np.float32)
        scaled = np.nan_to_num((matrix - means) / sds)
        score = scaled @ weights + np.float32(self.intercept)
        return np.asarray(0.5 * (1 + np.tanh(score / 2)), dtype=np.float32)


def has_features(table: Table, contract: Contract) -> bool:
    """Return whether the table has all of the contract's features."""
    return all(column.name in table.values for column in contract.features)


def predict(table: Table, contract: Contract, model: ReferenceModel) -> npt.NDArray[np.float32]:
    """Return the model's probability of churn for each row, [n]; an unknown category is a null."""
    features = Features(contract)
    y_prob = np.empty(len(table), dtype=np.float32)
    for start in range(0, len(table), CHUNK_ROWS):
        rows = table.values.iloc[start : start + CHUNK_ROWS]
        columns = {}
        for column in contract.features:
            values = rows[column.name]
            if column.is_numeric:
                columns[column.name] = values.to_numpy()
            else:
                columns[column.name] = as_objects(values.where(values.isin(column.categories)))
        y_prob[start : start + CHUNK_ROWS] = model.predict(features.matrix(columns))
    return y_prob


def fit(names: tuple[str, ...], matrix: Matrix, labels: npt.NDArray[np.int64]) -> ReferenceModel:
    """Return the model of customers whose features [n, k] have these names, [k], and labels [n]."""
    non_null = ~np.isnan(matrix)
    counts = np.maximum(non_null.sum(axis=0), 1)
    filled = np.where(non_null, matrix, 0.0).astype(np.float64)
    means = filled.sum(axis=0) / counts
    centred = np.where(non_null, filled - means, 0.0)
    sds = np.sqrt((centred**2).sum(axis=0) / counts)
    sds[sds == 0] = 1.0
    # Imported here: a data check makes no reference, and would wait a second for it.
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000).fit(centred / sds, labels)
    return ReferenceModel(
        features=names,
        means=rounded(means),
        sds=rounded(sds),
        weights=rounded(model.coef_[0]),
        intercept=rounded(model.intercept_)[0],
    )


def optimism(names: tuple[str, ...], matrix: Matrix, dataset: Dataset) -> float:
    """Return how much better a model ranks the customers that it was fitted to than others."""
    count = max(2 * FOLDS, CELLS // max(len(names), 1))
    rows = quick_rows(dataset, count)
    matrix, labels = matrix[rows], dataset.labels[rows]
    fold_of = (position(dataset.groups[rows], "reference") * FOLDS).astype(np.int64)
    differences = []
    for fold in range(FOLDS):
        inside = fold_of == fold
        if len(np.unique(labels[~inside])) < 2:
            continue
        y_prob = fit(names, matrix[~inside], labels[~inside]).predict(matrix)
        quantiles = np.quantile(y_prob, PROBABILITIES).tolist()
        rankings = [
            rank_of(labels[part] == 1, y_prob[part], quantiles) for part in (~inside, inside)
        ]
        if rankings[0] and rankings[1]:
            differences.append(rankings[0].auc - rankings[1].auc)
    return rounded([max(0.0, float(np.mean(differences)))])[0] if differences else 0.0
