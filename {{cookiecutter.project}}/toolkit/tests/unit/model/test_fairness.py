"""Groups are compared by a model's predictions, and a gap has its p-value."""

import math

import numpy as np

from toolkit.model.evaluation import Predictions
from toolkit.model.fairness import Gap, gaps
from toolkit.model.policy import SHARES


def predicted(recalls: dict[str, float], rows: int = 200) -> tuple[Predictions, np.ndarray]:
    """Return customers of some groups, half of them churned, with a recall for each group."""
    y_true, y_pred, groups = [], [], []
    for name, recall in recalls.items():
        for number in range(rows):
            churned = number % 2
            y_true.append(churned)
            y_pred.append(int(churned and number / rows < recall))
            groups.append(name)
    predictions = Predictions(np.array(y_true), np.linspace(0, 1, len(y_true)), np.array(y_pred))
    return predictions, np.array(groups, dtype=object)


def of(metric: str, found: list[Gap]) -> Gap:
    return next(one for one in found if one.metric == metric)


def test_every_metric_is_measured_for_each_group() -> None:
    predictions, groups = predicted({"a": 0.9, "b": 0.5})
    found = gaps(predictions, "group", groups, min_rows=50)
    assert tuple(one.metric for one in found) == SHARES
    recall = of("recall", found)
    assert recall.shares == {"a": 0.9, "b": 0.5}
    assert math.isclose(recall.gap, 0.4) and recall.p_value < 1e-6
    assert of("precision", found).gap == 0
    assert math.isclose(of("selection_rate", found).gap, 0.2)


def test_groups_that_are_treated_alike_have_no_significant_gap() -> None:
    predictions, groups = predicted({"a": 0.7, "b": 0.66})
    assert of("recall", gaps(predictions, "group", groups, min_rows=50)).p_value > 0.3


def test_a_group_that_is_too_small_is_left_out() -> None:
    predictions, groups = predicted({"a": 0.9, "b": 0.5})
    groups[:195] = "c"
    found = of("recall", gaps(predictions, "group", groups, min_rows=50))
    assert set(found.shares) == {"b", "c"}


def test_a_single_group_has_no_gap() -> None:
    predictions, groups = predicted({"a": 0.9})
    found = of("recall", gaps(predictions, "group", groups, min_rows=50))
    assert math.isnan(found.gap) and found.p_value == 1.0


def test_customers_without_a_group_are_left_out() -> None:
    predictions, groups = predicted({"a": 0.9, "b": 0.5})
    groups[0] = None
    assert set(of("accuracy", gaps(predictions, "group", groups, min_rows=50)).shares) == {"a", "b"}
