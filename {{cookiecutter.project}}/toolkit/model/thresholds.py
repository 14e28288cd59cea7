"""Proposes thresholds for a table: the figures of cross-validation, with a margin for noise."""

import math

import numpy as np

from ..errors import DataError
from .evaluation import Predictions
from .policy import Rule, TrainingPolicy
from .policy_ranges import METRICS
from .training import Trained

# Twice the noise would stop one sound pull request in forty.
MARGIN_SD = 3.0
RESAMPLES = 200
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


def propose(
    quick: Predictions, large: Predictions, trained: Trained, held_out: int, policy: TrainingPolicy
) -> list[Rule]:
    """Return rules that a good model of this table passes, after a quick and a full training.

    Parameters
    ----------
    quick, large
        The out-of-fold predictions for `quick_rows` customers, and for more where there are more.
    trained
        A full training, for its gap between training and holdout.
    held_out
        How many customers the holdout of the whole table has.

    Raises
    ------
    DataError
        No column predicts churn better than random guessing.
    """
    evaluated = min(policy.quick_rows, held_out)
    rng = np.random.default_rng(policy.seed)
    drawn = [
        large.metrics(counts.astype(np.float64))
        for counts in rng.multinomial(evaluated, np.full(len(large), 1 / len(large)), RESAMPLES)
    ]
    noise = {name: float(np.nanstd([one[name] for one in drawn])) for name in BOUNDS}
    holdout = trained.holdout.predictions.metrics()
    # Each is a sample with luck of its own: a rule must hold for all.
    reached = quick.metrics(), large.metrics(), holdout
    auc = min(metrics["roc_auc"] for metrics in reached[:2])
    if auc - MARGIN_SD * noise["roc_auc"] <= 0.5:
        raise DataError(
            f"no column predicts churn: cross-validation reaches a ROC AUC of {auc:.3f}, and "
            f"random guessing 0.5, with a standard deviation of {noise['roc_auc']:.3f} for "
            f"{evaluated} customers, the fewer of the quick gate and the holdout",
            "add columns that have to do with churn, or more rows"
            + _rows_that_it_takes(auc, noise["roc_auc"], round(evaluated / policy.holdout_share)),
        )
    rules = []
    for metric, bound in BOUNDS.items():
        worst = (min if bound == "min" else max)(metrics[metric] for metrics in reached)
        rules.append(_rule(metric, bound, worst, noise[metric], evaluated))
    gap = trained.train.metrics()["roc_auc"] - holdout["roc_auc"]
    rules.append(_rule("train_test_gap", "max", gap, noise["roc_auc"], evaluated))
    return [*rules, TOO_GOOD]


def _rows_that_it_takes(auc: float, sd: float, rows: int) -> str:
    """Return in words how many rows would tell a ROC AUC from guessing, if it is above it at all.

    Parameters
    ----------
    sd
        Of the ROC AUC, when the table has as many rows as `rows`.
    """
    if auc - 0.5 < sd / 2:
        return ""
    needed = rows * (MARGIN_SD * sd / (auc - 0.5)) ** 2
    return f": about {float(f'{needed:.2g}'):.0f} rows with as large a share of churn would do"


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
