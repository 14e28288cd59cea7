"""Proposes thresholds for a table: the figures of cross-validation, with a margin for noise."""

import math
from dataclasses import replace

import numpy as np

from ..data.contract import Contract
from ..data.dataset import Dataset
from ..errors import DataError
from . import training
from .policy import Rule, TrainingPolicy
from .policy_ranges import METRICS

# Twice the noise would stop one sound pull request in forty.
MARGIN_SD = 3.0
RESAMPLES = 200
ROWS = 20_000
# A model that is nearly always right has been trained on the answer.
TOO_GOOD = Rule("roc_auc", "max", 0.99, "above it a column leaks the target")
# Not accuracy: the decision threshold is tuned for F1, which trades accuracy for recall.
BOUNDS = {
    "average_precision": "min",
    "f1": "min",
    "brier": "max",
    "calibration_error": "max",
    "roc_auc": "min",
}


def propose(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> list[Rule]:
    """Return rules that a good model of this table passes, after a quick and a full training.

    Raises
    ------
    DataError
        No column predicts churn better than random guessing.
    """
    quick, large = (
        training.cross_validate(
            dataset, contract, replace(policy, quick_rows=count), f"cross-validation {number} of 3"
        ).predictions
        for number, count in enumerate((policy.quick_rows, ROWS), start=1)
    )
    evaluated = min(policy.quick_rows, round(policy.holdout_share * len(dataset)))
    rng = np.random.default_rng(policy.seed)
    drawn = [
        large.metrics(counts.astype(np.float64))
        for counts in rng.multinomial(evaluated, np.full(len(large), 1 / len(large)), RESAMPLES)
    ]
    noise = {name: float(np.nanstd([one[name] for one in drawn])) for name in BOUNDS}
    reached = quick.metrics(), large.metrics()
    auc = min(metrics["roc_auc"] for metrics in reached)
    if auc - MARGIN_SD * noise["roc_auc"] <= 0.5:
        raise DataError(
            f"no column predicts churn: cross-validation reaches a ROC AUC of {auc:.3f}, and "
            f"random guessing 0.5, with a standard deviation of {noise['roc_auc']:.3f}",
            "add columns that have to do with churn, or more rows",
        )
    rules = []
    for metric, bound in BOUNDS.items():
        worst = (min if bound == "min" else max)(metrics[metric] for metrics in reached)
        rules.append(_rule(metric, bound, worst, noise[metric], evaluated))
    trained = training.train(dataset, contract, policy, "cross-validation 3 of 3")
    gap = trained.train.metrics()["roc_auc"] - trained.holdout.predictions.metrics()["roc_auc"]
    rules.append(_rule("train_test_gap", "max", gap, noise["roc_auc"], evaluated))
    return [*rules, TOO_GOOD]


def _rule(metric: str, bound: str, reached: float, sd: float, evaluated: int) -> Rule:
    """Return the rule with a margin for noise, rounded so that the margin grows."""
    limit = reached + (MARGIN_SD * sd if bound == "max" else -MARGIN_SD * sd)
    rounded = (math.ceil if bound == "max" else math.floor)(100 * limit) / 100
    possible = METRICS[metric]
    rounded = min(max(rounded, possible.low), possible.high)
    reason = (
        f"cross-validation reached {reached:.3f}; the margin is {MARGIN_SD:g} standard deviations, "
        f"each {sd:.3f} with {evaluated} customers"
    )
    return Rule(metric, bound, rounded, reason)
