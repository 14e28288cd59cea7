"""Training: quick for a pull request, full for a release. A hash of the id splits the customers."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import dataset as rows_of
from ..data.contract import Contract
from ..data.dataset import Dataset
from ..data.progress import step
from . import fitting, out_of_time
from .evaluation import Predictions, Probabilities, best_threshold
from .export import export
from .features import Features, Matrix
from .fitting import fit as fit  # The owner's tests fit an estimator with it.
from .folds import FoldModels, Positions, fit_folds, predict_out_of_fold
from .out_of_time import OutOfTime
from .policy import TrainingPolicy
from .predictor import Predictor

TIMED_CASES = 200
LATENCY_QUANTILE = 0.95
# The quick gate compares with the champion a model of at most so many customers, on as many.
CHALLENGER_ROWS = 20_000


@dataclass(frozen=True)
class Evaluation:
    """Customers that a model was not trained on, and its predictions for them.

    Attributes
    ----------
    customers
        Of the holdout, or of a cross-validation.
    predictions
        For these customers, in their order.
    rows
        How many customers the table has, and how many were trained on, held out or evaluated.
    predict
        From other features [m, k] of some customers, and the positions of these [m], to
        probabilities [m]: by a model that was not trained on them.
    seen
        Which features the models look at, [k]; None where that is not known.
    """

    customers: Dataset
    predictions: Predictions
    rows: dict[str, int]
    predict: Callable[[Matrix, Positions], Probabilities]
    seen: npt.NDArray[np.bool_] | None = None

    def sees(self, places: Sequence[int]) -> bool:
        """Return whether another value of one of these features may change a prediction."""
        return self.seen is None or bool(self.seen[places].any())


@dataclass(frozen=True)
class Trained:
    """A model that may be released once its gate has passed.

    Attributes
    ----------
    holdout
        The model's predictions for the held-out customers.
    model
        The ONNX file.
    train
        The model's predictions for the customers that it was trained on.
    latency_ms
        The 95th percentile of the processor time of one prediction, without the network.
    out_of_time
        Its predictions for the newest customers; None where they are trained on as others are.
    """

    holdout: Evaluation
    model: bytes
    train: Predictions
    latency_ms: float
    out_of_time: OutOfTime | None = None


def cross_validate(
    dataset: Dataset,
    contract: Contract,
    policy: TrainingPolicy,
    progress: str = "cross-validation",
) -> Evaluation:
    """Evaluate out-of-fold predictions for `quick_rows` customers, without making a model.

    Parameters
    ----------
    progress
        The name of the step that is shown.

    Raises
    ------
    DataError
        All customers of a part of the table have the same label.
    """
    customers = dataset.select(rows_of.quick_rows(dataset, policy.quick_rows))
    matrix = Features(contract).matrix(customers.columns)
    with step(progress):
        models = fit_folds(customers, matrix, policy)
    return out_of_fold(customers, models, len(dataset))


def out_of_fold(customers: Dataset, models: FoldModels, table_rows: int) -> Evaluation:
    """Return the evaluation of customers by the models of all their folds."""
    predictions = predict_out_of_fold(customers.labels, models.y_prob, models.fold_of)
    rows = {"table": table_rows, "evaluated": len(customers)}
    seen = np.any([fitting.seen(one) for one in models.pipelines.values()], axis=0)
    return Evaluation(customers, predictions, rows, models.predict, seen)


def train_challenger(
    dataset: Dataset, contract: Contract, policy: TrainingPolicy, threshold: float
) -> Evaluation:
    """Train on a sample of the training customers, and evaluate on a sample of the holdout.

    The champion was trained on the training customers: only the holdout compares both fairly.

    Parameters
    ----------
    threshold
        The decision threshold: a customer at or above it is predicted to churn.
    """
    train, holdout = (
        part.select(rows_of.quick_rows(part, CHALLENGER_ROWS))
        for part in _split(dataset, policy)[:2]
    )
    features = Features(contract)
    with step(f"training on {len(train)} customers, to compare with the champion"):
        pipeline = fit(features.matrix(train.columns), train.labels, policy)
    y_prob = fitting.probabilities(pipeline, features.matrix(holdout.columns))
    predictions = Predictions.at_threshold(holdout.labels, y_prob, threshold)
    rows = {"trained": len(train), "held_out": len(holdout)}
    return Evaluation(
        holdout, predictions, rows, lambda matrix, _: fitting.probabilities(pipeline, matrix)
    )


def try_out_of_time(
    dataset: Dataset, contract: Contract, policy: TrainingPolicy, threshold: float
) -> OutOfTime | None:
    """Train on `quick_rows` older customers, and predict as many of the window, where there is one.

    Raises as `out_of_time.window`.
    """
    older, _, newest = _split(dataset, policy)
    if newest is None:
        return None
    train, customers = (
        part.select(rows_of.quick_rows(part, policy.quick_rows)) for part in (older, newest)
    )
    features = Features(contract)
    with step(f"training on {len(train)} customers, to predict the newest {len(customers)}"):
        pipeline = fit(features.matrix(train.columns), train.labels, policy)
    y_prob = fitting.probabilities(pipeline, features.matrix(customers.columns))
    predictions = Predictions.at_threshold(customers.labels, y_prob, threshold)
    return out_of_time.evaluated(customers, predictions)


def train(
    dataset: Dataset,
    contract: Contract,
    policy: TrainingPolicy,
    cross_validated: Evaluation | None = None,
) -> Trained:
    """Train on all but the held-out customers, export, and evaluate the exported model on those.

    Parameters
    ----------
    cross_validated
        An evaluation out of fold under this policy: of the very customers to train on it chooses
        the threshold, and they are not cross-validated again.

    Raises
    ------
    DataError
        All customers of a part of the table have the same label.
    ExportError
        The ONNX model predicts otherwise than the pipeline.
    """
    parts = _parts(dataset, contract, policy)
    train, holdout = parts.train, parts.holdout
    if cross_validated and np.array_equal(cross_validated.customers.ids, train.customers.ids):
        y_prob = cross_validated.predictions.y_prob
    else:
        with step("cross-validation"):
            y_prob = fit_folds(train.customers, train.matrix, policy).y_prob
    threshold = best_threshold(train.customers.labels, y_prob)
    sizes = f"{len(train.customers)} customers, {len(holdout.customers)} are held out"
    with step(f"training on {sizes}"):
        pipeline = fit(train.matrix, train.customers.labels, policy)
    count = len(holdout.customers)
    with step(f"exporting to ONNX, and comparing the predictions for {count} customers"):
        model = export(pipeline, contract, threshold, holdout.matrix)
    return _evaluated(model, parts, contract, fitting.seen(pipeline))


def of_model(model: bytes, dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> Trained:
    """Return what the training that has exported a model has returned: nothing is trained.

    Raises
    ------
    ConfigurationError
        The bytes are no ONNX model, or one of another contract.
    """
    return _evaluated(model, _parts(dataset, contract, policy), contract)


@dataclass(frozen=True)
class _Part:
    """Customers, and their features [n, k]."""

    customers: Dataset
    matrix: Matrix


@dataclass(frozen=True)
class _Parts:
    """The parts of a table of `rows` customers; `newest` are those of the out-of-time window."""

    rows: int
    train: _Part
    holdout: _Part
    newest: _Part | None


def _parts(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> _Parts:
    """Return the customers to train on, the holdout, and the newest ones, with their features."""
    features = Features(contract)

    def part_of(customers: Dataset) -> _Part:
        return _Part(customers, features.matrix(customers.columns))

    train, holdout, newest = _split(dataset, policy)
    return _Parts(
        *(len(dataset), part_of(train), part_of(holdout)),
        None if newest is None else part_of(newest),
    )


def _evaluated(
    model: bytes, parts: _Parts, contract: Contract, seen: npt.NDArray[np.bool_] | None = None
) -> Trained:
    train, holdout, newest = parts.train, parts.holdout, parts.newest
    predictor = Predictor(contract, model)

    def probabilities(matrix: Matrix) -> Probabilities:
        return predictor.probabilities(matrix).astype(np.float64)

    def predict(part: _Part) -> Predictions:
        return Predictions.at_threshold(
            part.customers.labels, probabilities(part.matrix), predictor.threshold
        )

    on_holdout, on_train = predict(holdout), predict(train)
    trained, held_out = len(train.customers), len(holdout.customers)
    rows = {"table": parts.rows, "trained": trained, "held_out": held_out}
    newly = None
    if newest:
        rows["out_of_time"] = len(newest.customers)
        newly = out_of_time.evaluated(newest.customers, predict(newest))
    customers = holdout.customers
    return Trained(
        holdout=Evaluation(
            *(customers, on_holdout, rows, lambda matrix, _: probabilities(matrix)), seen
        ),
        model=model,
        train=on_train,
        latency_ms=latency_ms(customers, contract, predictor),
        out_of_time=newly,
    )


def _split(dataset: Dataset, policy: TrainingPolicy) -> tuple[Dataset, Dataset, Dataset | None]:
    """Return the customers to train on, the holdout by the hash, and those of the window.

    The newest customers of the holdout are in the window too: neither is trained on.
    """
    held_out = rows_of.is_held_out(dataset, policy.holdout_share)
    inside = out_of_time.window(dataset, policy)
    spared = held_out if inside is None else held_out | inside
    train, holdout = dataset.select(~spared), dataset.select(held_out)
    rows_of.require_both_labels(train.labels, "the training data")
    rows_of.require_both_labels(holdout.labels, "the holdout")
    return train, holdout, None if inside is None else dataset.select(inside)


def latency_ms(holdout: Dataset, contract: Contract, predictor: Predictor) -> float:
    """Return the 95th percentile of the processor time of one prediction, in milliseconds.

    Not of the time on the wall: how busy a machine is says nothing about a model.
    """
    seconds = []
    for request in _requests(holdout, contract, TIMED_CASES):
        began = time.process_time()
        predictor.answer([request])
        seconds.append(time.process_time() - began)
    return float(np.quantile(seconds, LATENCY_QUANTILE) * 1000)


def _requests(holdout: Dataset, contract: Contract, count: int) -> list[dict[str, Any]]:
    order = np.argsort(rows_of.position(holdout.ids, "smoke"), kind="stable")[:count]
    return as_requests(holdout.select(order), contract)


def as_requests(dataset: Dataset, contract: Contract) -> list[dict[str, Any]]:
    """Return customers as the body of a request to /predict has them."""
    columns = {
        column.name: [
            _as_json(value, column.type) for value in dataset.columns[column.name].tolist()
        ]
        for column in contract.features
    }
    return [{name: values[row] for name, values in columns.items()} for row in range(len(dataset))]


def _as_json(value: float | str | None, kind: str) -> float | int | str | None:
    if value is None or isinstance(value, str):
        return value
    if math.isnan(value):
        return None
    return int(value) if kind == "integer" else value
