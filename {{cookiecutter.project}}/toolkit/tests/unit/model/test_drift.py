"""Drift is certain and large, or it is none; what has moved is said with its numbers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from toolkit.data import dataset as datasets
from toolkit.data import drift
from toolkit.data import reference as references
from toolkit.data.contract import Contract
from toolkit.data.distribution import measure_numbers
from toolkit.data.drift import Drift
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
    """Return a function that holds rows against the reference."""
    contract, reference = accepted

    def compare(rows: list[Row]) -> list[Drift]:
        _, table = customers.read(tmp_path, rows)
        profile = references.measure(table, contract, reference)
        return drift.compare(profile, reference.profile, contract, policy.drift)

    return compare


def changed(change: Change, count: int = 1000) -> list[Row]:
    """Return rows with something done to each, given its number."""
    rows = customers.make(count)
    for number, row in enumerate(rows):
        change(row, number)
    return rows


def at(level: str, drifts: list[Drift]) -> list[tuple[str, str]]:
    """Return the column and the aspect of every verdict of one level."""
    return [(one.column, one.aspect) for one in drifts if one.level == level]


def test_every_column_the_target_and_the_predictions_are_compared(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    drifts = compare(customers.make(1000))
    assert {one.level for one in drifts} == {"ok"}
    assert [(one.column, one.aspect) for one in drifts] == [
        *(("age", "distribution"), ("age", "nulls")),
        *(("tenure_months", "distribution"), ("tenure_months", "nulls")),
        *(("monthly_spend", "distribution"), ("monthly_spend", "nulls")),
        *(("plan type", "distribution"), ("plan type", "categories"), ("plan type", "nulls")),
        *(("left", "distribution"), ("predictions", "distribution")),
    ]


def shift_ages(row: Row, number: int) -> None:
    if row["age"]:
        row["age"] = str(int(row["age"]) + 8)


def test_a_shifted_number_fails_and_says_from_where_to_where(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    drifts = compare(changed(shift_ages))
    assert at("fail", drifts) == [("age", "distribution")]
    assert str(drifts[0]).startswith("age: drift of the distribution: mean 53.")
    assert "in the reference, 61." in str(drifts[0])
    assert "(warns from 0.1, fails from 0.15)" in str(drifts[0])
    assert str(drifts[0]).endswith("995 rows against 1990")


def sell_the_full_plan(row: Row, number: int) -> None:
    if number % 4 == 0:
        row["plan type"] = "full"


def test_a_category_that_grows_fails_and_is_named(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    drifts = compare(changed(sell_the_full_plan))
    assert at("fail", drifts) == [("plan type", "distribution")]
    [failed] = [one for one in drifts if one.level == "fail"]
    assert failed.moved.startswith("'basic' 52.1% in the reference, 38.0% now, 'full' 47.9%")


def sell_nothing_but_the_full_plan(row: Row, number: int) -> None:
    row["plan type"] = "full"


def test_a_category_that_is_gone_fails(compare: Callable[[list[Row]], list[Drift]]) -> None:
    drifts = compare(changed(sell_nothing_but_the_full_plan))
    assert ("plan type", "categories") in at("fail", drifts)
    assert [one.moved for one in drifts if one.aspect == "categories"] == ["gone: 'basic'"]


def sell_a_third_plan(row: Row, number: int) -> None:
    if number % 20 == 0:
        row["plan type"] = "gold"


def test_a_category_that_is_new_fails(compare: Callable[[list[Row]], list[Drift]]) -> None:
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


def test_nulls_that_spike_fail(compare: Callable[[list[Row]], list[Drift]]) -> None:
    drifts = compare(changed(forget_ages))
    assert at("fail", drifts) == [("age", "nulls")]
    assert drifts[1].moved == "0.50% in the reference, 5.50% now"


def test_nulls_that_vanish_from_a_column_that_had_many_fail(
    tmp_path: Path, accepted: tuple[Contract, Reference], policy: Policy
) -> None:
    contract, _ = accepted
    _, table = customers.read(tmp_path, changed(forget_ages, 2000))
    reference = references.make(table, datasets.from_table(table, contract), contract)
    _, filled = customers.read(tmp_path, customers.make(2000))
    profile = references.measure(filled, contract, reference)
    drifts = drift.compare(profile, reference.profile, contract, policy.drift)
    assert at("fail", drifts) == [("age", "nulls")]


def let_more_leave(row: Row, number: int) -> None:
    if number % 5 == 0:
        row["left"] = "yes"


def test_a_target_that_moves_fails(compare: Callable[[list[Row]], list[Drift]]) -> None:
    assert at("fail", compare(changed(let_more_leave))) == [("left", "distribution")]


def age_everybody_a_bit(row: Row, number: int) -> None:
    row["tenure_months"] = str(int(row["tenure_months"]) * 9 // 10)
    row["monthly_spend"] = f"{float(row['monthly_spend']) * 1.09:.1f}"


def test_small_changes_that_add_up_are_seen_in_the_predictions(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    drifts = compare(changed(age_everybody_a_bit, 2000))
    values = {(one.column, one.aspect): one.value for one in drifts}
    predicted = values["predictions", "distribution"]
    assert predicted > values["tenure_months", "distribution"]
    assert predicted > values["monthly_spend", "distribution"]
    assert ("predictions", "distribution") in at("fail", drifts)


def test_a_change_between_the_levels_warns(compare: Callable[[list[Row]], list[Drift]]) -> None:
    def shift(row: Row, number: int) -> None:
        if row["age"]:
            row["age"] = str(int(row["age"]) + 2 + number % 2)

    assert at("warn", compare(changed(shift, 2000))) == [("age", "distribution")]


def test_few_rows_are_said_to_be_few(compare: Callable[[list[Row]], list[Drift]]) -> None:
    drifts = compare(changed(shift_ages, 299))
    assert {one.level for one in drifts} == {"unknown"}


def test_a_column_without_a_value_is_not_compared_but_its_nulls_are(
    compare: Callable[[list[Row]], list[Drift]],
) -> None:
    drifts = compare(changed(lambda row, number: row.update(age="")))
    levels = {one.aspect: one.level for one in drifts if one.column == "age"}
    assert levels == {"distribution": "unknown", "nulls": "fail"}


def test_a_column_that_is_missing_leaves_the_others_to_compare(
    compare: Callable[[list[Row]], list[Drift]],
    accepted: tuple[Contract, Reference],
    policy: Policy,
) -> None:
    contract, reference = accepted
    profile = references.measure(
        customers.read(contract.path.parent, customers.make(1000))[1], contract, reference
    )
    del profile.numbers["age"]
    columns = {
        one.column for one in drift.compare(profile, reference.profile, contract, policy.drift)
    }
    assert "age" not in columns and "tenure_months" in columns


def test_a_number_that_was_constant_fails_when_it_is_not(
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


def test_dust_in_many_rows_is_certain_but_no_drift(policy: Policy) -> None:
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


def test_the_more_columns_the_more_certain_each_must_be(
    compare: Callable[[list[Row]], list[Drift]], policy: Policy
) -> None:
    drifts = compare(customers.make(1000))
    assert {one.significance for one in drifts} == {policy.drift.significance / len(drifts)}
