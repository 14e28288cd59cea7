"""Groups are compared by what a model does to them, and a gap has its certainty."""

import math

import numpy as np

from toolkit.model.evaluation import Predictions
from toolkit.model.fairness import SHARES, Gap, gaps


def treated(recalls: dict[str, float], rows: int = 200) -> tuple[Predictions, np.ndarray]:
    """Return customers of some groups, half of whom left, found at each group's own rate."""
    labels, decided, groups = [], [], []
    for name, recall in recalls.items():
        for number in range(rows):
            left = number % 2
            labels.append(left)
            decided.append(int(left and number / rows < recall))
            groups.append(name)
    given = np.linspace(0, 1, len(labels))
    judged = Predictions(np.array(labels), given, np.array(decided))
    return judged, np.array(groups, dtype=object)


def of(metric: str, found: list[Gap]) -> Gap:
    return next(one for one in found if one.metric == metric)


def test_every_share_is_measured_group_by_group() -> None:
    judged, groups = treated({"a": 0.9, "b": 0.5})
    found = gaps(judged, "group", groups, min_rows=50)
    assert tuple(one.metric for one in found) == SHARES
    recall = of("recall", found)
    assert recall.shares == {"a": 0.9, "b": 0.5}
    assert math.isclose(recall.gap, 0.4) and recall.p_value < 1e-6
    assert of("precision", found).gap == 0
    assert math.isclose(of("selection_rate", found).gap, 0.2)


def test_groups_that_are_treated_alike_have_no_certain_gap() -> None:
    recall = of("recall", gaps(*_call(treated({"a": 0.7, "b": 0.66})), min_rows=50))
    assert recall.p_value > 0.3


def _call(drawn: tuple[Predictions, np.ndarray]) -> tuple[Predictions, str, np.ndarray]:
    return drawn[0], "group", drawn[1]


def test_a_group_that_is_too_small_is_left_out() -> None:
    judged, groups = treated({"a": 0.9, "b": 0.5})
    groups[:195] = "c"
    found = of("recall", gaps(judged, "group", groups, min_rows=50))
    assert set(found.shares) == {"b", "c"}


def test_a_single_group_has_no_gap() -> None:
    judged, groups = treated({"a": 0.9})
    found = of("recall", gaps(judged, "group", groups, min_rows=50))
    assert math.isnan(found.gap) and found.p_value == 1.0


def test_customers_of_no_known_group_are_left_out() -> None:
    judged, groups = treated({"a": 0.9, "b": 0.5})
    groups[0] = None
    assert set(of("accuracy", gaps(judged, "group", groups, min_rows=50)).shares) == {"a", "b"}
