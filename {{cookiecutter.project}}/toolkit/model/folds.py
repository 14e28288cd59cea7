"""Trains on all folds but one, and predicts that one: no model is asked about whom it has seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from ..data import dataset as rows_of
from ..data.dataset import Dataset
from . import fitting
from .evaluation import Labels, Predictions, Probabilities, best_threshold
from .features import Matrix
from .policy import TrainingPolicy

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FoldModels:
    """The models of a cross-validation, or of some of its folds.

    Attributes
    ----------
    fold_of
        Each customer's fold, [n].
    pipelines
        By fold, each trained on all the other folds.
    y_prob
        The out-of-fold probabilities, [n]: NaN for the customers of folds without a model.
    """

    fold_of: Positions
    pipelines: dict[int, Pipeline]
    y_prob: Probabilities

    def __or__(self, other: "FoldModels") -> "FoldModels":
        """Return the models of both, which are of different folds of the same customers."""
        y_prob = np.where(np.isnan(self.y_prob), other.y_prob, self.y_prob)
        return FoldModels(self.fold_of, self.pipelines | other.pipelines, y_prob)

    @cached_property
    def _narrowed(self) -> dict[int, tuple[npt.NDArray[np.bool_], Pipeline]]:
        return {fold: fitting.narrowed(one) for fold, one in self.pipelines.items()}

    def predict(self, matrix: Matrix, rows: Positions) -> Probabilities:
        """Return out-of-fold probabilities, [m].

        Parameters
        ----------
        matrix
            Features, [m, k].
        rows
            The positions of their customers, [m]: each is predicted by the model that was not
            trained on that customer.
        """
        y_prob = np.full(len(rows), np.nan)
        fold_of = self.fold_of[rows]
        for fold in np.unique(fold_of):
            inside = fold_of == fold
            mask, pipeline = self._narrowed[int(fold)]
            y_prob[inside] = fitting.probabilities(pipeline, matrix[np.ix_(inside, mask)])
        return y_prob


class Folds:
    """Customers in the folds that a hash of their id puts them in.

    Parameters
    ----------
    customers, matrix
        And their features, [n, k].
    policy
        The number of folds, and how estimators are trained.

    Attributes
    ----------
    fold_of
        Each customer's fold, [n].
    places
        The folds that have customers.

    Raises
    ------
    DataError
        All customers out of a fold have the same label.
    """

    def __init__(self, customers: Dataset, matrix: Matrix, policy: TrainingPolicy) -> None:
        self.customers, self._matrix, self._policy = customers, matrix, policy
        self.fold_of = rows_of.folds(customers, policy.folds)
        self.places: list[int] = np.unique(self.fold_of).tolist()
        for fold in range(policy.folds):
            others = customers.labels[self.fold_of != fold]
            rows_of.require_both_labels(others, f"all folds but {fold + 1}")

    def fit(self, estimators: Iterable[str], places: Sequence[int]) -> dict[str, FoldModels]:
        """Return the models of estimators in some of the folds; what they share is prepared once.

        Raises
        ------
        ConfigurationError
            An estimator cannot be trained.
        """
        policies = {name: replace(self._policy, estimator=name) for name in estimators}
        names = {fold: f"fold {fold + 1} of {self._policy.folds}" for fold in places}
        trained = fitting.at_once(
            {name: partial(self._fit_one, fold, policies) for fold, name in names.items()}
        )
        found = {}
        for estimator in policies:
            y_prob = np.full(len(self.fold_of), np.nan)
            pipelines = {}
            for fold, models in zip(places, trained, strict=True):
                pipelines[fold], y_prob[self.fold_of == fold] = models[estimator]
            found[estimator] = FoldModels(self.fold_of, pipelines, y_prob)
        return found

    def _fit_one(
        self, fold: int, policies: dict[str, TrainingPolicy]
    ) -> dict[str, tuple[Pipeline, Probabilities]]:
        """Return each estimator, trained on the other folds, and its predictions for this one."""
        inside = self.fold_of == fold
        labels, asked = self.customers.labels[~inside], self._matrix[inside]
        first, *_ = policies.values()
        prepared = fitting.prepare(self._matrix[~inside], labels, first)
        pipelines = {
            name: fitting.fit_prepared(prepared, policy) for name, policy in policies.items()
        }
        return {name: (one, fitting.probabilities(one, asked)) for name, one in pipelines.items()}


def fit_folds(customers: Dataset, matrix: Matrix, policy: TrainingPolicy) -> FoldModels:
    """Train a model for each fold, on all the others; the matrix is [n, k]."""
    folds = Folds(customers, matrix, policy)
    return folds.fit([policy.estimator], folds.places)[policy.estimator]


def predict_out_of_fold(y_true: Labels, y_prob: Probabilities, fold_of: Positions) -> Predictions:
    """Predict each fold at the threshold that is best on the others: no row chooses its own."""
    y_pred = np.zeros(len(y_true), dtype=np.int64)
    for fold in np.unique(fold_of):
        inside = fold_of == fold
        y_pred[inside] = y_prob[inside] >= best_threshold(y_true[~inside], y_prob[~inside])
    return Predictions(y_true, y_prob, y_pred)
