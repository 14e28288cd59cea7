"""Training is the same twice, and never sees whom it is judged by."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.data import dataset as datasets
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.errors import DataError
from toolkit.model import training
from toolkit.model.evaluation import best_threshold
from toolkit.model.policy import Policy
from toolkit.model.training import Trained


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
    assert lied_to.trial.judged.metrics()["roc_auc"] < 0.5


def test_the_full_training_counts_its_customers_and_judges_those_held_out(
    dataset: Dataset, policy: Policy, trained: Trained
) -> None:
    assert sum(trained.trial.rows.values()) == 2 * len(dataset)
    assert len(trained.trial.judged) == trained.trial.rows["held_out"]
    held_out = datasets.is_held_out(dataset, policy.training.holdout_share)
    assert set(trained.trial.customers.ids) == set(dataset.ids[held_out])
    assert len(trained.known) == trained.trial.rows["trained"]
    assert trained.known.metrics()["roc_auc"] > trained.trial.judged.metrics()["roc_auc"] > 0.75
    assert 0 < trained.latency_ms < 1000


def test_the_quick_training_judges_a_few_out_of_fold(
    dataset: Dataset, contract: Contract, policy: Policy
) -> None:
    quick = training.cross_validate(dataset, contract, policy.training)
    assert quick.rows == {"table": 400, "judged": 300}
    assert quick.judged.metrics()["roc_auc"] > 0.75


def test_the_champion_is_met_on_customers_that_are_held_out(
    dataset: Dataset, contract: Contract, policy: Policy
) -> None:
    trial = training.challenge(dataset, contract, policy.training, threshold=0.4)
    held_out = datasets.is_held_out(dataset, policy.training.holdout_share)
    assert set(trial.customers.ids) == set(dataset.ids[held_out])
    assert trial.rows == {"trained": 400 - held_out.sum(), "held_out": held_out.sum()}
    decided = trial.judged.probabilities >= 0.4
    np.testing.assert_array_equal(trial.judged.decided, decided)


def test_each_customer_is_judged_by_a_model_of_other_folds(
    dataset: Dataset, policy: Policy
) -> None:
    # A feature that tells one customer from another: only a model that saw the row can use it.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, len(dataset))
    matrix = rng.normal(size=(len(dataset), 5)).astype(np.float32)
    blind, _ = training.out_of_fold(replace(dataset, labels=labels), matrix, policy.training)
    assert abs(np.corrcoef(blind, labels)[0, 1]) < 0.2


def test_no_customer_helps_to_choose_the_threshold_that_decides_it() -> None:
    # Noise: the best threshold of all rows looks better on them than one chosen on others.
    rng = np.random.default_rng(3)
    labels, given = rng.integers(0, 2, 60), rng.random(60)
    judged = training.decide_out_of_fold(labels, given, np.arange(60) % 3)
    every = (given >= best_threshold(labels, given)).astype(np.int64)
    chosen_on_all = replace(judged, decided=every)
    assert judged.metrics()["f1"] < chosen_on_all.metrics()["f1"]
    for fold in range(3):
        inside, outside = np.arange(60) % 3 == fold, np.arange(60) % 3 != fold
        threshold = best_threshold(labels[outside], given[outside])
        np.testing.assert_array_equal(judged.decided[inside], given[inside] >= threshold)


@pytest.mark.parametrize("train", [training.train, training.cross_validate])
def test_customers_of_one_kind_cannot_be_learned_from(
    dataset: Dataset, contract: Contract, policy: Policy, train: object
) -> None:
    loyal = replace(dataset, labels=np.zeros_like(dataset.labels))
    assert callable(train)
    with pytest.raises(DataError, match="must have customers who left and customers who stayed"):
        train(loyal, contract, policy.training)


def test_smoke_cases_are_held_out_customers_as_requests(trained: Trained) -> None:
    cases = trained.smoke["cases"]
    assert isinstance(cases, list)
    assert len(cases) == training.SMOKE_CASES
    assert list(cases[0]["request"]) == ["age", "tenure_months", "monthly_spend", "plan type"]
    assert isinstance(cases[0]["request"]["tenure_months"], int)
    assert cases[0]["response"].keys() == {"churn_probability", "churn"}
