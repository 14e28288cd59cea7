"""How differently a model treats the groups of a protected column."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from .evaluation import Judged

# What a group's share is of: whom it is counted among, and who counts.
SHARES = ("recall", "precision", "accuracy", "selection_rate")


@dataclass(frozen=True)
class Gap:
    """The widest difference between the groups of one column in one share.

    Attributes
    ----------
    shares
        Of each group that is large enough, by its name.
    gap
        The greatest less the smallest; NaN with fewer than two groups.
    p_value
        How often groups that are treated the same would differ like this.
    """

    column: str
    metric: str
    shares: dict[str, float]
    gap: float
    p_value: float


def gaps(judged: Judged, column: str, groups: npt.NDArray[np.object_], min_rows: int) -> list[Gap]:
    """Measure every share of a model's decisions, group by group.

    Parameters
    ----------
    groups
        The column's value for each customer, [n].
    min_rows
        A group with fewer customers to count among is left out.
    """
    among = {
        "recall": judged.labels == 1,
        "precision": judged.decided == 1,
        "accuracy": np.ones(len(judged), dtype=bool),
        "selection_rate": np.ones(len(judged), dtype=bool),
    }
    right = judged.labels == judged.decided
    counting = {
        "recall": right,
        "precision": right,
        "accuracy": right,
        "selection_rate": judged.decided == 1,
    }
    found = []
    names = sorted({name for name in groups if name is not None})
    for metric in SHARES:
        counts = {}
        for name in names:
            rows = (groups == name) & among[metric]
            if rows.sum() >= min_rows:
                counts[name] = (int((rows & counting[metric]).sum()), int(rows.sum()))
        shares = {name: yes / total for name, (yes, total) in counts.items()}
        gap = max(shares.values()) - min(shares.values()) if len(shares) > 1 else float("nan")
        found.append(Gap(column, metric, shares, gap, _p_value(list(counts.values()))))
    return found


def _p_value(counts: list[tuple[int, int]]) -> float:
    table = np.array([(yes, total - yes) for yes, total in counts])
    if len(table) < 2 or not table.sum(axis=0).all():
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)
