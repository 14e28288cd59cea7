"""Measures a model: everything that the gate decides by, as the evidence keeps it."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
from sklearn import metrics as sk

from ..data.contract import Contract
from ..data.probe import strongest_column
from ..data.reference import Reference
from . import fairness
from .champion import SCORED, Champion
from .comparison import compare, compare_roc_auc
from .evaluation import Predictions, evaluate
from .importance import permutation_importance
from .out_of_time import OutOfTime
from .policy import FairnessPolicy, Policy, SlicePolicy
from .slices import slices_of
from .training import Evaluation, Trained

CURVE_POINTS = 101
HISTOGRAM_BINS = 20

Document = dict[str, Any]


def measure(
    evaluation: Evaluation, contract: Contract, reference: Reference, policy: Policy
) -> Document:
    """Measure a model on customers that it was not trained on.

    Returns
    -------
    evidence
        JSON that `gates.decide` reads, with what is shown beside it: permutation importance, and
        the curves to draw.
    """
    shown: Document = jsonable(
        {
            "permutation_importance": asdict(
                permutation_importance(evaluation, contract, policy.training.seed)
            ),
            "curves": _curves(evaluation.predictions),
        }
    )
    return decided_by(evaluation, contract, reference, policy) | shown


def decided_by(
    evaluation: Evaluation, contract: Contract, reference: Reference, policy: Policy
) -> Document:
    """Measure what `gates.decide` reads: rows, metrics, slices, fairness, the strongest column."""
    predictions = evaluation.predictions
    name, auc = strongest_column(evaluation.customers, contract)
    measured: Document = jsonable(
        {
            "rows": evaluation.rows,
            "estimator": policy.training.estimator,
            "evaluate": policy.training.evaluate,
            "input_features": [column.name for column in contract.features],
            "churned": int(predictions.y_true.sum()),
            "answers": len(np.unique(predictions.y_prob)),
            "metrics": _metrics(predictions, policy),
            "strongest_column": {"name": name, "roc_auc": auc},
            "slices": _slices(evaluation, contract, reference, policy),
            "fairness": _fairness(evaluation, policy.fairness),
        }
    )
    return measured


def _metrics(predictions: Predictions, policy: Policy) -> Document:
    """Return every metric with its interval; those of the owner have their unit beside it."""
    estimates = evaluate(predictions, policy.training.seed, policy.metrics)
    measured = {name: asdict(estimate) for name, estimate in estimates.items()}
    for metric in policy.metrics:
        measured[metric.name]["unit"] = metric.metric.unit
    return measured


def _slices(
    evaluation: Evaluation, contract: Contract, reference: Reference, policy: Policy
) -> list[dict[str, Any]]:
    """Measure every slice; of one that is too small, only its size."""
    found = []
    for one in slices_of(evaluation.customers, contract, reference, policy.slices.bands):
        rows, churned = int(one.rows.sum()), int(evaluation.predictions.y_true[one.rows].sum())
        metrics = None
        if _is_large(rows, churned, policy.slices):
            metrics = _metrics(evaluation.predictions.select(one.rows), policy)
        found.append({"name": one.name, "rows": rows, "churned": churned, "metrics": metrics})
    return found


def _is_large(rows: int, churned: int, policy: SlicePolicy) -> bool:
    return rows >= policy.min_rows and min(churned, rows - churned) >= policy.min_of_each


def _fairness(evaluation: Evaluation, policy: FairnessPolicy) -> list[dict[str, Any]]:
    found = []
    customers = evaluation.customers
    for column in policy.columns:
        groups = customers.protected.get(column, customers.columns.get(column))
        if groups is None or groups.dtype != object:
            # It has no groups: the gate fails because the figure is missing.
            found.append({"column": column, "metric": None})
            continue
        gaps = fairness.gaps(evaluation.predictions, column, groups, policy.min_rows)
        found += [asdict(gap) for gap in gaps]
    return found


def compare_with_champion(
    evaluation: Evaluation,
    champion: Champion,
    contract: Contract,
    reference: Reference,
    policy: Policy,
) -> Document:
    """Compare a candidate with the champion on the same customers: all of them, and by slices."""
    facts = {
        "state": champion.state,
        "why": champion.why,
        "release": champion.release,
        "model_sha256": champion.model_sha256,
        "environment": champion.environment,
        "served_since": champion.served_since,
        "age_days": champion.age_days,
    }
    if champion.state != SCORED:
        return facts
    scored = champion.is_scored
    theirs = champion.predictions(evaluation.predictions.y_true)
    ours = evaluation.predictions.select(scored)
    features = [(column.name, column.type) for column in contract.features]
    comparisons = []
    by_slices = []
    if ours.has_both_labels:
        compared = compare(ours, theirs, policy.training.seed, policy.metrics)
        comparisons = [asdict(one) for one in compared]
        for one in slices_of(evaluation.customers, contract, reference, policy.slices.bands):
            rows = one.rows[scored]
            part = ours.select(rows)
            if _is_large(len(part), int(part.y_true.sum()), policy.slices):
                auc = compare_roc_auc(part, theirs.select(rows))
                by_slices.append({"name": one.name, "comparisons": [asdict(auc)]})
    document: Document = jsonable(
        facts
        | {
            "rows": len(ours),
            "refused": len(evaluation.predictions) - len(ours),
            "rows_when_released": champion.rows,
            "churned": int(evaluation.predictions.y_true.sum()),
            "churned_when_released": champion.churned,
            "roc_auc_when_released": champion.roc_auc,
            "held_out": evaluation.rows["held_out"],
            "missing_features": [list(one) for one in champion.features if one not in features],
            "new_features": [list(one) for one in features if one not in champion.features],
            "comparisons": comparisons,
            "slices": by_slices,
            "curves": _curves(theirs),
        }
    )
    return document


def of_the_model(trained: Trained) -> Document:
    """Return the figures that only a model which could be released has, without intervals."""
    gap = trained.train.metrics()["roc_auc"] - trained.holdout.predictions.metrics()["roc_auc"]
    figures = {
        "train_test_gap": gap,
        "latency_ms": trained.latency_ms,
        "model_mb": len(trained.model) / 1e6,
    }
    found: Document = jsonable(
        {name: {"value": value, "low": None, "high": None} for name, value in figures.items()}
    )
    return found


def of_the_window(found: OutOfTime | None, policy: Policy) -> Document | None:
    """Measure a model on the newest customers; None where no window was asked for."""
    if found is None:
        return None
    predictions = found.predictions
    document: Document = jsonable(
        {
            "from": found.first.isoformat(),
            "to": found.last.isoformat(),
            "rows": len(predictions),
            "churned": int(predictions.y_true.sum()),
            "metrics": _metrics(predictions, policy),
        }
    )
    return document


def _curves(predictions: Predictions) -> Document:
    """Return what is drawn: ROC, precision-recall and calibration curve, confusion, histogram."""
    if not predictions.has_both_labels:
        return {}
    y_true, y_prob = predictions.y_true, predictions.y_prob
    false_positive_rate, true_positive_rate, _ = sk.roc_curve(y_true, y_prob)
    precision, recall, _ = sk.precision_recall_curve(y_true, y_prob)
    bins = predictions.calibration_bins
    churned, predicted = y_true == 1, predictions.y_pred == 1
    return {
        "roc": _thinned(zip(false_positive_rate, true_positive_rate, strict=True)),
        "precision_recall": _thinned(zip(recall[::-1], precision[::-1], strict=True)),
        "calibration": [
            [
                float(y_prob[bins == place].mean()),
                float(y_true[bins == place].mean()),
                int((bins == place).sum()),
            ]
            for place in np.unique(bins)
        ],
        "confusion": {
            "true_positives": int((churned & predicted).sum()),
            "false_negatives": int((churned & ~predicted).sum()),
            "false_positives": int((~churned & predicted).sum()),
            "true_negatives": int((~churned & ~predicted).sum()),
        },
        "histogram": {
            name: np.histogram(y_prob[rows], HISTOGRAM_BINS, (0, 1))[0].tolist()
            for name, rows in (("churned", churned), ("retained", ~churned))
        },
    }


def _thinned(points: Iterable[tuple[float, float]]) -> list[list[float]]:
    """Return about a hundred points of a curve, with both ends."""
    every = list(points)
    places = np.unique(np.linspace(0, len(every) - 1, CURVE_POINTS).astype(int))
    return [[round(float(value), 5) for value in every[place]] for place in places]


def jsonable(value: Any) -> Any:
    """Return what strict JSON can hold: NaN and infinity become null, which no rule accepts."""
    if isinstance(value, dict):
        return {key: jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
