"""Metrics of cases that can be counted by hand."""

import math

import numpy as np
import pytest

from {{ cookiecutter.package }}.evaluation import METRICS
from {{ cookiecutter.package }}.evaluation import best_threshold
from {{ cookiecutter.package }}.evaluation import evaluate

LABELS = np.array([0, 0, 0, 1, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.7, 0.6, 0.9])


def test_every_metric_is_what_a_hand_counts() -> None:
    metrics = evaluate(LABELS, PROBABILITIES, threshold=0.6)
    assert tuple(metrics) == METRICS
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
            "baseline_accuracy": 0.6,
            "accuracy_gain": 0.2,
        }
    )


def test_the_threshold_itself_counts_as_leaving() -> None:
    assert evaluate(LABELS, PROBABILITIES, threshold=0.9)["recall"] == 0.5


def test_labels_of_one_kind_leave_the_roc_undefined() -> None:
    metrics = evaluate(np.zeros(3, dtype=np.int64), PROBABILITIES[:3], threshold=0.5)
    assert math.isnan(metrics["roc_auc"])
    assert metrics["baseline_accuracy"] == 1.0


def test_the_best_threshold_has_the_highest_f1() -> None:
    threshold = best_threshold(LABELS, PROBABILITIES)
    assert threshold == 0.6
    best = evaluate(LABELS, PROBABILITIES, threshold)["f1"]
    others = (evaluate(LABELS, PROBABILITIES, other)["f1"] for other in PROBABILITIES)
    assert best == max(others)
