"""Proposes thresholds for a table: what cross-validation reaches, minus what noise may take."""

import math

import numpy as np

from . import training
from .contract import Contract
from .dataset import Dataset, quick_rows
from .errors import DataError
from .evaluation import best_threshold, evaluate
from .features import Features
from .policy import Rule, TrainingPolicy

# Twice the noise would stop one sound pull request in forty.
MARGIN_SD = 3.0
RESAMPLES = 50  # Enough to know a standard deviation to a tenth.
ROWS = 20_000
# A model that is nearly always right has seen the answer.
TOO_GOOD = Rule("roc_auc", "max", 0.99, "above it a column knows the answer")
# Not accuracy: the decision threshold is tuned for F1, which pays for recall with accuracy.
BOUNDS = {"average_precision": "min", "f1": "min", "brier": "max", "roc_auc": "min"}


def propose(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> list[Rule]:
    """Return rules that a sound model of this table passes, quickly and fully trained.

    Raises
    ------
    DataError
        No column tells who leaves.
    """
    judged = min(policy.quick_rows, round(policy.holdout_share * len(dataset)))
    reached: list[dict[str, float]] = []
    for count in (policy.quick_rows, ROWS):
        few = dataset.select(quick_rows(dataset, count))
        training_matrix = Features(contract).matrix(few.columns)
        given = training.out_of_fold(few, training_matrix, policy)
        threshold = best_threshold(few.labels, given)
        reached.append(evaluate(few.labels, given, threshold))
    rng = np.random.default_rng(policy.seed)
    draws = [rng.integers(0, len(few), judged) for _ in range(RESAMPLES)]
    resampled = [evaluate(few.labels[draw], given[draw], threshold) for draw in draws]
    rules = []
    for metric, bound in BOUNDS.items():
        sd = float(np.nanstd([metrics[metric] for metrics in resampled]))
        worst = (min if bound == "min" else max)(metrics[metric] for metrics in reached)
        limit = worst + (MARGIN_SD * sd if bound == "max" else -MARGIN_SD * sd)
        if metric == "roc_auc" and limit <= 0.5:
            raise DataError(
                f"no column tells who leaves: cross-validation reaches an AUC of {worst:.3f}, "
                f"and guessing 0.5, with a standard deviation of {sd:.3f}",
                "add columns that have to do with leaving, or more rows",
            )
        rounded = (math.ceil if bound == "max" else math.floor)(100 * limit) / 100
        reason = (
            f"cross-validation reaches {worst:.3f}; this is {MARGIN_SD:g} standard deviations "
            f"({sd:.3f} with {judged} customers) off"
        )
        rules.append(Rule(metric, bound, rounded, reason))
    return [*rules, TOO_GOOD]
