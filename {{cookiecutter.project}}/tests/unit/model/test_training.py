"""Training is the same twice, and never sees whom it is judged by."""

from dataclasses import replace

import numpy as np
import pytest

from {{ cookiecutter.package }} import dataset as datasets
from {{ cookiecutter.package }} import training
from {{ cookiecutter.package }}.contract import Contract
from {{ cookiecutter.package }}.dataset import Dataset
from {{ cookiecutter.package }}.errors import DataError
from {{ cookiecutter.package }}.evaluation import METRICS
from {{ cookiecutter.package }}.policy import Policy
from {{ cookiecutter.package }}.training import Trained


def test_the_same_data_give_the_same_bytes(
    dataset: Dataset, contract: Contract, policy: Policy, trained: Trained
) -> None:
    again = training.train(dataset, contract, policy.training)
    assert again.model == trained.model
    assert again.smoke == trained.smoke


def test_another_customer_gives_another_model(
    dataset: Dataset, contract: Contract, policy: Policy, trained: Trained
) -> None:
    known = np.flatnonzero(~datasets.is_held_out(dataset, policy.training.holdout_share))
    fewer = dataset.select(np.delete(np.arange(len(dataset)), known[0]))
    assert training.train(fewer, contract, policy.training).model != trained.model


def test_held_out_customers_do_not_touch_the_model(
    dataset: Dataset, contract: Contract, policy: Policy, trained: Trained
) -> None:
    held_out = datasets.is_held_out(dataset, policy.training.holdout_share)
    labels = np.where(held_out, 1 - dataset.labels, dataset.labels)
    lied_to = training.train(replace(dataset, labels=labels), contract, policy.training)
    assert lied_to.model == trained.model
    assert lied_to.measured.metrics["roc_auc"] < 0.5


def test_both_trainings_learn_and_count_their_customers(
    dataset: Dataset, contract: Contract, policy: Policy, trained: Trained
) -> None:
    quick = training.measure_quickly(dataset, contract, policy.training)
    assert quick.rows == {"table": 400, "judged": 300}
    assert sum(trained.measured.rows.values()) == 2 * len(dataset)
    for measured in (quick, trained.measured):
        assert tuple(measured.metrics) == METRICS
        assert measured.metrics["roc_auc"] > 0.75


def test_each_customer_is_judged_by_a_model_of_other_folds(
    dataset: Dataset, policy: Policy
) -> None:
    # A feature that tells one customer from another: only a model that saw the row can use it.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, len(dataset))
    matrix = rng.normal(size=(len(dataset), 5)).astype(np.float32)
    blind = training.out_of_fold(replace(dataset, labels=labels), matrix, policy.training)
    assert abs(np.corrcoef(blind, labels)[0, 1]) < 0.2


def test_customers_of_one_kind_cannot_be_learned_from(
    dataset: Dataset, contract: Contract, policy: Policy
) -> None:
    loyal = replace(dataset, labels=np.zeros_like(dataset.labels))
    with pytest.raises(DataError, match="must have customers who left and customers who stayed"):
        training.train(loyal, contract, policy.training)


def test_smoke_cases_are_held_out_customers_as_requests(trained: Trained) -> None:
    cases = trained.smoke["cases"]
    assert isinstance(cases, list)
    assert len(cases) == training.SMOKE_CASES
    assert list(cases[0]["request"]) == ["age", "tenure_months", "monthly_spend", "plan type"]
    assert isinstance(cases[0]["request"]["tenure_months"], int)
    assert cases[0]["response"].keys() == {"churn_probability", "churn"}
