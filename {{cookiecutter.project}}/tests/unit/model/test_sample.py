"""The repository's own sample keeps its contract, and goes through training and serving alike."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from {{ cookiecutter.package }} import contract as contracts
from {{ cookiecutter.package }} import dataset as datasets
from {{ cookiecutter.package }} import table
from {{ cookiecutter.package }} import training
from {{ cookiecutter.package }}.contract import Contract
from {{ cookiecutter.package }}.customer import CustomerSchema
from {{ cookiecutter.package }}.features import Features
from {{ cookiecutter.package }}.table import Table
from {{ cookiecutter.package }}.validation import validate

DATA = Path(__file__).parents[3] / "data"
ROWS = 500


@pytest.fixture(scope="module")
def contract() -> Contract:
    """Return the contract of the data, for a sample that may be small."""
    whole = contracts.load(DATA / "contract.toml")
    return replace(whole, data=DATA / "sample.csv", min_rows=1)


@pytest.fixture(scope="module")
def sample(contract: Contract) -> Table:
    return table.read(contract)


def test_the_sample_keeps_the_contract(sample: Table, contract: Contract) -> None:
    # A few rows may have more nulls than their share of all.
    assert [one for one in validate(sample, contract) if one.check != "nulls"] == []


def test_the_sample_can_be_asked_about_as_it_is_trained_on(
    sample: Table, contract: Contract
) -> None:
    dataset = datasets.from_table(sample, contract).select(np.arange(min(ROWS, len(sample))))
    body = json.dumps(training.as_requests(dataset, contract)).encode()
    customers = CustomerSchema(contract).parse_many(body)
    columns = {name: [customer[name] for customer in customers] for name in dataset.columns}
    features = Features(contract)
    np.testing.assert_array_equal(features.matrix(columns), features.matrix(dataset.columns))
