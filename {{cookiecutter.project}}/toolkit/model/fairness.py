"""How differently a model's predictions treat the groups of a protected column."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from .evaluation import Predictions
from .policy import SHARES


@dataclass(frozen=True)
class Gap:
    """The widest difference between the groups of one column in one metric.

    Attributes
    ----------
    shares
        The metric of each group that is large enough, by the group's name.
    gap
        The largest share minus the smallest; NaN with fewer than two groups.
    p_value
        Of a chi-squared test that all groups have the same share.
    """

    column: str
    metric: str
    shares: dict[str, float]
    gap: float
    p_value: float


def gaps(
    predictions: Predictions, column: str, groups: npt.NDArray[np.object_], min_rows: int
) -> list[Gap]:
    """Compare the groups of a column in every metric of `SHARES`.

    Parameters
    ----------
    groups
        The column's value for each customer, [n].
    min_rows
        A group with fewer customers in a metric's denominator is left out.
    """
    everybody = np.ones(len(predictions), dtype=bool)
    churned, selected = predictions.y_true == 1, predictions.y_pred == 1
    correct = predictions.y_true == predictions.y_pred
    denominators = {
        "recall": churned,
        "precision": selected,
        "accuracy": everybody,
        "selection_rate": everybody,
    }
    numerators = {
        "recall": correct,
        "precision": correct,
        "accuracy": correct,
        "selection_rate": selected,
    }
    found = []
    names = sorted({name for name in groups if name is not None})
    for metric in SHARES:
        counts = {}
        for name in names:
            rows = (groups == name) & denominators[metric]
            if rows.sum() >= min_rows:
                counts[name] = (int((rows & numerators[metric]).sum()), int(rows.sum()))
        shares = {name: count / total for name, (count, total) in counts.items()}
        gap = max(shares.values()) - min(shares.values()) if len(shares) > 1 else float("nan")
        found.append(Gap(column, metric, shares, gap, _p_value(list(counts.values()))))
    return found


def _p_value(counts: list[tuple[int, int]]) -> float:
    table = np.array([(count, total - count) for count, total in counts])
    if len(table) < 2 or not table.sum(axis=0).all():
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)
