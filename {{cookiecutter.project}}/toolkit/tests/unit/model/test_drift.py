"""Drift is significant and large, or it is none; the message says what changed, with numbers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolkit.data import dataset as datasets
from toolkit.data import drift
from toolkit.data import reference as references
from toolkit.data.contract import Contract
from toolkit.data.distribution import measure_numbers
from toolkit.data.effect import Drift
from toolkit.data.reference import Reference
from toolkit.model.policy import Policy
from toolkit.tests import customers
from toolkit.tests.customers import Row

Change = Callable[[Row, int], None]


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contract, Reference]:
    """Return a reference of two thousand customers."""
    folder = tmp_path_factory.mktemp("reference")
    contract, table = customers.read(folder, customers.make(2000))
    return contract, references.make(table, datasets.from_table(table, contract), contract)


@pytest.fixture
def compare(
    tmp_path: Path, accepted: tuple[Contract, Reference], policy: Policy
) -> Callable[[list[Row]], list[Drift]]:
    """Return a function that compares rows with the reference."""
    contract, reference = accepted

    def compare(rows: list[Row]) -> list[Drift]:
        _, table = customers.read(tmp_path, rows)
        profile = references.measure(table, contract, reference)
        return drift.compare(profile, reference.profile, contract, policy.drift)

    return compare


def changed(change: Change, count: int = 1000) -> list[Row]:
    """Return rows after a change to each, which gets the row and its number."""
    rows = customers.make(count)
    for number, row in enumerate(rows):
        change(row, number)
    return rows


def at(level: str, drifts: list[Drift]) -> list[tuple[str, str]]:
    """Return the column and the aspect of every drift of one level."""
    return [(one.column, one.aspect) for one in drifts if one.level == level]


def test_features_target_and_predictions_are_compared(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    drifts = compare(customers.make(1000))
    assert {one.level for one in drifts} == {"ok"}
    numbers = ("age", "tenure_months", "monthly_spend")
    assert sorted((one.column, one.aspect) for one in drifts) == sorted(
        [
            *((name, "distribution") for name in (*numbers, "plan type", "left", "predictions")),
            *((name, "nulls") for name in (*numbers, "plan type")),
            *((name, "extremes") for name in numbers),
            ("plan type", "categories"),
            *((name, "calibration") for name in ("plan type", "predictions")),
            *((name, "ranking") for name in ("plan type", "predictions")),
            *((name, "alone") for name in (*numbers, "plan type")),
        ]
    )


def shift_ages(row: Row, number: int) -> None:
    if row["age"]:
        row["age"] = str(int(row["age"]) + 8)


def test_a_shifted_number_fails_with_both_means(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    drifts = compare(changed(shift_ages))
    assert at("fail", drifts) == [("age", "distribution")]
    assert str(drifts[0]).startswith("age: distribution drift: mean 61.")
    assert ", reference 53." in str(drifts[0])
    assert "(warns from 0.1, fails from 0.15), p < 1e-06 (significant below " in str(drifts[0])
    assert str(drifts[0]).endswith("995 rows, reference 1,990")


def sell_the_full_plan(row: Row, number: int) -> None:
    if number % 4 == 0:
        row["plan type"] = "full"


def test_a_growing_category_fails_and_is_named(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    drifts = compare(changed(sell_the_full_plan))
    assert at("fail", drifts) == [("plan type", "distribution")]
    [failed] = [one for one in drifts if one.level == "fail"]
    assert failed.moved == "'basic' 38.0%, reference 52.1%; 'full' 62.0%, reference 47.9%"


def sell_nothing_but_the_full_plan(row: Row, number: int) -> None:
    row["plan type"] = "full"


def test_a_missing_category_fails(compare: Callable[[list[Row]], list[Drift]]) -> None:
    drifts = compare(changed(sell_nothing_but_the_full_plan))
    assert ("plan type", "categories") in at("fail", drifts)
    assert [one.moved for one in drifts if one.aspect == "categories"] == ["missing: 'basic'"]


def sell_a_third_plan(row: Row, number: int) -> None:
    if number % 20 == 0:
        row["plan type"] = "gold"


def test_a_new_category_fails(compare: Callable[[list[Row]], list[Drift]]) -> None:
    drifts = compare(changed(sell_a_third_plan))
    assert ("plan type", "categories") in at("fail", drifts)
    assert [one.moved for one in drifts if one.aspect == "categories"] == ["new: 'gold'"]


def test_one_customer_with_a_new_category_is_no_drift(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    rows = customers.make(1000)
    rows[0]["plan type"] = "gold"
    assert at("ok", compare(rows)) == at("ok", compare(customers.make(1000)))


def forget_ages(row: Row, number: int) -> None:
    if number % 20 == 0:
        row["age"] = ""


def test_a_spike_of_nulls_fails(compare: Callable[[list[Row]], list[Drift]]) -> None:
    drifts = compare(changed(forget_ages))
    assert at("fail", drifts) == [("age", "nulls")]
    assert drifts[1].moved == "5.50%, reference 0.50%"


def test_the_disappearance_of_many_nulls_fails(
    tmp_path: Path, accepted: tuple[Contract, Reference], policy: Policy
) -> None:
    contract, _ = accepted
    _, table = customers.read(tmp_path, changed(forget_ages, 2000))
    reference = references.make(table, datasets.from_table(table, contract), contract)
    _, filled = customers.read(tmp_path, customers.make(2000))
    profile = references.measure(filled, contract, reference)
    drifts = drift.compare(profile, reference.profile, contract, policy.drift)
    assert at("fail", drifts) == [("age", "nulls")]


def let_more_churn(row: Row, number: int) -> None:
    if number % 5 == 0:
        row["left"] = "yes"


def test_a_changed_churn_rate_fails(compare: Callable[[list[Row]], list[Drift]]) -> None:
    assert at("fail", compare(changed(let_more_churn))) == [("left", "distribution")]


def change_everybody_a_bit(row: Row, number: int) -> None:
    row["tenure_months"] = str(int(row["tenure_months"]) * 9 // 10)
    row["monthly_spend"] = f"{float(row['monthly_spend']) * 1.09:.1f}"


def test_small_changes_that_add_up_show_in_the_predictions(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    drifts = compare(changed(change_everybody_a_bit, 2000))
    values = {(one.column, one.aspect): one.value for one in drifts}
    predictions = values["predictions", "distribution"]
    assert predictions > values["tenure_months", "distribution"]
    assert predictions > values["monthly_spend", "distribution"]
    assert ("predictions", "distribution") in at("fail", drifts)


def test_a_change_between_the_levels_warns(compare: Callable[[list[Row]], list[Drift]]) -> None:
    def shift(row: Row, number: int) -> None:
        if row["age"]:
            row["age"] = str(int(row["age"]) + 2 + number % 2)

    assert at("warn", compare(changed(shift, 2000))) == [("age", "distribution")]


def test_too_few_rows_give_an_unknown_level(compare: Callable[[list[Row]], list[Drift]]) -> None:
    drifts = compare(changed(shift_ages, 299))
    assert {one.level for one in drifts} == {"unknown"}


def test_of_a_column_without_values_only_the_nulls_are_compared(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    drifts = compare(changed(lambda row, number: row.update(age="")))
    levels = {one.aspect: one.level for one in drifts if one.column == "age"}
    assert levels == {"distribution": "unknown", "extremes": "unknown", "nulls": "fail"}


def test_a_missing_column_does_not_stop_the_comparison_of_the_others(
    compare: Callable[[list[Row]], list[Drift]],
    accepted: tuple[Contract, Reference],
    policy: Policy,
) -> None:
    contract, reference = accepted
    profile = references.measure(
        customers.read(contract.path.parent, customers.make(1000))[1], contract, reference
    )
    del profile.numbers["age"]
    profile = replace(profile, relation=None)
    columns = {
        one.column for one in drift.compare(profile, reference.profile, contract, policy.drift)
    }
    assert "age" not in columns and "tenure_months" in columns


def test_a_constant_that_starts_to_vary_fails(
    tmp_path: Path, accepted: tuple[Contract, Reference], policy: Policy
) -> None:
    contract, _ = accepted
    _, table = customers.read(tmp_path, changed(lambda row, number: row.update(age="30"), 2000))
    reference = references.make(table, datasets.from_table(table, contract), contract)

    def move(row: Row, number: int) -> None:
        row["age"] = "30" if number % 4 else "29"

    _, moved = customers.read(tmp_path, changed(move))
    profile = references.measure(moved, contract, reference)
    drifts = drift.compare(profile, reference.profile, contract, policy.drift)
    assert ("age", "distribution") in at("fail", drifts)
    assert drifts[0].statistic == "share of other values"


def test_a_negligible_change_in_many_rows_is_significant_but_no_drift(policy: Policy) -> None:
    rng = np.random.default_rng(3)
    then = measure_numbers(rng.normal(size=200_000), None)
    now = measure_numbers(rng.normal(0.03, 1, size=200_000), then)
    effect = drift._of_numbers("x", now, then, policy.drift.numbers)
    assert effect.p_value < 1e-6
    assert effect.value < policy.drift.numbers.warn


def test_noise_in_three_hundred_rows_is_no_drift(
    tmp_path: Path, accepted: tuple[Contract, Reference], policy: Policy
) -> None:
    contract, reference = accepted
    rng, rows = np.random.default_rng(2), customers.make(5000)
    for _ in range(40):
        drawn = [rows[place] for place in rng.choice(len(rows), 300, replace=False)]
        _, table = customers.read(tmp_path, drawn)
        profile = references.measure(table, contract, reference)
        drifts = drift.compare(profile, reference.profile, contract, policy.drift)
        assert at("fail", drifts) == []


def test_significance_is_corrected_for_the_number_of_comparisons(
    compare: Callable[[list[Row]], list[Drift]], policy: Policy
) -> None:
    drifts = compare(customers.make(1000))
    overall = ("calibration", "ranking")
    of_columns = [one for one in drifts if one.column != "predictions" or one.aspect not in overall]
    half = policy.drift.significance / 2
    assert {one.significance for one in of_columns} == {half / len(of_columns)}
    others = {one.significance for one in drifts} - {half / len(of_columns)}
    assert others == {half / (len(drifts) - len(of_columns))}
