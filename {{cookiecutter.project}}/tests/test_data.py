"""The repository's own sample keeps its contract, and goes through training and serving alike."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import table
from toolkit.data.contract import Contract
from toolkit.data.table import Table
from toolkit.data.validation import validate
from toolkit.model import training
from toolkit.model.features import Features
from toolkit.serving.customer import CustomerSchema

DATA = Path(__file__).parents[1] / "data"
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
    # A few rows may have more nulls than their share of all; and synthetic customers, drawn column
    # by column, may break a rule between columns, to which `nox -s data` holds the table itself.
    loose = ("nulls", "rule")
    assert [one for one in validate(sample, contract) if one.check not in loose] == []


def test_the_sample_can_be_asked_about_as_it_is_trained_on(
    sample: Table, contract: Contract
) -> None:
    dataset = datasets.from_table(sample, contract).select(np.arange(min(ROWS, len(sample))))
    body = json.dumps(training.as_requests(dataset, contract)).encode()
    customers = CustomerSchema(contract).parse_many(body)
    columns = {name: [customer[name] for customer in customers] for name in dataset.columns}
    features = Features(contract)
    np.testing.assert_array_equal(features.matrix(columns), features.matrix(dataset.columns))
