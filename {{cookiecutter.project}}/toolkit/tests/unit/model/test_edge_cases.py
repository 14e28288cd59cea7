"""Training and serving treat unusual values alike: both accept them, or both refuse them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import table
from toolkit.data.contract import Contract
from toolkit.data.validation import validate
from toolkit.model.features import Features
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.model.training import train
from toolkit.serving.customer import CustomerSchema, field_errors
from toolkit.tests import customers

CONTRACT = customers.CONTRACT.replace(
    'categories = ["basic", "full"]', 'categories = ["basic", "full", "Über 50 €", "プラン", "🎁"]'
)
CUSTOMER = {"age": 40, "tenure_months": 3, "monthly_spend": 20.5, "plan type": "full"}


@pytest.fixture
def wide(tmp_path: Path) -> Contract:
    path = customers.write(tmp_path, customers.make())
    path.write_text(CONTRACT, encoding="utf-8")
    return contracts.load(path)


def in_the_table(contract: Contract, column: str, text: str) -> tuple[list[str], Any]:
    """Return the columns with findings, or the features, with this text in the first row."""
    rows = customers.make()
    rows[0] = rows[0] | {name: str(value) for name, value in CUSTOMER.items()} | {column: text}
    customers.write(contract.path.parent, rows)
    contract.path.write_text(CONTRACT, encoding="utf-8")
    current = table.read(contract)
    columns = [str(finding.column) for finding in validate(current, contract)]
    if columns:
        return columns, None
    dataset = datasets.from_table(current, contract).select(np.array([0]))
    return [], Features(contract).matrix(dataset.columns)


def in_a_request(contract: Contract, column: str, value: object) -> tuple[list[str], Any]:
    """Return the fields with errors, or the features, of a request with this value."""
    body = json.dumps(CUSTOMER | {column: value}).encode()
    try:
        customer = CustomerSchema(contract).parse_one(body)
    except ValidationError as error:
        return [one["field"] for one in field_errors(error)], None
    columns = {name: [value] for name, value in customer.items()}
    return [], Features(contract).matrix(columns)


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("tenure_months", "0", 0),
        ("tenure_months", "600000", 600_000),
        ("age", "", None),
        ("age", "40.0", 40.0),
        ("plan type", "", None),
        ("monthly_spend", "0", 0),
        ("monthly_spend", "500", 500),
        ("monthly_spend", "1e2", 1e2),
        ("monthly_spend", "0.1", 0.1),
        ("plan type", "Über 50 €", "Über 50 €"),
        ("plan type", "プラン", "プラン"),
        ("plan type", "🎁", "🎁"),
    ],
)
def test_an_unusual_but_valid_value_gives_the_same_features(
    wide: Contract, column: str, text: str, value: object
) -> None:
    findings, trained = in_the_table(wide, column, text)
    errors, served = in_a_request(wide, column, value)
    assert (findings, errors) == ([], [])
    np.testing.assert_array_equal(trained, served)


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("tenure_months", "-1", -1),
        ("tenure_months", "", None),
        ("tenure_months", "1e39", 10**39),
        ("tenure_months", "9007199254740994", 2**53 + 2),
        ("tenure_months", "1e400", float("inf")),
        ("tenure_months", "3.5", 3.5),
        ("monthly_spend", "-0.01", -0.01),
        ("monthly_spend", "500.01", 500.01),
        ("monthly_spend", "1e39", 1e39),
        ("monthly_spend", "nan", float("nan")),
        ("monthly_spend", "twenty", "twenty"),
        ("age", "True", True),
        ("age", "[40]", [40]),
        ("plan type", "gold", "gold"),
        ("plan type", "Full", "Full"),
        ("plan type", "5", 5),
    ],
)
def test_an_invalid_value_is_refused_by_both(
    wide: Contract, column: str, text: str, value: object
) -> None:
    findings, _ = in_the_table(wide, column, text)
    errors, _ = in_a_request(wide, column, value)
    assert (findings, errors) == ([column], [column])


FORMAT = """
[csv]
sep = ";"
decimal = ","
thousands = "."

[[column]]"""
WITH_FORMAT = (
    CONTRACT.replace("\n[[column]]", FORMAT, 1)
    .replace("min = 0\nmax = 500", 'min = 0\nmax = 5000\nsign = "€"\nna_values = ["k.A."]')
    .replace('"full", "Über', '"full", "None", "Über')
)


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("monthly_spend", "1.234,5 €", 1234.5),
        ("monthly_spend", "€0,416", 0.416),
        ("monthly_spend", "k.A.", None),
        ("plan type", "None", "None"),
    ],
)
def test_a_text_of_the_table_s_format_is_the_number_of_a_request(
    tmp_path: Path, column: str, text: str, value: object
) -> None:
    contract, first = formatted(tmp_path, column, text)
    [table_value] = first
    assert pd.isna(table_value) if value is None else table_value == value
    errors, _ = in_a_request(contract, column, value)
    assert errors == []
    if column == "monthly_spend":
        # JSON has numbers: a text is none, in the table's format neither.
        assert in_a_request(contract, column, text)[0] == [column]


@pytest.mark.parametrize("text", ["0.416 €", "12.34 €", "1.2345 €", "1234.5 €", "7", "$7", "NA"])
def test_a_number_of_another_format_is_refused(tmp_path: Path, text: str) -> None:
    contract, _ = formatted(tmp_path, "monthly_spend", text)
    current = table.read(contract)
    assert list(current.unreadable["monthly_spend"]) == [text]
    assert in_a_request(contract, "monthly_spend", text)[0] == ["monthly_spend"]


def formatted(folder: Path, column: str, text: str) -> tuple[Contract, list[Any]]:
    """Return a contract with a format of numbers, and the values of a table of one row."""
    path = customers.write(folder, [])
    path.write_text(WITH_FORMAT, encoding="utf-8")
    contract = contracts.load(path)
    row = {"name": "Ada", "age": "40", "tenure_months": "3", "monthly_spend": "20,5 €"}
    row |= {"plan type": "full", "left": "no", column: text}
    contract.data.write_text(";".join(row) + "\n" + ";".join(row.values()), encoding="utf-8")
    return contract, table.read(contract).values[column].tolist()


def test_a_new_customer_has_the_same_features_in_both(wide: Contract) -> None:
    names = Features(wide).names
    _, trained = in_the_table(wide, "tenure_months", "0")
    _, served = in_a_request(wide, "tenure_months", 0)
    for matrix in (trained, served):
        assert matrix[0, names.index("is_new_customer")] == 1
        assert matrix[0, names.index("spend_per_tenure_month")] == 20.5


def test_the_model_gives_every_unusual_customer_a_probability(
    wide: Contract, policy: Policy
) -> None:
    data = datasets.from_table(table.read(wide), wide)
    predictor = Predictor(wide, train(data, wide, policy.training).model)
    unusual = [
        CUSTOMER | {"tenure_months": 0},
        CUSTOMER | {"tenure_months": 10**9},
        CUSTOMER | {"age": None, "plan type": None},
        CUSTOMER | {"monthly_spend": 0},
        CUSTOMER | {"plan type": "🎁"},
    ]
    for answer in predictor.answer(unusual):
        assert 0 < answer["churn_probability"] < 1
