"""The reference is small and reproducible, and refused under another contract."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import reference as references
from toolkit.data.contract import Contract
from toolkit.data.reference import Reference
from toolkit.data.table import Table
from toolkit.errors import ConfigurationError, DataError
from toolkit.model.features import Features
from toolkit.tests import customers
from toolkit.tests.customers import CONTRACT


@pytest.fixture
def read(tmp_path: Path) -> tuple[Contract, Table]:
    return customers.read(tmp_path, customers.make())


@pytest.fixture
def reference(read: tuple[Contract, Table]) -> Reference:
    contract, table = read
    made = references.make(table, datasets.from_table(table, contract), contract)
    contract.reference.write_bytes(references.to_json(made))
    return made


def test_a_reference_survives_its_file(read: tuple[Contract, Table], reference: Reference) -> None:
    loaded = references.load(read[0])
    assert replace(loaded, sha256=None) == reference


def test_the_same_table_gives_the_same_bytes(
    read: tuple[Contract, Table], reference: Reference
) -> None:
    contract, table = read
    again = references.make(table, datasets.from_table(table, contract), contract)
    assert references.to_json(again) == contract.reference.read_bytes()


def test_the_file_has_a_line_for_each_column_and_no_customer(
    read: tuple[Contract, Table], reference: Reference
) -> None:
    text = read[0].reference.read_text(encoding="utf-8")
    for name in ("age", "plan type", "left"):
        assert sum(line.startswith(f'      "{name}": ') for line in text.splitlines()) == 1
    assert "customer 1" not in text
    assert len(text) < 20_000


def test_customers_with_one_label_are_no_reference(read: tuple[Contract, Table]) -> None:
    contract, table = read
    table.values["left"] = "no"
    with pytest.raises(
        DataError, match="the reference must contain churned and retained customers"
    ):
        references.make(table, datasets.from_table(table, contract), contract)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"schema": 2', '"schema": 3', "schema: is 3, but this version of the toolkit reads 2"),
        ('"rows": 400', '"rows": "many"', "profile.rows: Input should be a valid integer"),
        ('"age"', '"years"', "it lacks the contract's integer column 'age'"),
        ('"is_new_customer"', '"is_old"', "its model has other features than the contract"),
        ("{", "", "Invalid JSON"),
        ('"model"', '"models"', "model: "),
        ('"rows": 400', '"rows": 5', "it was edited by hand: the figures of 'age' contradict"),
        ('"nulls": 2', '"nulls": 3', "it was edited by hand: the figures of 'age' contradict"),
        ('"mean": 5', '"mean": 6', "it was edited by hand: its sha256 is not that of its content"),
        (
            '"optimism"',
            '"optimist"',
            "it was edited by hand: its sha256 is not that of its content",
        ),
        ('"schema": 2', '"schema": 1', "it was edited by hand: it has figures that schema 1 does"),
    ],
)
def test_an_invalid_reference_is_refused(
    read: tuple[Contract, Table], reference: Reference, old: str, new: str, message: str
) -> None:
    path = read[0].reference
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message) as refused:
        references.load(read[0])
    assert str(refused.value).startswith(f"{path}: ")
    assert "nox -s reference" in refused.value.next_step


def test_a_reference_of_a_column_of_another_type_is_refused(
    read: tuple[Contract, Table], reference: Reference
) -> None:
    contract, _ = read
    number = 'type = "category"\ncategories = ["basic", "full"]'
    contract.path.write_text(CONTRACT.replace(number, 'type = "number"'), encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match="it lacks the contract's number column 'plan type'"
    ):
        references.load(contracts.load(contract.path))


def test_the_file_is_plain_json(read: tuple[Contract, Table], reference: Reference) -> None:
    document = json.loads(read[0].reference.read_bytes())
    assert list(document) == [
        *("schema", "data_sha256", "contract_sha256", "accepted"),
        *("profile", "model", "sketch", "sha256"),
    ]
    assert document["model"]["features"] == list(Features(read[0]).names)
