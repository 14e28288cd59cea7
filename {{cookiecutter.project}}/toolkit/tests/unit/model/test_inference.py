"""What a column is and may hold is inferred; one of no use is left out with the reason."""

import numpy as np
import pandas as pd
import pytest

from toolkit.data.column_inference import companion_of_nulls, infer
from toolkit.data.contract import Column, Csv

COUNT = 600
RNG = np.random.default_rng(11)
LEFT = RNG.random(COUNT) < 0.3


def texts(values: object) -> pd.Series:
    """Return values as a column of text, None for a null."""
    return pd.Series(values, dtype="object").astype("str")


def inferred(values: object) -> Column:
    """Return the column that values are taken for, when they are plain."""
    found = infer("x", texts(values), Csv(), LEFT)
    assert found.column is not None and found.note == ""
    return found.column


def left_out(values: object) -> str:
    """Return why values are left out."""
    found = infer("x", texts(values), Csv(), LEFT)
    assert found.column is None
    return f"{found.seen}: {found.note}"


def test_whole_numbers_get_head_room_and_stay_positive() -> None:
    column = inferred([str(number % 73) for number in range(COUNT)])
    assert (column.role, column.type) == ("feature", "integer")
    assert (column.minimum, column.maximum) == (0, 90)


def test_numbers_with_a_fraction_are_numbers() -> None:
    column = inferred([f"{18.25 + number % 100:.2f}" for number in range(COUNT)])
    assert (column.type, column.minimum, column.maximum) == ("number", 0, 150)


def test_a_range_far_from_zero_keeps_its_distance() -> None:
    column = inferred([str(1990 + number % 36) for number in range(COUNT)])
    assert (column.minimum, column.maximum) == (1981, 2034)


def test_negative_numbers_get_head_room_below() -> None:
    column = inferred([str(number % 100 - 100) for number in range(COUNT)])
    assert (column.minimum, column.maximum) == (-130, 0)


def test_flags_stay_flags() -> None:
    column = inferred([str(number % 2) for number in range(COUNT)])
    assert (column.type, column.minimum, column.maximum) == ("integer", 0, 1)


def test_few_texts_are_a_category() -> None:
    column = inferred([["basic", "full", "gold"][number % 3] for number in range(COUNT)])
    assert (column.type, column.categories) == ("category", ("basic", "full", "gold"))


def test_numbers_as_another_country_writes_them_are_numbers() -> None:
    values = texts([f"{number % 90 + 1000},5" for number in range(COUNT)])
    found = infer("x", values, Csv(sep=";", decimal=","), LEFT)
    assert found.column is not None and found.column.type == "number"


def test_dates_are_checked_but_no_feature() -> None:
    found = infer(
        "x", texts([f"2026-11-{number % 28 + 1:02}" for number in range(COUNT)]), Csv(), LEFT
    )
    assert found.column is not None and found.column.role == "date"
    assert found.seen == "2026-11-01 to 2026-11-28"
    assert "no feature" in found.note


@pytest.mark.parametrize(("nulls", "cap"), [(0, 0.01), (1, 0.01), (20, 0.07), (400, 1.0)])
def test_the_cap_on_nulls_follows_what_was_seen(nulls: int, cap: float) -> None:
    values = [None if number < nulls else str(number % 50) for number in range(COUNT)]
    assert inferred(values).max_null_rate == cap


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["same"] * COUNT, "always 'same': constant: there is nothing to learn from it"),
        ([None] * COUNT, "always empty: constant"),
        (["7", "7.0"] * (COUNT // 2), "7 to 7, mean 7: constant"),
        ([f"name {number}" for number in range(COUNT)], "600 different texts: id-like: "),
        ([f"town {number % 60}" for number in range(COUNT)], "60 different texts: too many for"),
        ([str(10_000 + number) for number in range(COUNT)], "id-like: every row has another"),
        (
            np.where(LEFT, "gone", "here"),
            "leaks the target: alone it tells who left, with an AUC of 1",
        ),
        (np.where(LEFT, 3.5, 1.5), "leaks the target"),
        (np.where(LEFT, 2, RNG.integers(0, 2, COUNT) * 4), "leaks the target"),
        (["moved" if left else None for left in LEFT], "always 'moved': constant"),
        (
            [["moved", "price"][at % 2] if left else None for at, left in enumerate(LEFT)],
            "leaks the",
        ),
    ],
)
def test_a_column_of_no_use_is_left_out_with_the_reason(values: object, why: str) -> None:
    assert why in left_out(values)


def test_a_column_that_nearly_tells_is_kept_and_named() -> None:
    nearly = np.where(RNG.random(COUNT) < 0.05, ~LEFT, LEFT)
    found = infer("x", texts(nearly.astype(int)), Csv(), LEFT)
    assert found.column is not None
    assert found.note.startswith("suspicious: alone it reaches an AUC of 0.9")


def test_nulls_are_explained_by_the_column_that_goes_with_them() -> None:
    tenure = pd.Series([0, 3, 0, 5], name="tenure")
    plan = pd.Series(["a", "a", "a", "b"], name="plan")
    spend = pd.Series([None, 1.0, None, 2.0])
    assert companion_of_nulls(spend, [plan, tenure]) == "tenure is 0"
    assert companion_of_nulls(spend, [plan]) == ""
