"""Synthetic customers are drawn like those of the table, and none of them is one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from toolkit.data import reference as references
from toolkit.data import synthetic, table, validation
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.data.reference import Reference
from toolkit.model import smoke_cases, training
from toolkit.model.predictor import Predictor
from toolkit.serving.customer import CustomerSchema


@pytest.fixture(scope="module")
def reference(contract: Contract, dataset: Dataset) -> Reference:
    return references.make(table.read(contract), dataset, contract)


def test_the_same_reference_gives_the_same_customers(
    contract: Contract, reference: Reference
) -> None:
    few, more = (synthetic.requests(contract, reference, count) for count in (5, 50))
    assert more[:5] == few
    assert len({str(one) for one in more}) == 50


def test_each_column_is_distributed_as_in_the_table(
    contract: Contract, reference: Reference, dataset: Dataset
) -> None:
    drawn = synthetic.requests(contract, reference, 4000)
    ages = np.array([np.nan if one["age"] is None else one["age"] for one in drawn])
    real = dataset.columns["age"]
    assert np.isnan(ages).mean() == pytest.approx(np.isnan(real).mean(), abs=0.005)
    for statistic in (np.nanmean, np.nanstd):
        assert statistic(ages) == pytest.approx(statistic(real), rel=0.05)
    plans = np.array([one["plan type"] for one in drawn])
    share = (dataset.columns["plan type"] == "full").mean()
    assert (plans == "full").mean() == pytest.approx(share, abs=0.03)
    assert {type(one["tenure_months"]) for one in drawn} == {int}


def test_no_synthetic_customer_is_in_the_table(
    contract: Contract, reference: Reference, dataset: Dataset
) -> None:
    real = {str(one) for one in training.as_requests(dataset, contract)}
    assert real.isdisjoint(map(str, synthetic.requests(contract, reference, 1000)))


def test_a_column_stays_inside_of_a_contract_that_is_narrower_than_its_reference(
    contract: Contract, reference: Reference
) -> None:
    narrow: dict[str, dict[str, Any]] = {
        "age": {"minimum": 40.0, "maximum": 41.0, "max_null_rate": 0.0},
        "plan type": {"categories": ("full", "unheard of")},
    }
    columns = tuple(replace(one, **narrow.get(one.name, {})) for one in contract.columns)
    drawn = synthetic.requests(replace(contract, columns=columns), reference, 500)
    assert {one["age"] for one in drawn} == {40, 41}
    assert {one["plan type"] for one in drawn} == {"full"}


def test_a_table_of_them_keeps_the_contract(contract: Contract, reference: Reference) -> None:
    csv = replace(contract.csv, sep=";", decimal=",", thousands=".", encoding="utf-16")
    written = replace(contract, csv=csv, data=contract.path.with_name("synthetic.csv"))
    written.data.write_bytes(synthetic.table(written, reference, 500))
    read = table.read(written)
    assert validation.validate(read, replace(written, max_copies=1.0)) == []
    spend = read.values["monthly_spend"].to_numpy()
    assert spend.mean() == pytest.approx(reference.profile.numbers["monthly_spend"].mean, rel=0.1)


def test_smoke_cases_are_requests_that_the_server_takes(
    contract: Contract, reference: Reference, predictor: Predictor
) -> None:
    smoke = smoke_cases.make(contract, reference, predictor)
    asked = [case["request"] for case in smoke["cases"]]
    assert smoke["replay"][: len(asked)] == asked
    assert (len(asked), len(smoke["replay"])) == (8, 100)
    customers = [CustomerSchema(contract).check(one) for one in smoke["replay"]]
    assert predictor.answer(customers)[: len(asked)] == [one["response"] for one in smoke["cases"]]
    assert len({one["churn_probability"] for one in predictor.answer(customers)}) > 10
