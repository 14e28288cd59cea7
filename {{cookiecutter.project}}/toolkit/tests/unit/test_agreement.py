"""When two answers are equal."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit.agreement import agree


@pytest.mark.parametrize(
    ("answer", "expected", "same"),
    [
        ({"p": 0.25000001}, {"p": 0.25}, True),
        ({"p": 0.2501}, {"p": 0.25}, False),
        ({"p": float("nan")}, {"p": 0.25}, False),
        ({"p": None}, {"p": 0.25}, False),
        ({"p": "0.25"}, {"p": 0.25}, False),
        ({"p": True}, {"p": 1.0}, False),
        ({"p": 0.25, "q": 1}, {"p": 0.25}, False),
        ({}, {"p": 0.25}, False),
        ([], {"p": 0.25}, False),
        ({"p": 0.0, "churn": False}, {"p": 0.0, "churn": True}, False),
    ],
)
def test_numbers_agree_within_the_tolerance_and_everything_else_exactly(
    answer: Any, expected: Any, same: bool
) -> None:
    assert agree(answer, expected, 1e-5) is same
