"""Training gives the same bytes twice, and never sees the customers it is evaluated on."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression

from toolkit.data import dataset as datasets
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.errors import DataError
from toolkit.model import fitting, folds, training
from toolkit.model.evaluation import Predictions, best_threshold
from toolkit.model.features import Features
from toolkit.model.policy import Policy
from toolkit.model.training import Trained
from toolkit.tests.example.estimators import ESTIMATORS


def test_the_same_data_give_the_same_bytes(
    dataset: Dataset, contract: Contract, policy: Policy, trained: Trained
) -> None:
    again = training.train(dataset, contract, policy.training)
    assert again.model == trained.model


def test_one_training_customer_less_gives_another_model(
    dataset: Dataset, contract: Contract, policy: Policy, trained: Trained
) -> None:
    train = np.flatnonzero(~datasets.is_held_out(dataset, policy.training.holdout_share))
    fewer = dataset.select(np.delete(np.arange(len(dataset)), train[0]))
    assert training.train(fewer, contract, policy.training).model != trained.model


def test_the_holdout_does_not_influence_the_model(
    dataset: Dataset, contract: Contract, policy: Policy, trained: Trained
) -> None:
    held_out = datasets.is_held_out(dataset, policy.training.holdout_share)
    labels = np.where(held_out, 1 - dataset.labels, dataset.labels)
    relabelled = training.train(replace(dataset, labels=labels), contract, policy.training)
    assert relabelled.model == trained.model
    assert relabelled.holdout.predictions.metrics()["roc_auc"] < 0.5


def test_the_full_training_counts_its_customers_and_evaluates_the_holdout(
    dataset: Dataset, policy: Policy, trained: Trained
) -> None:
    holdout = trained.holdout
    held_out = datasets.is_held_out(dataset, policy.training.holdout_share)
    assert sum(holdout.rows.values()) == 2 * len(dataset)
    assert len(holdout.predictions) == holdout.rows["held_out"]
    assert set(holdout.customers.ids) == set(dataset.ids[held_out])
    assert len(trained.train) == holdout.rows["trained"]
    assert trained.train.metrics()["roc_auc"] > holdout.predictions.metrics()["roc_auc"] > 0.75
    assert 0 < trained.latency_ms < 1000


def test_the_quick_training_evaluates_some_customers_out_of_fold(
    dataset: Dataset, contract: Contract, policy: Policy
) -> None:
    quick = training.cross_validate(dataset, contract, policy.training)
    assert quick.rows == {"table": 400, "evaluated": 300}
    assert quick.predictions.metrics()["roc_auc"] > 0.75


def test_the_challenger_is_evaluated_on_the_holdout(
    dataset: Dataset, contract: Contract, policy: Policy
) -> None:
    challenger = training.train_challenger(dataset, contract, policy.training, threshold=0.4)
    held_out = datasets.is_held_out(dataset, policy.training.holdout_share)
    assert set(challenger.customers.ids) == set(dataset.ids[held_out])
    assert challenger.rows == {"trained": 400 - held_out.sum(), "held_out": held_out.sum()}
    predictions = challenger.predictions
    np.testing.assert_array_equal(predictions.y_pred, predictions.y_prob >= 0.4)


def test_each_customer_is_predicted_by_a_model_of_other_folds(
    dataset: Dataset, policy: Policy
) -> None:
    # Features that identify a customer: only a model that was trained on the row can use them.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, len(dataset))
    matrix = rng.normal(size=(len(dataset), 5)).astype(np.float32)
    models = folds.fit_folds(replace(dataset, labels=labels), matrix, policy.training)
    y_prob = models.predict(matrix, np.arange(len(dataset)))
    assert abs(np.corrcoef(y_prob, labels)[0, 1]) < 0.2


def test_estimators_that_are_trained_together_learn_what_each_would_alone(
    dataset: Dataset, contract: Contract, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Careless(LogisticRegression):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Careless":
            super().fit(X, y)
            X[:], y[:] = 0, 0
            return self

    monkeypatch.setitem(ESTIMATORS, "careless", lambda seed: Careless())
    matrix = Features(contract).matrix(dataset.columns)
    both = folds.Folds(dataset, matrix, policy.training)
    some = both.fit(["careless", "boosting"], [0, 1])["boosting"]
    every = some | both.fit(["boosting"], [2])["boosting"]
    alone = folds.fit_folds(dataset, matrix, replace(policy.training, estimator="boosting"))
    np.testing.assert_array_equal(every.y_prob, alone.y_prob)
    np.testing.assert_array_equal(every.predict(matrix, np.arange(len(dataset))), alone.y_prob)
    assert np.isnan(some.y_prob).sum() == (both.fold_of > 1).sum()


def test_a_cross_validation_of_the_very_customers_is_not_done_again(
    dataset: Dataset,
    contract: Contract,
    policy: Policy,
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = dataset.select(~datasets.is_held_out(dataset, policy.training.holdout_share))
    everybody = replace(policy.training, quick_rows=len(dataset))
    done = training.cross_validate(known, contract, everybody)
    others = training.cross_validate(dataset, contract, everybody)
    assert training.train(dataset, contract, everybody, others).model == trained.model

    def refuse(*_: object) -> None:
        raise AssertionError("cross-validated again")

    monkeypatch.setattr(training, "fit_folds", refuse)
    assert training.train(dataset, contract, everybody, done).model == trained.model


def test_no_customer_helps_to_choose_the_threshold_of_its_own_prediction() -> None:
    # Noise: the best threshold of all rows looks better on them than one chosen on others.
    rng = np.random.default_rng(3)
    y_true, y_prob = rng.integers(0, 2, 60), rng.random(60)
    out_of_fold = folds.predict_out_of_fold(y_true, y_prob, np.arange(60) % 3)
    chosen_on_all = Predictions.at_threshold(y_true, y_prob, best_threshold(y_true, y_prob))
    assert out_of_fold.metrics()["f1"] < chosen_on_all.metrics()["f1"]
    for fold in range(3):
        inside, outside = np.arange(60) % 3 == fold, np.arange(60) % 3 != fold
        threshold = best_threshold(y_true[outside], y_prob[outside])
        np.testing.assert_array_equal(out_of_fold.y_pred[inside], y_prob[inside] >= threshold)


@pytest.mark.parametrize("train", [training.train, training.cross_validate])
def test_customers_with_the_same_label_cannot_be_trained_on(
    dataset: Dataset, contract: Contract, policy: Policy, train: object
) -> None:
    retained = replace(dataset, labels=np.zeros_like(dataset.labels))
    assert callable(train)
    with pytest.raises(DataError, match="must contain churned and retained customers"):
        train(retained, contract, policy.training)


def test_of_warnings_those_that_forests_cause_one_another_are_not_shown() -> None:
    with pytest.warns(UserWarning) as shown, fitting.one_thread_each():
        warnings.warn("`sklearn.utils.parallel.delayed` should be used with", stacklevel=1)
        warnings.warn("of the owner's estimator", stacklevel=1)
    assert [str(one.message) for one in shown] == ["of the owner's estimator"]


@pytest.mark.parametrize(("rows", "most"), [(300, 200), (2400, 300), (4800, 500)])
def test_of_thousands_of_features_the_estimator_sees_those_that_separate_best(
    contract: Contract, policy: Policy, rows: int, most: int
) -> None:
    rng = np.random.default_rng(4)
    labels = np.arange(rows) % 2
    matrix = rng.normal(size=(rows, 900)).astype(np.float32)
    matrix[:, 700] += 3 * labels
    logistic = replace(policy.training, estimator="logistic")
    pipeline = training.fit(matrix, labels, logistic)
    selected = pipeline.named_steps["selectkbest"].get_support()
    assert (selected.sum(), selected[700]) == (most, True)
    np.testing.assert_array_equal(fitting.seen(pipeline), selected)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    mask, smaller = fitting.narrowed(pipeline)
    np.testing.assert_array_equal(
        fitting.probabilities(smaller, matrix[:, mask]), fitting.probabilities(pipeline, matrix)
    )
    narrow = training.fit(matrix[:, :most], labels, logistic)
    assert fitting.seen(narrow).all() and len(fitting.seen(narrow)) == most
    assert "selectkbest" not in narrow.named_steps


@pytest.mark.parametrize("rows", [1, 2, 41, 300])
def test_nulls_are_imputed_with_the_medians_of_scikit_learn(rows: int) -> None:
    rng = np.random.default_rng(rows)
    matrix = rng.normal(size=(rows, 30)).astype(np.float32).round(1)
    matrix[rng.random(matrix.shape) < 0.3] = np.nan
    matrix[:, 0] = np.nan
    expected = SimpleImputer(strategy="median", keep_empty_features=True).fit(matrix)
    imputer = fitting.median_imputer(matrix)
    np.testing.assert_array_equal(imputer.statistics_, expected.statistics_)
    np.testing.assert_array_equal(imputer.transform(matrix), expected.transform(matrix))
