"""Compares two models on the same customers, so that the customers' own noise cancels out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from .evaluation import (
    TAILS,
    Labels,
    Predictions,
    Probabilities,
    resamples,
)
from .metrics import HIGHER_IS_BETTER, BusinessMetric

# Of each churned customer, and of each retained one.
Placements = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Comparison:
    """One metric of a candidate and of a champion.

    Attributes
    ----------
    candidate, champion
        The metric of each, on the same customers.
    loss
        How much worse the candidate is, whichever way the metric points; negative where it is
        better.
    low, high
        The 95 % interval of the loss.
    p_value
        One-sided: the chance that a candidate as good as the champion looks this much worse.
    """

    metric: str
    candidate: float
    champion: float
    loss: float
    low: float
    high: float
    p_value: float


def compare(
    candidate: Predictions,
    champion: Predictions,
    seed: int,
    business: Sequence[BusinessMetric] = (),
) -> list[Comparison]:
    """Compare two models metric by metric, on the same customers.

    ROC AUC is compared by DeLong's test, every other metric by the same bootstrap resamples for
    both.
    """
    higher_is_better = HIGHER_IS_BETTER | {
        one.name: one.metric.higher_is_better for one in business
    }
    ours, theirs = (one.metrics(business=business) for one in (candidate, champion))
    losses: dict[str, list[float]] = {name: [] for name in ours}
    for weights in resamples(len(candidate), seed):
        our_draw, their_draw = (one.metrics(weights, business) for one in (candidate, champion))
        for name, better in higher_is_better.items():
            losses[name].append(_loss(better, our_draw[name], their_draw[name]))
    return [
        compare_roc_auc(candidate, champion)
        if name == "roc_auc"
        else _comparison(
            name, better, ours[name], theirs[name], float(np.std(losses[name], ddof=1))
        )
        for name, better in higher_is_better.items()
    ]


def compare_roc_auc(candidate: Predictions, champion: Predictions) -> Comparison:
    """Compare two models by ROC AUC alone."""
    ours, theirs = (one.metrics()["roc_auc"] for one in (candidate, champion))
    sd = delong_sd(candidate.y_true, candidate.y_prob, champion.y_prob)
    return _comparison("roc_auc", True, ours, theirs, sd)


def _comparison(
    metric: str, higher_is_better: bool, candidate: float, champion: float, sd: float
) -> Comparison:
    loss = _loss(higher_is_better, candidate, champion)
    margin = float(stats.norm.ppf(TAILS[1])) * sd
    p_value = float(stats.norm.sf(loss / sd)) if sd > 0 else float(loss <= 0)
    return Comparison(metric, candidate, champion, loss, loss - margin, loss + margin, p_value)


def _loss(higher_is_better: bool, candidate: float, champion: float) -> float:
    return champion - candidate if higher_is_better else candidate - champion


def delong_sd(y_true: Labels, first: Probabilities, second: Probabilities) -> float:
    """Return the standard deviation of the difference between two ROC AUCs of the same customers.

    DeLong, DeLong and Clarke-Pearson (Biometrics 1988), by the ranks of Sun and Xu (2014).

    Parameters
    ----------
    y_true
        1 for a customer who churned, [n]; both labels must occur.
    first, second
        The probabilities that two models predict, [n] each.
    """
    churned = y_true == 1
    of_churned, of_retained = zip(
        *(placements(churned, y_prob) for y_prob in (first, second)), strict=True
    )
    return sd_of_mean_placement(np.subtract(*of_churned), np.subtract(*of_retained))


def placements(churned: npt.NDArray[np.bool_], y_prob: Probabilities) -> Placements:
    """Return DeLong's placement values, whose mean on either side is the ROC AUC.

    Returns
    -------
    of_churned
        For each churned customer the share of the retained who rank lower; a tie counts half.
    of_retained
        For each retained customer the share of the churned who rank higher; a tie counts half.
    """
    ranks = stats.rankdata(y_prob)
    positives, negatives = int(churned.sum()), int((~churned).sum())
    of_churned = (ranks[churned] - stats.rankdata(y_prob[churned])) / negatives
    of_retained = 1 - (ranks[~churned] - stats.rankdata(y_prob[~churned])) / positives
    return of_churned, of_retained


def sd_of_mean_placement(
    of_churned: npt.NDArray[np.float64], of_retained: npt.NDArray[np.float64]
) -> float:
    """Return the standard deviation of a ROC AUC, or of a difference, from its placements."""
    variance = of_churned.var(ddof=1) / len(of_churned)
    variance += of_retained.var(ddof=1) / len(of_retained)
    return float(np.sqrt(variance))
