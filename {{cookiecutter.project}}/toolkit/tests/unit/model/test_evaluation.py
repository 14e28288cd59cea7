"""Metrics are scikit-learn's, and their 95 % intervals cover the truth 95 times in 100."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from toolkit.model.evaluation import METRICS, Predictions, best_threshold, evaluate, resamples

LABELS = np.array([0, 0, 0, 1, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.7, 0.6, 0.9])


def predictions(labels: object, probabilities: object, threshold: float = 0.5) -> Predictions:
    y_true = np.asarray(labels, dtype=np.int64)
    return Predictions.at_threshold(y_true, np.asarray(probabilities, dtype=np.float64), threshold)


def drawn(rows: int, seed: int, ties: bool = False) -> Predictions:
    """Return customers whose probabilities have something to do with their labels."""
    rng = np.random.default_rng(seed)
    y_true = (rng.random(rows) < 0.3).astype(np.int64)
    y_prob = 1 / (1 + np.exp(-(rng.normal(size=rows) + 1.5 * y_true - 1)))
    return predictions(y_true, np.round(y_prob, 1) if ties else y_prob, 0.4)


def test_every_metric_is_what_one_counts_by_hand() -> None:
    metrics = predictions(LABELS, PROBABILITIES, threshold=0.6).metrics()
    assert tuple(metrics) == METRICS
    calibration = metrics.pop("calibration_error")
    assert metrics == pytest.approx(
        {
            "roc_auc": 5 / 6,
            "average_precision": (1 + 2 / 3) / 2,
            "brier": (0.01 + 0.04 + 0.49 + 0.16 + 0.01) / 5,
            "log_loss": -sum(map(math.log, (0.9, 0.8, 0.3, 0.6, 0.9))) / 5,
            "accuracy": 0.8,
            "f1": 0.8,
            "precision": 2 / 3,
            "recall": 1.0,
            "accuracy_gain": 0.2,
        }
    )
    # Five customers are five bins of one each.
    assert calibration == pytest.approx((0.1 + 0.2 + 0.7 + 0.4 + 0.1) / 5)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_metric_is_scikit_learn_s(ties: bool, weighted: bool) -> None:
    one = drawn(500, seed=4, ties=ties)
    weights = next(resamples(500, seed=2)) if weighted else np.ones(500)
    metrics = one.metrics(weights)
    for name, expected in (
        ("roc_auc", sk.roc_auc_score(one.y_true, one.y_prob, sample_weight=weights)),
        (
            "average_precision",
            sk.average_precision_score(one.y_true, one.y_prob, sample_weight=weights),
        ),
        ("brier", sk.brier_score_loss(one.y_true, one.y_prob, sample_weight=weights)),
        ("log_loss", sk.log_loss(one.y_true, one.y_prob, sample_weight=weights)),
        ("accuracy", sk.accuracy_score(one.y_true, one.y_pred, sample_weight=weights)),
        ("f1", sk.f1_score(one.y_true, one.y_pred, sample_weight=weights)),
        ("precision", sk.precision_score(one.y_true, one.y_pred, sample_weight=weights)),
        ("recall", sk.recall_score(one.y_true, one.y_pred, sample_weight=weights)),
    ):
        assert metrics[name] == pytest.approx(expected, abs=1e-7), name


def test_the_calibration_error_is_small_only_where_the_observed_rate_is_the_predicted_one() -> None:
    rng = np.random.default_rng(6)
    y_prob = rng.random(20_000)
    y_true = (rng.random(20_000) < y_prob).astype(np.int64)
    assert predictions(y_true, y_prob).metrics()["calibration_error"] < 0.02
    assert predictions(y_true, y_prob**3).metrics()["calibration_error"] > 0.15


def test_a_single_label_leaves_the_roc_auc_undefined() -> None:
    metrics = predictions(np.zeros(3), PROBABILITIES[:3]).metrics()
    assert math.isnan(metrics["roc_auc"]) and math.isnan(metrics["recall"])
    assert metrics["accuracy_gain"] == pytest.approx(-1 / 3)


def test_a_certain_mistake_costs_much_but_not_infinitely() -> None:
    assert 5 < predictions([1, 0, 0], [0.0, 0.1, 0.1]).metrics()["log_loss"] < 10


def test_an_interval_covers_the_truth_about_95_times_in_100() -> None:
    truth = drawn(200_000, seed=99).metrics()
    covered = dict.fromkeys(("roc_auc", "f1", "brier", "average_precision"), 0)
    for seed in range(100):
        estimates = evaluate(drawn(400, seed), seed)
        for metric in covered:
            low, high = estimates[metric].low, estimates[metric].high
            assert low <= estimates[metric].value <= high
            covered[metric] += low <= truth[metric] <= high
    assert all(88 <= count <= 100 for count in covered.values()), covered


def test_an_interval_is_the_same_twice_and_narrower_with_more_customers() -> None:
    few, many = (evaluate(drawn(rows, 1), 1)["roc_auc"] for rows in (300, 3000))
    assert evaluate(drawn(300, 1), 1)["roc_auc"] == few
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_what_is_undefined_has_an_undefined_interval() -> None:
    estimate = evaluate(predictions(np.zeros(50), np.linspace(0, 1, 50)), 1)["roc_auc"]
    assert math.isnan(estimate.value) and math.isnan(estimate.low)


def test_a_table_of_a_million_is_resampled_less_often() -> None:
    assert sum(1 for _ in resamples(100, 1)) == 200
    assert sum(1 for _ in resamples(500_000, 1)) == 40


def test_the_best_threshold_has_the_highest_f1() -> None:
    threshold = best_threshold(LABELS, PROBABILITIES)
    assert threshold == 0.6
    best = predictions(LABELS, PROBABILITIES, threshold).metrics()["f1"]
    others = (predictions(LABELS, PROBABILITIES, other).metrics()["f1"] for other in PROBABILITIES)
    assert best == max(others)
