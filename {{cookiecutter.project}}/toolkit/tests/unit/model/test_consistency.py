"""Contract, training and server must agree, and each difference between them is named."""

from typing import Any

import numpy as np
import pytest

from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.model import consistency
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.serving.customer import CustomerSchema


def test_training_and_serving_compute_the_same(
    dataset: Dataset, contract: Contract, policy: Policy
) -> None:
    compared = consistency.compare(dataset, contract, policy.training)
    assert compared.differences == ()
    assert compared.rows == 400
    assert compared.feature_difference == 0
    assert compared.prediction_difference < 1e-6
    assert compared.names[0] == "age"


def test_the_rows_have_every_kind_of_value_of_a_column(
    dataset: Dataset, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consistency, "ROWS", 10)
    compared = dataset.select(consistency.representative_rows(dataset, contract))
    assert len(compared) < 25
    for column in contract.features:
        here, there = compared.columns[column.name], dataset.columns[column.name]
        if column.is_numeric:
            assert np.nanmin(here) == np.nanmin(there) and np.nanmax(here) == np.nanmax(there)
            assert np.isnan(here).any() == np.isnan(there).any()
        else:
            assert set(here) == set(there)


def test_a_prediction_that_differs_in_serving_is_named(
    dataset: Dataset, contract: Contract, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Predictor.answer

    def too_high(self: Predictor, customers: Any) -> Any:
        return [
            {"churn_probability": one["churn_probability"] + 0.01}
            for one in answer(self, customers)
        ]

    monkeypatch.setattr(Predictor, "answer", too_high)
    [difference] = consistency.compare(dataset, contract, policy.training).differences
    assert difference.startswith("predictions: customer customer ")
    assert "from the trained pipeline" in difference and "1e-05 is allowed" in difference


def test_a_null_that_is_filled_before_serving_is_named(
    dataset: Dataset, contract: Contract, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = Predictor.matrix

    def fill(self: Predictor, customers: Any) -> Any:
        return np.nan_to_num(matrix(self, customers), nan=-1)

    monkeypatch.setattr(Predictor, "matrix", fill)
    differences = consistency.compare(dataset, contract, policy.training).differences
    assert differences[0].startswith("feature age: 2 of 400 customers differ: customer customer 5")
    assert "has nan in training, -1 in serving" in differences[0]


def differences(contract: Contract, **changes: Any) -> list[str]:
    """Return the differences from the contract when the server's schema is changed."""
    schema = CustomerSchema(contract).json_schema()
    schema["anyOf"][0].update(changes)
    return list(consistency.schema_differences(contract, schema))


def test_the_server_s_schema_is_that_of_the_contract(contract: Contract) -> None:
    assert differences(contract) == []


def test_a_field_that_the_server_does_not_take_is_named(contract: Contract) -> None:
    properties = dict(CustomerSchema(contract).json_schema()["anyOf"][0]["properties"])
    del properties["age"]
    [difference] = differences(contract, properties=properties)
    assert difference.startswith("/predict takes tenure_months, monthly_spend, plan type; ")


def test_fields_in_another_order_are_named(contract: Contract) -> None:
    properties = CustomerSchema(contract).json_schema()["anyOf"][0]["properties"]
    [difference] = differences(contract, properties=dict(reversed(properties.items())))
    assert difference.endswith("the contract has age, tenure_months, monthly_spend, plan type")


@pytest.mark.parametrize(
    ("name", "entry", "difference"),
    [
        ("tenure_months", {"type": "number", "minimum": 0}, "{'type': 'number', 'minimum': 0, "),
        ("tenure_months", {"type": "integer"}, "{'type': 'integer', 'null': False}"),
        (
            "plan type",
            {"anyOf": [{"type": "string", "enum": ["basic"]}, {"type": "null"}]},
            "'enum': ['basic']",
        ),
        ("plan type", {"type": "string", "enum": ["basic", "full"]}, "'null': False"),
    ],
)
def test_a_field_that_the_server_restricts_otherwise_is_named(
    contract: Contract, name: str, entry: dict[str, Any], difference: str
) -> None:
    properties = CustomerSchema(contract).json_schema()["anyOf"][0]["properties"]
    [found] = differences(contract, properties=properties | {name: entry})
    assert found.startswith(f"/predict takes as {name} ")
    assert difference in found and "; the contract allows {" in found


@pytest.mark.parametrize("changes", [{"required": []}, {"additionalProperties": True}])
def test_a_server_that_accepts_missing_or_unknown_columns_is_named(
    contract: Contract, changes: dict[str, Any]
) -> None:
    [difference] = differences(contract, **changes)
    assert "a missing or an unknown column" in difference
