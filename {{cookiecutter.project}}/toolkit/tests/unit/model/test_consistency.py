"""Contract, training and server must agree, and each difference between them is named."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest
from fastapi.responses import JSONResponse

from toolkit.data import reference as references
from toolkit.data import table
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.data.examination import TrainingData
from toolkit.model import consistency, purity
from toolkit.model.consistency import Consistency
from toolkit.model.other_process import OtherProcess
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.serving import api
from toolkit.serving.customer import CustomerSchema
from toolkit.serving.monitoring import Answered
from toolkit.serving.prediction import Predictions, Response
from toolkit.serving.turns import Turns


@pytest.fixture(scope="module")
def data(contract: Contract, dataset: Dataset) -> TrainingData:
    current = table.read(contract)
    made = references.make(current, dataset, contract)
    return TrainingData(contract, made, dataset, current.sha256)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> OtherProcess:
    """Return a stand-in for the process that tests purity, which has tests of its own."""
    monkeypatch.setattr(purity, "differences", lambda given, other: [])
    stand_in: OtherProcess = create_autospec(OtherProcess, instance=True)
    return stand_in


def compare(data: TrainingData, policy: Policy, other: OtherProcess) -> Consistency:
    given = consistency.give(other, data.dataset, data.contract, policy.training)
    return consistency.compare(data, policy.training, other, given)


def test_training_and_serving_compute_the_same(data: TrainingData, policy: Policy) -> None:
    with OtherProcess() as other:
        compared = compare(data, policy, other)
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
    data: TrainingData, policy: Policy, silent: OtherProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    probabilities = Turns.probabilities

    def too_low(self: Turns, requests: Any) -> Any:
        said: Any = probabilities(self, requests)
        return [[0.9 * probability for probability in one] for one in said]

    monkeypatch.setattr(Turns, "probabilities", too_low)
    differences = compare(data, policy, silent).differences
    assert len(differences) >= 2
    assert differences[0].startswith("predictions: customer customer ")
    assert "from the trained pipeline" in differences[0] and "1e-05 is allowed" in differences[0]
    assert "from the server when asked in a list of 400; " in differences[0]
    assert any("from the server when asked alone; " in one for one in differences)


def rounded(content: Any) -> Any:
    return [one | {"churn_probability": round(one["churn_probability"], 2)} for one in content]


def turned_over(content: Any) -> Any:
    return [one | {"churn": not one["churn"]} for one in content]


def without_the_last(content: Any) -> Any:
    return content[:-1]


def in_percent(content: Any) -> Any:
    return [one | {"churn_probability": 100 * one["churn_probability"]} for one in content]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (rounded, "from the server when asked in a list of 400; 1e-05 is allowed"),
        (turned_over, "at a threshold of 0.5, and the server answers "),
        (without_the_last, "/predict: status 200 for customer customer 0, asked in a list"),
        (in_percent, 'a prediction for each customer is expected, not \'[{"churn_probability":'),
    ],
)
def test_what_the_server_makes_of_a_prediction_is_compared(
    data: TrainingData,
    policy: Policy,
    silent: OtherProcess,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Any], Any],
    expected: str,
) -> None:
    class Changed(Predictions):
        def responses(self, bodies: Sequence[bytes]) -> tuple[list[Response], list[Answered]]:
            responses, answered = super().responses(bodies)
            return [self._changed(one) for one in responses], answered

        def _changed(self, response: Response) -> Response:
            content = json.loads(response.content)
            if not isinstance(content, list):
                return response
            return response._replace(content=bytes(JSONResponse(change(content)).body))

    monkeypatch.setattr(api, "Predictions", Changed)
    [difference] = compare(data, policy, silent).differences
    assert expected in difference


def test_a_server_that_fails_for_a_customer_alone_is_named(
    data: TrainingData, policy: Policy, silent: OtherProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    responses = Predictions.responses

    def fail(self: Predictions, bodies: Sequence[bytes]) -> Any:
        assert bodies[0].startswith(b"[")
        return responses(self, bodies)

    monkeypatch.setattr(Predictions, "responses", fail)
    [difference] = compare(data, policy, silent).differences
    assert difference.startswith("/predict: status 500 for customer customer 0, asked alone")


def test_a_null_that_is_filled_before_serving_is_named(
    data: TrainingData, policy: Policy, silent: OtherProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = Predictor.matrix

    def fill(self: Predictor, customers: Any) -> Any:
        return np.nan_to_num(matrix(self, customers), nan=-1)

    monkeypatch.setattr(Predictor, "matrix", fill)
    differences = compare(data, policy, silent).differences
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
