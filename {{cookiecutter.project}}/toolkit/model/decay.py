"""Decay: whether the model that serves still ranks customers as well as when it was released.

It answers for customers of the holdout whose labels became known after its own snapshot: neither
its training nor its evaluation has seen them. What it reached then and what it reaches now are of
other customers, so that both have a spread.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ..data import dataset as rows_of
from ..data.contract import Contract
from ..data.dataset import Dataset
from ..data.origin import Labels
from . import champion as champions
from .champion import Champion
from .comparison import placements, sd_of_mean_placement
from .evaluation import TAILS, Predictions
from .policy import Policy
from .training import as_requests

FINE, FELL, WAITING, UNKNOWN = "fine", "fell", "waiting", "unknown"
METRIC = "roc_auc"
# With fewer churned or retained customers the spread of a ROC AUC is itself not known.
MIN_OF_EACH = 30


@dataclass(frozen=True)
class Decay:
    """What has become of the release that serves.

    Attributes
    ----------
    state
        fine; fell: it ranks customers worse than it did; waiting: too few labels became known;
        unknown: it could not be judged.
    sentence
        The reason.
    environment, release
        None where there is none.
    rows, missing
        How many of these customers there are, and how many more it takes.
    then, now, p_value
        Its ROC AUC when it was released and on these customers, and the chance that one which has
        not fallen looks so; None where it was not judged.
    """

    state: str
    sentence: str
    environment: str | None = None
    release: str | None = None
    rows: int | None = None
    missing: int | None = None
    then: float | None = None
    now: float | None = None
    p_value: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what reports/nightly.json keeps."""
        return asdict(self)


def watch(
    folder: Path, dataset: Dataset, contract: Contract, labels: Labels | None, policy: Policy
) -> Decay | None:
    """Judge the champion in a folder; None where nobody says when labels become known.

    Raises
    ------
    ConfigurationError
        A file of the champion was altered.
    """
    if labels is None or dataset.observed is None:
        return None
    day = champions.data_as_of(folder)
    newer = rows_of.is_held_out(dataset, policy.training.holdout_share)
    if day is not None:
        # Those of the days before had no known label yet when its snapshot was taken.
        newer &= dataset.observed > np.datetime64(day) - np.timedelta64(
            labels.known_after_days, "D"
        )
    customers = dataset.select(newer if day else np.zeros(0, dtype=np.int64))
    champion = champions.load(folder, as_requests(customers, contract))
    return judge(champion, customers, day, policy)


def judge(champion: Champion, customers: Dataset, day: date | None, policy: Policy) -> Decay:
    """Judge a champion by its predictions for customers that are newer than its snapshot.

    Parameters
    ----------
    day
        The cut-off of its snapshot; None where it was trained on a table in git.
    """
    facts: dict[str, Any] = {
        "environment": champion.environment,
        "release": champion.release,
    }
    if champion.state == champions.NONE_YET:
        return Decay(WAITING, champion.why, **facts)
    if champion.state != champions.SCORED:
        return Decay(UNKNOWN, f"it could not be asked: {champion.why}", **facts)
    name = f"release {champion.release}"
    if day is None:
        why = f"{name} was trained on a table in git: the first of a snapshot will be watched"
        return Decay(WAITING, why, **facts)
    refused = int((~champion.is_scored).sum())
    if refused > policy.champion.max_refused * len(customers):
        why = f"{name} refuses {refused} of {len(customers)} customers newer than {day}"
        return Decay(UNKNOWN, why, **facts)
    if not champion.roc_auc:
        why = f"the evidence of {name} does not say which {METRIC} it had"
        return Decay(UNKNOWN, why, **facts)
    predictions = champion.predictions(customers.labels)
    missing = _missing(predictions, policy.decay.min_rows)
    counted = {**facts, "rows": len(predictions), "missing": missing}
    if missing:
        why = (
            f"{name} is judged when {missing} more customers of the holdout have a known label: "
            f"{len(predictions)} have, {int(predictions.y_true.sum())} of whom churned, that were "
            f"not known in its snapshot of {day}"
        )
        return Decay(WAITING, why, **counted)
    return _judged(champion, predictions, day, policy, counted)


def _missing(predictions: Predictions, min_rows: int) -> int:
    """Return how many more customers it takes, if as many of them churn as until now."""
    rows, churned = len(predictions), int(predictions.y_true.sum())
    rarest = min(churned, rows - churned)
    needed = max(min_rows, rows + MIN_OF_EACH - rarest if rarest < MIN_OF_EACH else 0)
    return max(0, needed - rows)


def _judged(
    champion: Champion,
    predictions: Predictions,
    day: date,
    policy: Policy,
    counted: Mapping[str, Any],
) -> Decay:
    then = champion.roc_auc["value"]
    width = 2 * float(stats.norm.ppf(TAILS[1]))
    sd_then = (champion.roc_auc["high"] - champion.roc_auc["low"]) / width
    now = predictions.metrics()[METRIC]
    sd_now = sd_of_mean_placement(*placements(predictions.y_true == 1, predictions.y_prob))
    sd = float(np.hypot(sd_then, sd_now))
    p_value = float(stats.norm.sf((then - now) / sd)) if sd > 0 else float(then <= now)
    fell = then - now > policy.decay.max_fall and p_value < policy.decay.significance
    figures = (
        f"{METRIC} {now:.4f} for {len(predictions)} customers newer than its snapshot of {day}, "
        f"and {then:.4f} when it was released (p {p_value:.2g})"
    )
    verb = "ranks customers worse than it did" if fell else "ranks customers as it did"
    return Decay(
        FELL if fell else FINE,
        f"release {champion.release} {verb}: {figures}",
        **counted,
        then=then,
        now=now,
        p_value=p_value,
    )
