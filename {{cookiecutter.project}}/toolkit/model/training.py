"""Trains: quickly for a pull request, fully for a release. The split is by a hash of the id."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from ..data import dataset as rows_of
from ..data.contract import Contract
from ..data.dataset import Dataset
from ..data.progress import step
from . import plugins
from .evaluation import Judged, Labels, Probabilities, best_threshold
from .export import export
from .features import Features, Matrix
from .policy import TrainingPolicy
from .predictor import Predictor

SMOKE_CASES = 8
REPLAY_CASES = 100
SMOKE_TOLERANCE = 1e-5
TIMED_CASES = 200
LATENCY_QUANTILE = 0.95
# The quick gate meets the champion with a model of at most so many customers, on at most so many.
CHALLENGE_ROWS = 20_000

# The threads of boosting wait for one another by spinning: where the cores are shared, as in CI,
# a second of training takes minutes. One thread is fast enough for a million rows.
THREADS = 1


@dataclass(frozen=True)
class Trial:
    """Customers that a model has not seen, and what it said of them.

    Attributes
    ----------
    customers
        Who they are.
    judged
        What became of them, and what was said.
    rows
        How many customers took which part.
    """

    customers: Dataset
    judged: Judged
    rows: dict[str, int]


@dataclass(frozen=True)
class Trained:
    """A model that may be released once its gate has passed.

    Attributes
    ----------
    trial
        The held-out customers.
    model
        The ONNX file.
    smoke
        Held-out customers and how the model answers them.
    known
        What it says of the customers that it was trained on.
    latency_ms
        In which it answers one customer, 95 times in 100, without the network.
    """

    trial: Trial
    model: bytes
    smoke: dict[str, object]
    known: Judged
    latency_ms: float


def fit(matrix: Matrix, labels: Labels, policy: TrainingPolicy) -> Pipeline:
    """Return the pipeline, trained on features [n, k] with NaN for nulls, and labels [n].

    Nulls are imputed with the training's median before the owner's estimator sees them: whichever
    comes next, a null is answered the same way, also in a column that had none in training.
    """
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    estimator = plugins.estimators(policy.package)[policy.estimator](policy.seed)
    with threadpool_limits(THREADS):
        return make_pipeline(imputer, estimator).fit(matrix, labels)


def cross_validate(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> Trial:
    """Judge a few customers out of fold, without making a model.

    Raises
    ------
    DataError
        A part of the table has customers of one kind only.
    """
    few = dataset.select(rows_of.quick_rows(dataset, policy.quick_rows))
    matrix = Features(contract).matrix(few.columns)
    given, fold_of = out_of_fold(few, matrix, policy)
    judged = decide_out_of_fold(few.labels, given, fold_of)
    return Trial(few, judged, {"table": len(dataset), "judged": len(few)})


def challenge(
    dataset: Dataset, contract: Contract, policy: TrainingPolicy, threshold: float
) -> Trial:
    """Train on some of the known customers, and judge some of those held out.

    A champion was trained on the known ones, so it can only be met on the others.

    Parameters
    ----------
    threshold
        From this probability on, a customer is said to leave.
    """
    known, unseen = (
        part.select(rows_of.quick_rows(part, CHALLENGE_ROWS)) for part in _split(dataset, policy)
    )
    features = Features(contract)
    with step(f"training on {len(known)} customers to meet the champion"):
        pipeline = fit(features.matrix(known.columns), known.labels, policy)
    given = _left(pipeline, features.matrix(unseen.columns))
    judged = Judged(unseen.labels, given, _decided(given, threshold))
    return Trial(unseen, judged, {"trained": len(known), "held_out": len(unseen)})


def train(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> Trained:
    """Train on all but the held-out customers, export, and judge those by the exported model.

    Raises
    ------
    DataError
        A part of the table has customers of one kind only.
    ExportError
        The ONNX model answers otherwise than the pipeline.
    """
    known, unseen = _split(dataset, policy)
    features = Features(contract)
    matrix, unseen_matrix = features.matrix(known.columns), features.matrix(unseen.columns)
    given, _ = out_of_fold(known, matrix, policy)
    threshold = best_threshold(known.labels, given)
    with step(f"training on {len(known)} customers, {len(unseen)} are held out"):
        pipeline = fit(matrix, known.labels, policy)
    with step(f"exporting, and comparing the answers to {len(unseen)} customers"):
        model = export(pipeline, contract, threshold, unseen_matrix)
    predictor = Predictor(contract, model)
    judged, learnt = (
        Judged(part.labels, said, _decided(said, threshold))
        for part, said in (
            (unseen, predictor.probabilities(unseen_matrix).astype(np.float64)),
            (known, predictor.probabilities(matrix).astype(np.float64)),
        )
    )
    rows = {"table": len(dataset), "trained": len(known), "held_out": len(unseen)}
    return Trained(
        trial=Trial(unseen, judged, rows),
        model=model,
        smoke=smoke_cases(unseen, contract, predictor),
        known=learnt,
        latency_ms=latency_ms(unseen, contract, predictor),
    )


def _split(dataset: Dataset, policy: TrainingPolicy) -> tuple[Dataset, Dataset]:
    """Return the customers that may be trained on, and those that are held out."""
    held_out = rows_of.is_held_out(dataset, policy.holdout_share)
    known, unseen = dataset.select(~held_out), dataset.select(held_out)
    rows_of.require_both_labels(known.labels, "what is trained on")
    rows_of.require_both_labels(unseen.labels, "the hold-out")
    return known, unseen


def out_of_fold(
    dataset: Dataset, matrix: Matrix, policy: TrainingPolicy
) -> tuple[Probabilities, npt.NDArray[np.int64]]:
    """Return each customer's answer by a model that has not seen the customer's fold, and the fold.

    Both are [n].
    """
    fold_of = rows_of.folds(dataset, policy.folds)
    probabilities = np.full(len(dataset), np.nan)
    for fold in range(policy.folds):
        judged = fold_of == fold
        rows_of.require_both_labels(dataset.labels[~judged], f"all folds but {fold + 1}")
        if judged.any():
            with step(f"fold {fold + 1} of {policy.folds}"):
                pipeline = fit(matrix[~judged], dataset.labels[~judged], policy)
                probabilities[judged] = _left(pipeline, matrix[judged])
    return probabilities, fold_of


def decide_out_of_fold(
    labels: Labels, given: Probabilities, fold_of: npt.NDArray[np.int64]
) -> Judged:
    """Decide each fold by the threshold that is best on the others: no row chooses its own."""
    decided = np.zeros(len(labels), dtype=np.int64)
    for fold in np.unique(fold_of):
        judged = fold_of == fold
        decided[judged] = _decided(given[judged], best_threshold(labels[~judged], given[~judged]))
    return Judged(labels, given, decided)


def _left(pipeline: Pipeline, matrix: Matrix) -> Probabilities:
    probabilities: Probabilities = pipeline.predict_proba(matrix)[:, 1].astype(np.float64)
    return probabilities


def _decided(given: Probabilities, threshold: float) -> Labels:
    return (given >= threshold).astype(np.int64)


def smoke_cases(unseen: Dataset, contract: Contract, predictor: Predictor) -> dict[str, object]:
    """Return a few held-out customers as requests, each with the answer that /predict must give.

    Some more stand beside them without an answer, for a canary to be asked about.
    """
    replay = _requests(unseen, contract, REPLAY_CASES)
    requests = replay[:SMOKE_CASES]
    answers = predictor.answer(requests)
    return {
        "tolerance": SMOKE_TOLERANCE,
        "cases": [
            {"request": request, "response": answer}
            for request, answer in zip(requests, answers, strict=True)
        ],
        "replay": replay,
    }


def latency_ms(unseen: Dataset, contract: Contract, predictor: Predictor) -> float:
    """Return in how many milliseconds one customer is answered, 95 times in 100."""
    seconds = []
    for request in _requests(unseen, contract, TIMED_CASES):
        began = time.perf_counter()
        predictor.answer([request])
        seconds.append(time.perf_counter() - began)
    return float(np.quantile(seconds, LATENCY_QUANTILE) * 1000)


def _requests(unseen: Dataset, contract: Contract, count: int) -> list[dict[str, Any]]:
    order = np.argsort(rows_of.position(unseen.ids, "smoke"), kind="stable")[:count]
    return as_requests(unseen.select(order), contract)


def as_requests(dataset: Dataset, contract: Contract) -> list[dict[str, Any]]:
    """Return customers as /predict is asked about them."""
    return [
        {
            column.name: _as_json(dataset.columns[column.name][row], column.type)
            for column in contract.features
        }
        for row in range(len(dataset))
    ]


def _as_json(value: float | str | None, kind: str) -> float | int | str | None:
    if value is None or isinstance(value, str):
        return value
    if np.isnan(value):
        return None
    return int(value) if kind == "integer" else float(value)
