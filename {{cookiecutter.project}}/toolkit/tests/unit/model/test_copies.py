"""Customers who are the same but for their id never stand on both sides of a split, and are told.

The cases are of imbalanced-learn's issue 751: a table that was oversampled before it was split.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import table
from toolkit.data.dataset import COARSE_ROWS, Dataset
from toolkit.data.validation import validate
from toolkit.tests import customers
from toolkit.tests.customers import CONTRACT, Row


def copied(rows: list[Row], count: int, times: int = 1) -> list[Row]:
    """Return rows and after them the first of them again, each `times` times under other ids."""
    copies = (
        row | {"name": f"{row['name']} again {time}"}
        for row in rows[:count]
        for time in range(times)
    )
    return [*rows, *copies]


def read(folder: Path, rows: list[Row]) -> Dataset:
    contract, values = customers.read(folder, rows)
    return datasets.from_table(values, contract)


def test_copies_stand_on_one_side_of_every_split(tmp_path: Path) -> None:
    dataset = read(tmp_path, copied(customers.make(), 100, times=3))
    for sides in (datasets.is_held_out(dataset, 0.25), datasets.folds(dataset, 5)):
        originals, copies = sides[:100], sides[400:].reshape(100, 3)
        assert len(np.unique(originals)) > 1
        np.testing.assert_array_equal(copies, np.repeat(originals[:, np.newaxis], 3, axis=1))


def test_a_customer_that_was_copied_a_hundred_times_stands_on_one_side(tmp_path: Path) -> None:
    dataset = read(tmp_path, copied(customers.make(), 10, times=100))
    held_out = datasets.is_held_out(dataset, 0.25)
    copies = held_out[400:].reshape(10, 100)
    assert (copies == copies[:, :1]).all() and len(np.unique(copies)) == 2


def test_a_customer_without_a_copy_stays_on_its_side(tmp_path: Path) -> None:
    before = read(tmp_path, customers.make())
    after = read(tmp_path, copied(customers.make(), 100))
    for split in (lambda one: datasets.is_held_out(one, 0.25), lambda one: datasets.folds(one, 5)):
        np.testing.assert_array_equal(split(after)[100:400], split(before)[100:])
    by_id = datasets.position(before.ids, "hold-out") < 0.25
    np.testing.assert_array_equal(datasets.is_held_out(before, 0.25), by_id)


def test_the_order_of_rows_and_columns_does_not_change_a_split(tmp_path: Path) -> None:
    rows = copied(customers.make(), 100)
    there = read(tmp_path, rows)
    back = read(tmp_path, rows[::-1])
    np.testing.assert_array_equal(
        datasets.is_held_out(there, 0.25), datasets.is_held_out(back, 0.25)[::-1]
    )


def test_customers_whom_coarse_columns_make_alike_are_split_by_their_own_ids(
    tmp_path: Path,
) -> None:
    rows = customers.make(1000)
    for row in rows:
        row |= {"age": "40", "tenure_months": "1", "monthly_spend": "20"}
    dataset = read(tmp_path, rows)
    assert len(rows) > 2 * COARSE_ROWS
    np.testing.assert_array_equal(dataset.groups, dataset.ids)
    assert 0.2 < datasets.is_held_out(dataset, 0.25).mean() < 0.3


def test_the_hash_of_a_row_is_the_same_on_every_machine_and_for_equal_values() -> None:
    values = pd.DataFrame({"a": [1.0, 1.0, -0.0, 0.0, np.nan], "b": ["x", "x", None, None, "y"]})
    hashes = datasets.contents(values, ["a", "b"])
    assert hashes[0] == hashes[1] and hashes[2] == hashes[3] and len(set(hashes)) == 3
    assert (hashes == datasets.contents(values, ["b", "a"])).all()
    assert hashes[0] == 1091401621107150774


def test_more_copies_than_the_contract_allows_are_a_finding_with_their_lines(
    tmp_path: Path,
) -> None:
    contract, values = customers.read(tmp_path, copied(customers.make(), 40))
    assert [str(finding) for finding in validate(values, contract)] == [
        "copies: rows that are the same as an earlier one but for the id; expected: at most 5.00% "
        "of the rows (rows.max_copies) (9.09%: 40 rows, first lines 402, 403, 404, 405, 406)"
    ]


def test_the_contract_sets_the_share_of_copies(tmp_path: Path) -> None:
    contract, values = customers.read(tmp_path, copied(customers.make(), 40))
    text = CONTRACT.replace("max = 5000", "max = 5000, max_copies = 0.1")
    contract.path.write_text(text, encoding="utf-8")
    assert validate(values, contracts.load(contract.path)) == []


def test_rows_with_the_same_features_and_another_label_are_no_copies(tmp_path: Path) -> None:
    rows = copied(customers.make(), 40)
    for row in rows[400:]:
        row["left"] = "no" if row["left"] == "yes" else "yes"
    contract, values = customers.read(tmp_path, rows)
    assert validate(values, contract) == []


@pytest.mark.parametrize("column", ["plan type", "left"])
def test_without_a_column_the_copies_are_not_counted(tmp_path: Path, column: str) -> None:
    rows = copied(customers.make(), 40)
    contract = contracts.load(
        customers.write(tmp_path, rows, [name for name in customers.HEADER if name != column])
    )
    found = [finding.check for finding in validate(table.read(contract), contract)]
    assert "copies" not in found and "schema" in found
