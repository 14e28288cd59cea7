"""Evaluates a model: every metric with its interval, on customers that it was not trained on.

The metrics are those of `sklearn.metrics`, and the owner's. The former are computed here from one
sorting of the customers and with weights, because an interval needs them for hundreds of resamples.
A test compares them with scikit-learn's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from .metrics import HIGHER_IS_BETTER, BusinessMetric

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64]

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
    """A metric and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Predictions:
    """Customers' labels beside a model's predictions.

    Attributes
    ----------
    y_true
        1 for a customer who churned, 0 for one who was retained, [n].
    y_prob
        The predicted probability of churn, [n].
    y_pred
        1 where the probability is at or above the decision threshold, [n].
    """

    y_true: Labels
    y_prob: Probabilities
    y_pred: Labels

    @classmethod
    def at_threshold(cls, y_true: Labels, y_prob: Probabilities, threshold: float) -> "Predictions":
        """Predict churn from this probability on; labels and probabilities are [n]."""
        return cls(y_true, y_prob, (y_prob >= threshold).astype(np.int64))

    def __len__(self) -> int:
        return len(self.y_true)

    def select(self, rows: npt.NDArray[np.bool_]) -> "Predictions":
        """Return the customers of a mask, [n]."""
        return Predictions(self.y_true[rows], self.y_prob[rows], self.y_pred[rows])

    @property
    def has_both_labels(self) -> bool:
        """Whether some have churned and some were retained."""
        return 0 < int(self.y_true.sum()) < len(self)

    @cached_property
    def _order(self) -> npt.NDArray[np.int64]:
        """The customers' positions, the highest probability first, [n]."""
        return np.argsort(-self.y_prob, kind="stable")

    @cached_property
    def _ordered(self) -> tuple[Probabilities, Probabilities]:
        """The labels and the probabilities in this order, [n] each."""
        return self.y_true[self._order].astype(np.float64), self.y_prob[self._order]

    @cached_property
    def _groups(self) -> npt.NDArray[np.int64]:
        """Each customer's rank among the distinct probabilities, the highest first, [n]."""
        _, groups = np.unique(-self.y_prob, return_inverse=True)
        return groups

    @cached_property
    def calibration_bins(self) -> npt.NDArray[np.int64]:
        """Each customer's bin of the calibration curve, [n]: about equally many in each."""
        edges = np.quantile(self.y_prob, np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS)
        return np.searchsorted(np.unique(edges), self.y_prob)

    @cached_property
    def _losses(self) -> tuple[Probabilities, Probabilities]:
        clipped = np.clip(self.y_prob, EPSILON, 1 - EPSILON)
        log_loss = -np.log(np.where(self.y_true == 1, clipped, 1 - clipped))
        return (self.y_prob - self.y_true) ** 2, log_loss

    def metrics(
        self, weights: Weights | None = None, business: Sequence[BusinessMetric] = ()
    ) -> dict[str, float]:
        """Return every metric by name; NaN where it is undefined for these customers.

        Parameters
        ----------
        weights
            How often each customer counts, [n]; once each where it is None.
        business
            The owner's metrics, which come after the built-in ones.

        Raises
        ------
        ConfigurationError
            A metric of the owner's cannot be computed.
        """
        weight = np.ones(len(self)) if weights is None else weights
        churned = weight * self.y_true
        total, positives = weight.sum(), churned.sum()
        negatives = total - positives
        true_positives = (churned * self.y_pred).sum()
        predicted = (weight * self.y_pred).sum()
        correct = true_positives + negatives - (predicted - true_positives)
        with np.errstate(divide="ignore", invalid="ignore"):
            accuracy = correct / total
            brier, log_loss = ((weight * loss).sum() / total for loss in self._losses)
            gap = np.bincount(self.calibration_bins, weight * (self.y_true - self.y_prob))
            roc_auc, average_precision = self._ranking(churned, weight - churned)
            measured = {
                "roc_auc": roc_auc,
                "average_precision": average_precision,
                "accuracy": float(accuracy),
                "f1": float(2 * true_positives / (predicted + positives)),
                "precision": float(true_positives / predicted),
                "recall": float(true_positives / positives),
                "brier": float(brier),
                "log_loss": float(log_loss),
                "calibration_error": float(np.abs(gap).sum() / total),
                "accuracy_gain": float(accuracy - max(positives, negatives) / total),
            }
        if business:
            arguments = (*self._ordered, weight[self._order])
            measured |= {metric.name: metric.value(*arguments) for metric in business}
        return measured

    def _ranking(self, churned: Weights, retained: Weights) -> tuple[float, float]:
        """Return the area under the ROC curve, and the average precision."""
        positives = np.bincount(self._groups, churned)
        negatives = np.bincount(self._groups, retained)
        true_positives, predicted = np.cumsum(positives), np.cumsum(positives + negatives)
        below = negatives.sum() - np.cumsum(negatives)
        concordant = (positives * (below + negatives / 2)).sum()
        roc_auc = concordant / (positives.sum() * negatives.sum())
        precision = np.divide(
            true_positives, predicted, out=np.zeros_like(predicted), where=predicted > 0
        )
        return float(roc_auc), float((positives * precision).sum() / positives.sum())


def resamples(rows: int, seed: int) -> Iterator[Weights]:
    """Yield bootstrap weights, [n] each: the same for every model compared on these rows."""
    rng = np.random.default_rng(seed)
    for _ in range(max(20, min(DRAWS, DRAWN_ROWS // max(rows, 1)))):
        yield np.bincount(rng.integers(0, rows, rows), minlength=rows).astype(np.float64)


def evaluate(
    predictions: Predictions, seed: int, business: Sequence[BusinessMetric] = ()
) -> dict[str, Estimate]:
    """Return every metric with its interval; an undefined one is NaN, and so are its ends."""
    drawn = [
        predictions.metrics(weights, business) for weights in resamples(len(predictions), seed)
    ]
    estimates = {}
    for name, value in predictions.metrics(business=business).items():
        low, high = np.quantile([draw[name] for draw in drawn], TAILS)
        estimates[name] = Estimate(value, float(low), float(high))
    return estimates


def best_threshold(y_true: Labels, y_prob: Probabilities) -> float:
    """Return the threshold with the highest F1, to four digits.

    Give it out-of-fold probabilities: those of rows that a model was trained on are too confident.
    """
    precision, recall, thresholds = sk.precision_recall_curve(y_true, y_prob)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return round(float(thresholds[int(np.argmax(f1[:-1]))]), 4)
