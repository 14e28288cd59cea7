"""A release whose predictions differ gets a warning, and is not stopped."""

from __future__ import annotations

import random

import pytest

from toolkit.release.canary.answers import gap, numbers_in, warning


def test_the_numbers_of_an_answer_are_its_fractions_and_not_its_labels() -> None:
    answer = [{"churn_probability": 0.25, "churn": True}, {"scores": [0.5, 1]}]
    assert list(numbers_in(answer)) == [0.25, 0.5]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [3.0, 4.0], 1.0),
        ([1.0, 2.0, 3.0, 4.0], [3.0, 4.0], 0.5),
        ([1.0, 1.0, 1.0], [1.0], 0.0),
        ([], [1.0], 0.0),
    ],
)
def test_the_gap_is_the_largest_distance_of_the_distributions(
    one: list[float], other: list[float], distance: float
) -> None:
    assert gap(one, other) == pytest.approx(distance)
    assert gap(other, one) == pytest.approx(distance)


def test_a_model_that_finds_more_customers_at_risk_gets_a_warning() -> None:
    rng = random.Random(8)
    before = [rng.betavariate(2, 6) for _ in range(100)]
    assert warning(before, [rng.betavariate(2, 6) for _ in range(100)]) == ""
    assert warning(before, [min(1.0, value + 0.02) for value in before]) == ""
    output = warning(before, [min(1.0, value + 0.2) for value in before])
    assert output.startswith("the distribution of the answers differs by ")
