"""What is measured of a model: a few numbers over the customers that it was not trained on."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


def baseline_accuracy(labels: Labels, decided: Labels) -> float:
    """Return the accuracy of saying of everybody what is true of most."""
    share = float(labels.mean())
    return max(share, 1 - share)


def accuracy_gain(labels: Labels, decided: Labels) -> float:
    """Return how much more often the model is right than the baseline."""
    return float(sk.accuracy_score(labels, decided)) - baseline_accuracy(labels, decided)


# scikit-learn's return types are wider than a float; `evaluate` narrows them.
OF_PROBABILITIES: dict[str, Callable[[Labels, Probabilities], Any]] = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "brier": sk.brier_score_loss,
    "log_loss": lambda labels, given: sk.log_loss(labels, given, labels=[0, 1]),
}
OF_DECISIONS: dict[str, Callable[[Labels, Labels], Any]] = {
    "accuracy": sk.accuracy_score,
    "f1": sk.f1_score,
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "baseline_accuracy": baseline_accuracy,
    "accuracy_gain": accuracy_gain,
}
METRICS = (*OF_PROBABILITIES, *OF_DECISIONS)


def evaluate(labels: Labels, probabilities: Probabilities, threshold: float) -> dict[str, float]:
    """Return every metric by name; one that these labels leave undefined is NaN.

    Parameters
    ----------
    labels
        1 for a customer who left, [n].
    probabilities
        Of leaving, [n].
    threshold
        From this probability on, the model says that a customer leaves.
    """
    decided = (probabilities >= threshold).astype(np.int64)
    with warnings.catch_warnings():
        # Labels of one kind leave the ROC undefined: its NaN says so, and fails the gate.
        warnings.simplefilter("ignore", UserWarning)
        return {
            **{name: float(of(labels, probabilities)) for name, of in OF_PROBABILITIES.items()},
            **{name: float(of(labels, decided)) for name, of in OF_DECISIONS.items()},
        }


def best_threshold(labels: Labels, probabilities: Probabilities) -> float:
    """Return the threshold with the highest F1, to four digits.

    Give it out-of-fold probabilities: those of rows that a model was trained on are too sure.
    """
    precision, recall, thresholds = sk.precision_recall_curve(labels, probabilities)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return round(float(thresholds[int(np.argmax(f1[:-1]))]), 4)
