"""Compares two models on the same customers, so that the customers' own noise cancels out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from .evaluation import HIGHER_IS_BETTER, TAILS, Judged, Labels, Probabilities, resamples


@dataclass(frozen=True)
class Comparison:
    """One metric of a candidate and of a champion.

    Attributes
    ----------
    candidate, champion
        The metric of each, on the same customers.
    loss
        By how much the candidate is worse, whichever way the metric points: below 0 it is better.
    low, high
        The interval that the loss lies in, 95 times in 100.
    p_value
        How often a candidate that is as good would look this much worse, or more.
    """

    metric: str
    candidate: float
    champion: float
    loss: float
    low: float
    high: float
    p_value: float


def compare(candidate: Judged, champion: Judged, seed: int) -> list[Comparison]:
    """Compare two models metric by metric.

    The area under the ROC curve is compared by DeLong's test, the others over the same resamples
    for both.
    """
    ours, theirs = candidate.metrics(), champion.metrics()
    losses: dict[str, list[float]] = {name: [] for name in ours}
    for weights in resamples(len(candidate), seed):
        mine, other = candidate.metrics(weights), champion.metrics(weights)
        for name in ours:
            losses[name].append(_loss(name, mine[name], other[name]))
    return [
        compare_roc_auc(candidate, champion)
        if name == "roc_auc"
        else _comparison(name, value, theirs[name], float(np.std(losses[name], ddof=1)))
        for name, value in ours.items()
    ]


def compare_roc_auc(candidate: Judged, champion: Judged) -> Comparison:
    """Compare two models by the area under the ROC curve alone."""
    ours, theirs = candidate.metrics()["roc_auc"], champion.metrics()["roc_auc"]
    sd = delong_sd(candidate.labels, candidate.probabilities, champion.probabilities)
    return _comparison("roc_auc", ours, theirs, sd)


def _comparison(metric: str, candidate: float, champion: float, sd: float) -> Comparison:
    loss = _loss(metric, candidate, champion)
    reach = float(stats.norm.ppf(TAILS[1])) * sd
    p_value = float(stats.norm.sf(loss / sd)) if sd > 0 else float(loss <= 0)
    return Comparison(metric, candidate, champion, loss, loss - reach, loss + reach, p_value)


def _loss(metric: str, candidate: float, champion: float) -> float:
    return champion - candidate if HIGHER_IS_BETTER[metric] else candidate - champion


def delong_sd(labels: Labels, first: Probabilities, second: Probabilities) -> float:
    """Return the standard deviation of the difference of two areas under the ROC curve.

    DeLong, DeLong and Clarke-Pearson (Biometrics 1988), by the ranks of Sun and Xu (2014).

    Parameters
    ----------
    labels
        1 for a customer who left, [n]; of both kinds there must be some.
    first, second
        What two models say, [n] each.
    """
    left = labels == 1
    by_left, by_stayed = zip(*(_placements(left, given) for given in (first, second)), strict=True)
    among_left = np.subtract(*by_left)
    among_stayed = np.subtract(*by_stayed)
    variance = among_left.var(ddof=1) / len(among_left)
    variance += among_stayed.var(ddof=1) / len(among_stayed)
    return float(np.sqrt(variance))


def _placements(
    left: npt.NDArray[np.bool_], given: Probabilities
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return, for each who left, the share of those who stayed and rank lower; and vice versa."""
    ranks = stats.rankdata(given)
    positives, negatives = int(left.sum()), int((~left).sum())
    above = (ranks[left] - stats.rankdata(given[left])) / negatives
    below = 1 - (ranks[~left] - stats.rankdata(given[~left])) / positives
    return above, below
