"""What is measured of a model, each figure with its interval, over customers it has not seen.

The figures are those of `sklearn.metrics`. They are computed here from one sorting of the customers
and with weights, because an interval needs them for hundreds of resamples: a test holds them
against scikit-learn's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64]

# Of each metric: whether more of it is better.
HIGHER_IS_BETTER = {
    "roc_auc": True,
    "average_precision": True,
    "accuracy": True,
    "f1": True,
    "precision": True,
    "recall": True,
    "brier": False,
    "log_loss": False,
    "calibration_error": False,
    "accuracy_gain": True,
}
METRICS = tuple(HIGHER_IS_BETTER)

CALIBRATION_BINS = 10
# Draws for an interval: enough for its ends to be known to a tenth of its width, and no longer than
# some seconds for a table of a million.
DRAWS = 200
DRAWN_ROWS = 20_000_000
TAILS = (0.025, 0.975)
# A probability of 0 that is wrong would make the log loss infinite.
EPSILON = 1e-7


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval that it lies in, 95 times in 100."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Judged:
    """Customers, what became of them, and what a model said.

    Attributes
    ----------
    labels
        1 for a customer who left, [n].
    probabilities
        Of leaving, [n].
    decided
        1 where the model says that the customer leaves, [n].
    """

    labels: Labels
    probabilities: Probabilities
    decided: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: npt.NDArray[np.bool_]) -> "Judged":
        """Return the customers of a mask, [n]."""
        return Judged(self.labels[rows], self.probabilities[rows], self.decided[rows])

    @property
    def has_both_labels(self) -> bool:
        """Whether some have left and some have stayed."""
        return 0 < int(self.labels.sum()) < len(self)

    @cached_property
    def _groups(self) -> npt.NDArray[np.int64]:
        """Each customer's place among the different probabilities, the highest first, [n]."""
        _, groups = np.unique(-self.probabilities, return_inverse=True)
        return groups

    @cached_property
    def _bins(self) -> npt.NDArray[np.int64]:
        """Each customer's bin of calibration, [n]: about equally many in each."""
        edges = np.quantile(self.probabilities, np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS)
        return np.searchsorted(np.unique(edges), self.probabilities)

    @cached_property
    def _losses(self) -> tuple[Probabilities, Probabilities]:
        clipped = np.clip(self.probabilities, EPSILON, 1 - EPSILON)
        log_loss = -np.log(np.where(self.labels == 1, clipped, 1 - clipped))
        return (self.probabilities - self.labels) ** 2, log_loss

    def metrics(self, weights: Weights | None = None) -> dict[str, float]:
        """Return every metric by name; one that these customers leave undefined is NaN.

        Parameters
        ----------
        weights
            How often each customer counts, [n]; once each where it is None.
        """
        weight = np.ones(len(self)) if weights is None else weights
        left = weight * self.labels
        total, positives = weight.sum(), left.sum()
        negatives = total - positives
        true_positives = (left * self.decided).sum()
        called = (weight * self.decided).sum()
        correct = true_positives + negatives - (called - true_positives)
        with np.errstate(divide="ignore", invalid="ignore"):
            accuracy = correct / total
            brier, log_loss = ((weight * loss).sum() / total for loss in self._losses)
            gap = np.bincount(self._bins, weight * (self.labels - self.probabilities))
            roc_auc, average_precision = self._ranking(left, weight - left)
            return {
                "roc_auc": roc_auc,
                "average_precision": average_precision,
                "accuracy": float(accuracy),
                "f1": float(2 * true_positives / (called + positives)),
                "precision": float(true_positives / called),
                "recall": float(true_positives / positives),
                "brier": float(brier),
                "log_loss": float(log_loss),
                "calibration_error": float(np.abs(gap).sum() / total),
                "accuracy_gain": float(accuracy - max(positives, negatives) / total),
            }

    def _ranking(self, left: Weights, stayed: Weights) -> tuple[float, float]:
        """Return the area under the ROC curve, and the average precision."""
        positives = np.bincount(self._groups, left)
        negatives = np.bincount(self._groups, stayed)
        found, called = np.cumsum(positives), np.cumsum(positives + negatives)
        behind = negatives.sum() - np.cumsum(negatives)
        ordered = (positives * (behind + negatives / 2)).sum()
        roc_auc = ordered / (positives.sum() * negatives.sum())
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        return float(roc_auc), float((positives * precision).sum() / positives.sum())


def resamples(rows: int, seed: int) -> Iterator[Weights]:
    """Yield bootstrap weights, [n] each: the same ones for whatever is compared on these rows."""
    rng = np.random.default_rng(seed)
    for _ in range(max(20, min(DRAWS, DRAWN_ROWS // max(rows, 1)))):
        yield np.bincount(rng.integers(0, rows, rows), minlength=rows).astype(np.float64)


def evaluate(judged: Judged, seed: int) -> dict[str, Estimate]:
    """Return every metric with its interval; what is undefined is NaN, and so are its ends."""
    drawn = [judged.metrics(weights) for weights in resamples(len(judged), seed)]
    estimates = {}
    for name, value in judged.metrics().items():
        low, high = np.quantile([draw[name] for draw in drawn], TAILS)
        estimates[name] = Estimate(value, float(low), float(high))
    return estimates


def best_threshold(labels: Labels, probabilities: Probabilities) -> float:
    """Return the threshold with the highest F1, to four digits.

    Give it out-of-fold probabilities: those of rows that a model was trained on are too sure.
    """
    precision, recall, thresholds = sk.precision_recall_curve(labels, probabilities)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return round(float(thresholds[int(np.argmax(f1[:-1]))]), 4)
