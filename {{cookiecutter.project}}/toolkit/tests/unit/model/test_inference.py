"""Role, type and range of a column are inferred; a useless column is ignored, with the reason."""

import tomllib

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from toolkit.data.adoption_text import contract
from toolkit.data.column_inference import Inferred, _range, infer, review_leaks
from toolkit.data.column_reading import Reading, read_column, strip, without_nulls
from toolkit.data.companions import FIRST_NULLS, Companions
from toolkit.data.contract import Column, Csv
from toolkit.data.probe import Probe
from toolkit.data.words import words_of

COUNT = 600
PLAIN = Csv()
RNG = np.random.default_rng(11)
CHURNED = RNG.random(COUNT) < 0.3


def texts(values: object) -> pd.Series:
    """Return values as a column of text, None for a null."""
    return pd.Series(values, dtype="object").astype("str")


def decide(
    values: object, dialect: Csv = PLAIN, churned: npt.NDArray[np.bool_] = CHURNED
) -> Inferred:
    """Return the decision about a column of these values."""
    text = texts(values)
    reading = read_column(strip(words_of("x", text), frozenset()), dialect, frozenset())
    assert isinstance(reading, Reading)
    probe = Probe(churned)
    known = without_nulls(text, reading.na_values)
    [result] = review_leaks([infer("x", known, reading, dialect, probe.rows)], probe)
    return result


def inferred(values: object) -> Column:
    """Return the column inferred from values without anything to review."""
    result = decide(values)
    assert result.column is not None and result.note == ""
    return result.column


def ignored(values: object) -> str:
    """Return why a column with these values is ignored."""
    result = decide(values)
    assert result.column is None
    return f"{result.observed}: {result.note}"


def test_integers_get_headroom_and_stay_positive() -> None:
    column = inferred([str(number % 73) for number in range(COUNT)])
    assert (column.role, column.type) == ("feature", "integer")
    assert (column.minimum, column.maximum) == (0, 90)


def test_numbers_with_a_fraction_are_numbers() -> None:
    column = inferred([f"{18.25 + number % 100:.2f}" for number in range(COUNT)])
    assert (column.type, column.minimum, column.maximum) == ("number", 0, 150)


def test_a_range_far_from_zero_does_not_reach_zero() -> None:
    column = inferred([str(1990 + number % 36) for number in range(COUNT)])
    assert (column.minimum, column.maximum) == (1981, 2034)


def test_negative_numbers_get_headroom_below() -> None:
    column = inferred([str(number % 100 - 100) for number in range(COUNT)])
    assert (column.minimum, column.maximum) == (-130, 0)


def test_flags_get_no_headroom() -> None:
    column = inferred([str(number % 2) for number in range(COUNT)])
    assert (column.type, column.minimum, column.maximum) == ("integer", 0, 1)


@pytest.mark.parametrize(
    "values",
    [
        [1e9 + number % 7 / 3 for number in range(COUNT)],
        [0.1 + number * 1e-17 for number in range(COUNT)],
        [float(number % 2) / 3 for number in range(COUNT)],
        [-(2.0**40) - number / 7 for number in range(COUNT)],
        [1e-300 * (number + 1) for number in range(COUNT)],
    ],
)
def test_the_range_holds_what_it_was_inferred_from(values: list[float]) -> None:
    low, high = min(values), max(values)
    minimum, maximum = _range(low, high, len(set(values)))
    assert minimum <= low and high <= maximum
    written = contract(
        "a.csv",
        "p",
        Csv(),
        [
            Inferred("i", Column("i", "id", "text", unique=True), ""),
            Inferred("x", Column("x", "feature", "number", minimum, maximum), ""),
        ],
        COUNT,
    )
    entry = tomllib.loads(written)["column"][1]
    assert (entry["min"], entry["max"]) == (minimum, maximum)


def test_a_category_is_kept_where_there_are_rows_enough_for_each_value() -> None:
    states = [f"state {number % 51}" for number in range(51 * 20)]
    churned = np.arange(len(states)) % 7 == 0
    kept = decide(states, churned=churned).column
    assert kept is not None and len(kept.categories) == 51
    few = decide(states[:-1], churned=churned[:-1])
    assert few.note == "too many categories for 1019 rows: a model would memorise it"


def test_whole_numbers_that_float32_takes_for_one_another_are_left_out() -> None:
    accounts = [900_000_000 + 7 * number % 3000 for number in range(COUNT)]
    repeated = [*accounts[:-1], accounts[0]]
    assert "too precise: a model computes in float32, which is exact" in ignored(repeated)
    # Large, but far apart: float32 tells them apart.
    assert inferred([100_000_000 * (number % 90) for number in range(COUNT)]).type == "integer"


def test_a_few_distinct_texts_are_a_category() -> None:
    column = inferred([["basic", "full", "gold"][number % 3] for number in range(COUNT)])
    assert (column.type, column.categories) == ("category", ("basic", "full", "gold"))


def test_numbers_with_a_decimal_comma_are_numbers() -> None:
    values = [f"{number % 90 + 1000},5" for number in range(COUNT)]
    result = decide(values, Csv(sep=";", decimal=","))
    assert result.column is not None and result.column.type == "number"


def test_dates_are_validated_but_no_feature() -> None:
    result = decide([f"2026-11-{number % 28 + 1:02}" for number in range(COUNT)])
    assert result.column is not None and result.column.role == "date"
    assert result.observed == "2026-11-01 to 2026-11-28"
    assert "no feature" in result.note


@pytest.mark.parametrize(("nulls", "cap"), [(0, 0.01), (1, 0.01), (20, 0.07), (400, 1.0)])
def test_the_allowed_null_rate_follows_the_observed_one(nulls: int, cap: float) -> None:
    values = [None if number < nulls else str(number % 50) for number in range(COUNT)]
    assert inferred(values).max_null_rate == cap


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["same"] * COUNT, "always 'same': constant: a model can learn nothing from it"),
        ([None] * COUNT, "always empty: constant"),
        (["7", "7.0"] * (COUNT // 2), "7 to 7, mean 7: constant"),
        ([f"name {number}" for number in range(COUNT)], "600 distinct values: id-like: "),
        (
            [f"town {number % 60}" for number in range(COUNT)],
            "60 distinct values: too many categories for 600 rows: ",
        ),
        (
            [str(10_000 + number) for number in range(COUNT)],
            "id-like: every row has a different integer",
        ),
        (
            np.where(CHURNED, "gone", "here"),
            "target leakage: on its own it reaches a ROC AUC of 1",
        ),
        (np.where(CHURNED, 3.5, 1.5), "target leakage"),
        (np.where(CHURNED, 2, RNG.integers(0, 2, COUNT) * 4), "target leakage"),
        (["moved" if churned else None for churned in CHURNED], "always 'moved': constant"),
        (
            [["moved", "price"][at % 2] if churned else None for at, churned in enumerate(CHURNED)],
            "target leakage",
        ),
    ],
)
def test_a_useless_column_is_ignored_with_the_reason(values: object, why: str) -> None:
    assert why in ignored(values)


def test_a_possible_leak_is_kept_for_review() -> None:
    nearly = np.where(RNG.random(COUNT) < 0.05, ~CHURNED, CHURNED)
    result = decide(nearly.astype(int))
    assert result.column is not None
    assert result.note.startswith("possible target leakage: on its own it reaches a ROC AUC of 0.9")


def test_nulls_are_explained_by_the_value_that_coincides_with_them() -> None:
    tenure = pd.Series([0, 3, 0, 5], name="tenure")
    plan = pd.Series(["a", "a", "a", "b"], name="plan")
    spend = pd.Series([None, 1.0, None, 2.0], name="spend")
    companions = Companions([spend, plan, tenure])
    assert [companions.of(place) for place in range(3)] == ["tenure is 0", "", ""]
    assert Companions([spend, plan]).of(0) == ""


def test_a_value_beside_the_first_nulls_alone_explains_nothing() -> None:
    count = 2 * FIRST_NULLS
    spend = pd.Series([None] * count + [1.0] * 3, name="spend")
    plan = pd.Series(["a"] * (count - 1) + ["b"] * 4, name="plan")
    state = pd.Series(["x"] * count + ["x", "y", "z"], name="state")
    assert Companions([spend, plan, state]).of(0) == ""
