"""Measures a trial: everything that the gate decides by, as the evidence will tell it."""

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
from .evaluation import CALIBRATION_BINS, Judged, evaluate
from .policy import FairnessPolicy, Policy, SlicePolicy
from .slices import slices_of
from .training import Trained, Trial

CURVE_POINTS = 101

Document = dict[str, Any]


def measure(trial: Trial, contract: Contract, reference: Reference, policy: Policy) -> Document:
    """Measure a model on customers that it has not seen.

    Returns
    -------
    evidence
        JSON that `gates.decide` reads: rows, metrics, slices, fairness, and curves to draw.
    """
    judged = trial.judged
    name, auc = strongest_column(trial.customers, contract)
    measured: Document = jsonable(
        {
            "rows": trial.rows,
            "estimator": policy.training.estimator,
            "asked_with": [column.name for column in contract.features],
            "left": int(judged.labels.sum()),
            "answers": len(np.unique(judged.probabilities)),
            "metrics": {
                metric: asdict(estimate)
                for metric, estimate in evaluate(judged, policy.training.seed).items()
            },
            "strongest_column": {"name": name, "roc_auc": auc},
            "slices": _slices(trial, contract, reference, policy),
            "fairness": _fairness(trial, policy.fairness),
            "curves": _curves(judged),
        }
    )
    return measured


def _slices(
    trial: Trial, contract: Contract, reference: Reference, policy: Policy
) -> list[dict[str, Any]]:
    """Measure every slice; one that is too small says only how large it is."""
    found = []
    for one in slices_of(trial.customers, contract, reference, policy.slices.bands):
        part = trial.judged.select(one.rows)
        entry: dict[str, Any] = {
            "name": one.name,
            "rows": len(part),
            "left": int(part.labels.sum()),
            "metrics": None,
        }
        if _is_large(part, policy.slices):
            estimates = evaluate(part, policy.training.seed)
            entry["metrics"] = {metric: asdict(value) for metric, value in estimates.items()}
        found.append(entry)
    return found


def _is_large(part: Judged, policy: SlicePolicy) -> bool:
    left = int(part.labels.sum())
    return len(part) >= policy.min_rows and min(left, len(part) - left) >= policy.min_of_each


def _fairness(trial: Trial, policy: FairnessPolicy) -> list[dict[str, Any]]:
    found = []
    for column in policy.columns:
        groups = trial.customers.protected.get(column, trial.customers.columns.get(column))
        if groups is None or groups.dtype != object:
            # No group of it can be told apart: the gate fails for want of the figure.
            found.append({"column": column, "metric": None})
            continue
        gaps = fairness.gaps(trial.judged, column, groups, policy.min_rows)
        found += [asdict(gap) for gap in gaps]
    return found


def meet(
    trial: Trial, champion: Champion, contract: Contract, reference: Reference, policy: Policy
) -> Document:
    """Compare a candidate with the champion on the same customers, all together and by slices."""
    told = {
        "state": champion.state,
        "why": champion.why,
        "release": champion.release,
        "model_sha256": champion.model_sha256,
        "environment": champion.environment,
        "served_since": champion.served_since,
        "age_days": champion.age_days,
    }
    if champion.state != SCORED:
        return told
    answered = champion.answered
    theirs = champion.judged(trial.judged.labels)
    ours = trial.judged.select(answered)
    features = [(column.name, column.type) for column in contract.features]
    comparisons = []
    by_slices = []
    if ours.has_both_labels:
        comparisons = [asdict(one) for one in compare(ours, theirs, policy.training.seed)]
        for one in slices_of(trial.customers, contract, reference, policy.slices.bands):
            rows = one.rows[answered]
            part = ours.select(rows)
            if _is_large(part, policy.slices):
                compared = compare_roc_auc(part, theirs.select(rows))
                by_slices.append({"name": one.name, "comparisons": [asdict(compared)]})
    met: Document = jsonable(
        told
        | {
            "rows": len(ours),
            "refused": len(trial.judged) - len(ours),
            "rows_when_released": champion.rows,
            "held_out": trial.rows["held_out"],
            "missing_features": [list(one) for one in champion.features if one not in features],
            "new_features": [list(one) for one in features if one not in champion.features],
            "comparisons": comparisons,
            "slices": by_slices,
            "curves": _curves(theirs),
        }
    )
    return met


def of_the_model(trained: Trained) -> Document:
    """Return the figures that only a model which could be released has, without intervals."""
    known, unseen = trained.known.metrics(), trained.trial.judged.metrics()
    figures = {
        "train_test_gap": known["roc_auc"] - unseen["roc_auc"],
        "latency_ms": trained.latency_ms,
        "model_mb": len(trained.model) / 1e6,
    }
    found: Document = jsonable(
        {name: {"value": value, "low": None, "high": None} for name, value in figures.items()}
    )
    return found


def _curves(judged: Judged) -> Document:
    """Return what is drawn: ROC, precision against recall, calibration, confusion, histogram."""
    if not judged.has_both_labels:
        return {}
    false, true, _ = sk.roc_curve(judged.labels, judged.probabilities)
    precision, recall, _ = sk.precision_recall_curve(judged.labels, judged.probabilities)
    edges = np.unique(
        np.quantile(judged.probabilities, np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS)
    )
    bins = np.searchsorted(edges, judged.probabilities)
    called = judged.decided == 1
    left = judged.labels == 1
    return {
        "roc": _thinned(zip(false, true, strict=True)),
        "precision_recall": _thinned(zip(recall[::-1], precision[::-1], strict=True)),
        "calibration": [
            [
                float(judged.probabilities[bins == place].mean()),
                float(judged.labels[bins == place].mean()),
                int((bins == place).sum()),
            ]
            for place in np.unique(bins)
        ],
        "confusion": {
            "left_and_called": int((left & called).sum()),
            "left_and_missed": int((left & ~called).sum()),
            "stayed_and_called": int((~left & called).sum()),
            "stayed_and_spared": int((~left & ~called).sum()),
        },
        "histogram": {
            "left": np.histogram(judged.probabilities[left], 20, (0, 1))[0].tolist(),
            "stayed": np.histogram(judged.probabilities[~left], 20, (0, 1))[0].tolist(),
        },
    }


def _thinned(points: Iterable[tuple[float, float]]) -> list[list[float]]:
    """Return about a hundred points of a curve, its ends among them."""
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
