"""Metrics are scikit-learn's, and their intervals hold what they say."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from toolkit.model.evaluation import METRICS, Judged, best_threshold, evaluate, resamples

LABELS = np.array([0, 0, 0, 1, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.7, 0.6, 0.9])


def judged(labels: object, probabilities: object, threshold: float = 0.5) -> Judged:
    given = np.asarray(probabilities, dtype=np.float64)
    decided = (given >= threshold).astype(np.int64)
    return Judged(np.asarray(labels, dtype=np.int64), given, decided)


def drawn(rows: int, seed: int, ties: bool = False) -> Judged:
    """Return customers whose probabilities have something to do with their labels."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.3).astype(np.int64)
    given = 1 / (1 + np.exp(-(rng.normal(size=rows) + 1.5 * labels - 1)))
    return judged(labels, np.round(given, 1) if ties else given, 0.4)


def test_every_metric_is_what_a_hand_counts() -> None:
    metrics = judged(LABELS, PROBABILITIES, threshold=0.6).metrics()
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
        ("roc_auc", sk.roc_auc_score(one.labels, one.probabilities, sample_weight=weights)),
        (
            "average_precision",
            sk.average_precision_score(one.labels, one.probabilities, sample_weight=weights),
        ),
        ("brier", sk.brier_score_loss(one.labels, one.probabilities, sample_weight=weights)),
        ("log_loss", sk.log_loss(one.labels, one.probabilities, sample_weight=weights)),
        ("accuracy", sk.accuracy_score(one.labels, one.decided, sample_weight=weights)),
        ("f1", sk.f1_score(one.labels, one.decided, sample_weight=weights)),
        ("precision", sk.precision_score(one.labels, one.decided, sample_weight=weights)),
        ("recall", sk.recall_score(one.labels, one.decided, sample_weight=weights)),
    ):
        assert metrics[name] == pytest.approx(expected, abs=1e-7), name


def test_the_calibration_error_is_small_only_where_what_is_said_comes_true() -> None:
    rng = np.random.default_rng(6)
    said = rng.random(20_000)
    labels = (rng.random(20_000) < said).astype(np.int64)
    assert judged(labels, said).metrics()["calibration_error"] < 0.02
    assert judged(labels, said**3).metrics()["calibration_error"] > 0.15


def test_labels_of_one_kind_leave_the_roc_undefined() -> None:
    metrics = judged(np.zeros(3), PROBABILITIES[:3]).metrics()
    assert math.isnan(metrics["roc_auc"]) and math.isnan(metrics["recall"])
    assert metrics["accuracy_gain"] == pytest.approx(-1 / 3)


def test_a_certain_mistake_costs_much_but_not_infinitely() -> None:
    assert 5 < judged([1, 0, 0], [0.0, 0.1, 0.1]).metrics()["log_loss"] < 10


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    truth = drawn(200_000, seed=99).metrics()
    held = dict.fromkeys(("roc_auc", "f1", "brier", "average_precision"), 0)
    for seed in range(100):
        estimates = evaluate(drawn(400, seed), seed)
        for metric in held:
            low, high = estimates[metric].low, estimates[metric].high
            assert low <= estimates[metric].value <= high
            held[metric] += low <= truth[metric] <= high
    assert all(88 <= count <= 100 for count in held.values()), held


def test_an_interval_is_the_same_twice_and_narrower_with_more_customers() -> None:
    few, many = (evaluate(drawn(rows, 1), 1)["roc_auc"] for rows in (300, 3000))
    assert evaluate(drawn(300, 1), 1)["roc_auc"] == few
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_what_is_undefined_has_an_undefined_interval() -> None:
    estimate = evaluate(judged(np.zeros(50), np.linspace(0, 1, 50)), 1)["roc_auc"]
    assert math.isnan(estimate.value) and math.isnan(estimate.low)


def test_a_table_of_a_million_is_resampled_less_often() -> None:
    assert sum(1 for _ in resamples(100, 1)) == 200
    assert sum(1 for _ in resamples(500_000, 1)) == 40


def test_the_best_threshold_has_the_highest_f1() -> None:
    threshold = best_threshold(LABELS, PROBABILITIES)
    assert threshold == 0.6
    best = judged(LABELS, PROBABILITIES, threshold).metrics()["f1"]
    others = (judged(LABELS, PROBABILITIES, other).metrics()["f1"] for other in PROBABILITIES)
    assert best == max(others)
