"""The table is read as it stands, and each customer keeps a place that never moves."""

from pathlib import Path

import numpy as np
import pytest

from {{ cookiecutter.package }} import contract as contracts
from {{ cookiecutter.package }} import dataset as tables
from {{ cookiecutter.package }}.dataset import Dataset
from {{ cookiecutter.package }}.errors import DataError
from tests import customers


def test_empty_fields_become_nulls(dataset: Dataset) -> None:
    assert np.isnan(dataset.columns["age"]).sum() == 2
    assert dataset.columns["plan type"][0] in ("basic", "full")
    assert set(dataset.labels) == {0, 1}


def test_a_bom_and_crlf_are_read_through(tmp_path: Path) -> None:
    contract = contracts.load(customers.write(tmp_path, customers.make(60)))
    plain = tables.read_text(contract)
    content = contract.data.read_bytes().replace(b"\n", b"\r\n")
    contract.data.write_bytes(b"\xef\xbb\xbf" + content)
    assert tables.read_text(contract).equals(plain)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not readable as CSV: No columns"),
        (b"name,age\na,1\nb,2,3\n", "not readable as CSV: .* line 3, saw 3"),
        (b"name,age\n\xff\xfe,1\n", "not readable as CSV: .*codec can't decode"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    contract = contracts.load(customers.write(tmp_path, []))
    contract.data.write_bytes(content)
    with pytest.raises(DataError, match=message):
        tables.read_text(contract)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    contract = contracts.load(customers.write(tmp_path, []))
    contract.data.unlink()
    with pytest.raises(DataError, match="customers.csv: No such file"):
        tables.read_text(contract)


def test_a_place_is_the_same_on_every_machine() -> None:
    assert tables.position(["customer 1"], "hold-out")[0] == 0.9812139634151542


def test_a_customer_keeps_its_side_while_others_come_and_go(dataset: Dataset) -> None:
    before = dict(zip(dataset.ids, tables.is_held_out(dataset, 0.25), strict=True))
    fewer = dataset.select(np.arange(len(dataset))[::-3])
    after = dict(zip(fewer.ids, tables.is_held_out(fewer, 0.25), strict=True))
    assert after.items() <= before.items()


def test_the_share_of_held_out_customers_is_kept(dataset: Dataset) -> None:
    assert 0.2 < tables.is_held_out(dataset, 0.25).mean() < 0.3


def test_the_folds_are_about_equal_and_say_nothing_of_the_hold_out(dataset: Dataset) -> None:
    counts = np.bincount(tables.folds(dataset, 4)[tables.is_held_out(dataset, 0.5)], minlength=4)
    assert counts.sum() > 150
    assert counts.min() > 25


def test_the_quick_gate_looks_at_the_same_customers_in_any_order(dataset: Dataset) -> None:
    turned = dataset.select(np.arange(len(dataset))[::-1])
    chosen = set(dataset.ids[tables.quick_rows(dataset, 100)])
    assert chosen == set(turned.ids[tables.quick_rows(turned, 100)])
    assert len(chosen) == 100


def test_the_quick_gate_takes_all_of_a_small_table(dataset: Dataset) -> None:
    assert len(tables.quick_rows(dataset, 10_000)) == len(dataset)
