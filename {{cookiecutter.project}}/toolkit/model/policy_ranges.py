"""The sane range of each number in quality.toml: outside of it a rule holds nothing, or everything.

`document` refuses what lies outside, with the reason that stands here.
"""

import math

from ..data.document import Range, Ranges

SIGNIFICANCE = Range(
    1e-6, 0.2, "a smaller one calls no change significant, a larger one takes noise for a change"
)
ENOUGH_ROWS = Range(10, 1_000, "fewer are noise, and a larger number switches comparisons off")
SHARE_OF_ROWS = Range(0, 0.5, "half of the rows in other places is another table")
STANDARD_DEVIATIONS = Range(0, 1, "a whole standard deviation apart are other customers")

# By the path of the key in the file.
RANGES: Ranges = {
    "training.seed": Range(0, 2**32 - 1, "the estimators take no other seed"),
    "training.quick_rows": Range(100, 1_000_000, "with fewer customers every figure is noise"),
    "training.folds": Range(
        3, 20, "with fewer no threshold can be chosen on the others, more only take longer"
    ),
    "training.holdout_share": Range(
        0.05, 0.5, "a smaller holdout proves nothing, a larger one leaves too little to train on"
    ),
    "training.window_days": Range(
        1, 365, "the newest customers of a year are all customers, and nobody is left to train on"
    ),
    "drift.significance": SIGNIFICANCE,
    "drift.min_rows": ENOUGH_ROWS,
    **{f"drift.numbers.{level}": STANDARD_DEVIATIONS for level in ("warn", "fail")},
    **{f"drift.predictions.{level}": STANDARD_DEVIATIONS for level in ("warn", "fail")},
    **{
        f"drift.{aspect}.{level}": SHARE_OF_ROWS
        for aspect in ("categories", "come_and_gone", "nulls", "target", "extremes", "ids")
        for level in ("warn", "fail")
    },
    **{
        f"drift.{aspect}.{level}": Range(0, 0.2, "with such a change the labels are others")
        for aspect in ("relation", "calibration")
        for level in ("warn", "fail")
    },
    "slices.min_rows": ENOUGH_ROWS,
    "slices.min_of_each": Range(
        1, 100, "with a larger one, no slice with rare churners is evaluated"
    ),
    "slices.bands": Range(2, 20, "one band is no slice, and many are too small to evaluate"),
    "slices.significance": SIGNIFICANCE,
    "champion.significance": SIGNIFICANCE,
    "champion.max_age_days": Range(
        0.01, 30, "prod would have served other releases since an older one was fetched"
    ),
    "champion.min_rows_share": Range(
        0.5, 1, "a holdout of less than half of the champion's proves much less than it did"
    ),
    "champion.max_refused": Range(
        0, 0.2, "where the champion refuses more, the others do not represent all customers"
    ),
    "fairness.min_rows": ENOUGH_ROWS,
    "fairness.significance": SIGNIFICANCE,
    "fairness.rule.max_gap": Range(0.001, 0.5, "groups so far apart are not treated alike"),
    "decay.significance": SIGNIFICANCE,
    "decay.max_fall": Range(0, 0.1, "a model that has lost so much is another one"),
    "decay.min_rows": Range(
        100, 100_000, "fewer prove nothing, and so many become known in no quarter of a year"
    ),
    "score.max_rejected": Range(
        0, 0.5, "where half of the customers are rejected, the table is another one"
    ),
    "nightly.days_ago": Range(1, 90, "the model of a longer time ago says nothing about today's"),
    "nightly.significance": Range(
        1e-6, 0.5, "a smaller one proposes no model, a larger one also those that look worse"
    ),
}

# The values that a metric can have: a threshold outside of them would pass always, or never.
SHARE = Range(0, 1, "the metric has no other values")
METRICS: Ranges = {
    **dict.fromkeys(("roc_auc", "average_precision", "accuracy", "f1", "precision"), SHARE),
    **dict.fromkeys(("recall", "brier", "calibration_error"), SHARE),
    **dict.fromkeys(("accuracy_gain", "train_test_gap"), Range(-1, 1, SHARE.why)),
    "log_loss": Range(0, 10, "a log loss of 10 is that of a model that is wrong and sure of it"),
    "latency_ms": Range(0.001, 60_000, "nobody waits a minute for one prediction"),
    "model_mb": Range(0.000001, 10_000, "git keeps every release"),
}
SHARES = tuple(name for name, one in METRICS.items() if one == SHARE)
# By the kind of a rule's bound, and its metric.
THRESHOLDS = {
    "min": METRICS,
    "max": METRICS,
    "max_below": dict.fromkeys(SHARES, Range(0, 0.5, "what is half below is as good as nothing")),
    "max_loss": dict.fromkeys(SHARES, Range(0, 0.2, "a model that loses so much is another one")),
}
# Of every other metric, which may be the owner's, with a unit of its own.
LOSS = Range(0, math.inf, "a loss is not negative")
OTHERS = {
    "max_below": LOSS,
    "max_loss": LOSS,
    "max_relative_loss": Range(0, 0.5, "half as good is not as good"),
}


def threshold(kind: str, metric: str) -> Range | None:
    """Return the range of a rule's threshold; None where the metric is the owner's."""
    return THRESHOLDS.get(kind, {}).get(metric) or OTHERS.get(kind)
