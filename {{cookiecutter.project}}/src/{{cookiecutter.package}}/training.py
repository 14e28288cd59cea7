"""Trains: quickly for a pull request, fully for a release. The split is by a hash of the id."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from . import dataset as rows_of
from .contract import Contract
from .dataset import Dataset
from .evaluation import Labels, Probabilities, best_threshold, evaluate
from .export import export
from .features import Features, Matrix
from .policy import TrainingPolicy
from .predictor import Predictor
from .progress import say

SMOKE_CASES = 8
SMOKE_TOLERANCE = 1e-5

# The threads of boosting wait for one another by spinning: where the cores are shared, as in CI,
# a second of training takes minutes. One thread is fast enough for a million rows.
THREADS = 1


@dataclass(frozen=True)
class Measured:
    """What a training run measured.

    Attributes
    ----------
    metrics
        By name, over customers that were not trained on.
    rows
        How many customers took which part.
    """

    metrics: dict[str, float]
    rows: dict[str, int]


@dataclass(frozen=True)
class Trained:
    """A model that may be released once its gate has passed.

    Attributes
    ----------
    model
        The ONNX file.
    smoke
        Held-out customers and how the model answers them.
    """

    measured: Measured
    model: bytes
    smoke: dict[str, object]


def new_pipeline(seed: int) -> Pipeline:
    """Return the untrained model: from the feature matrix, [n, k] with NaN for nulls.

    The imputer stands in front although boosting could do with nulls: whichever classifier comes
    next, a null is answered the same way, also in a column that had none in training.
    """
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        HistGradientBoostingClassifier(
            learning_rate=0.05,
            max_iter=150,
            max_leaf_nodes=15,
            early_stopping=False,
            random_state=seed,
        ),
    )


def fit(matrix: Matrix, labels: Labels, seed: int) -> Pipeline:
    """Return the pipeline, trained on features [n, k] and labels [n]."""
    with threadpool_limits(THREADS):
        return new_pipeline(seed).fit(matrix, labels)


def measure_quickly(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> Measured:
    """Measure the pipeline out of fold on a few customers, without making a model."""
    few = dataset.select(rows_of.quick_rows(dataset, policy.quick_rows))
    matrix = Features(contract).matrix(few.columns)
    probabilities = out_of_fold(few, matrix, policy)
    threshold = best_threshold(few.labels, probabilities)
    metrics = evaluate(few.labels, probabilities, threshold)
    return Measured(metrics, {"table": len(dataset), "judged": len(few)})


def train(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> Trained:
    """Train on all but the held-out customers, export, and measure the exported model on those.

    Raises
    ------
    DataError
        A part of the table has customers of one kind only.
    ExportError
        The ONNX model answers otherwise than the pipeline.
    """
    held_out = rows_of.is_held_out(dataset, policy.holdout_share)
    known, unseen = dataset.select(~held_out), dataset.select(held_out)
    rows_of.require_both_labels(unseen.labels, "the hold-out")
    features = Features(contract)
    matrix = features.matrix(known.columns)
    threshold = best_threshold(known.labels, out_of_fold(known, matrix, policy))
    say(f"training on {len(known)} customers, {len(unseen)} are held out")
    unseen_matrix = features.matrix(unseen.columns)
    pipeline = fit(matrix, known.labels, policy.seed)
    model = export(pipeline, contract, threshold, unseen_matrix)
    predictor = Predictor(contract, model)
    probabilities = predictor.probabilities(unseen_matrix).astype(np.float64)
    measured = Measured(
        evaluate(unseen.labels, probabilities, threshold),
        {"table": len(dataset), "trained": len(known), "held_out": len(unseen)},
    )
    return Trained(measured, model, smoke_cases(unseen, contract, predictor))


def out_of_fold(dataset: Dataset, matrix: Matrix, policy: TrainingPolicy) -> Probabilities:
    """Return for each customer the answer of a model that has not seen the customer's fold, [n]."""
    fold_of = rows_of.folds(dataset, policy.folds)
    probabilities = np.full(len(dataset), np.nan)
    for fold in range(policy.folds):
        say(f"fold {fold + 1} of {policy.folds}")
        judged = fold_of == fold
        rows_of.require_both_labels(dataset.labels[~judged], f"all folds but {fold + 1}")
        if judged.any():
            pipeline = fit(matrix[~judged], dataset.labels[~judged], policy.seed)
            probabilities[judged] = pipeline.predict_proba(matrix[judged])[:, 1]
    return probabilities


def smoke_cases(unseen: Dataset, contract: Contract, predictor: Predictor) -> dict[str, object]:
    """Return a few held-out customers as requests, each with the answer that /predict must give."""
    order = np.argsort(rows_of.position(unseen.ids, "smoke"), kind="stable")[:SMOKE_CASES]
    requests = as_requests(unseen.select(order), contract)
    answers = predictor.answer(requests)
    return {
        "tolerance": SMOKE_TOLERANCE,
        "cases": [
            {"request": request, "response": answer}
            for request, answer in zip(requests, answers, strict=True)
        ],
    }


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
