"""Permutation importance is measured of the contract's columns, on customers not trained on."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.model import importance, training
from toolkit.model.evaluation import Predictions
from toolkit.model.features import Features, Matrix
from toolkit.model.importance import Importance, permutation_importance
from toolkit.model.policy import Policy
from toolkit.model.training import Evaluation, Trained

Score = Callable[[Matrix], np.ndarray]


def customers(rows: int, seed: int) -> Dataset:
    """Return customers of whom the new ones with high bills churn, whatever their age or plan."""
    rng = np.random.default_rng(seed)
    columns = {
        "age": rng.integers(18, 90, rows).astype(np.float64),
        "tenure_months": rng.integers(0, 60, rows).astype(np.float64),
        "monthly_spend": rng.uniform(0, 200, rows),
        "plan type": rng.choice(["basic", "full"], rows).astype(object),
    }
    score = 3 * (columns["monthly_spend"] / 200 - columns["tenure_months"] / 60)
    labels = (score + rng.logistic(size=rows) > 0).astype(np.int64)
    ids = np.array([f"{seed}-{n}" for n in range(rows)], object)
    return Dataset(ids, columns, labels, {}, ids)


def evaluation(dataset: Dataset, contract: Contract, score: Score) -> Evaluation:
    """Return how a model whose logit is a function of the features predicts customers."""

    def predict(matrix: Matrix, _: np.ndarray) -> np.ndarray:
        y_prob: np.ndarray = 1 / (1 + np.exp(-score(matrix.astype(np.float64))))
        return y_prob

    matrix = Features(contract).matrix(dataset.columns)
    y_prob = predict(matrix, np.arange(len(dataset)))
    return Evaluation(dataset, Predictions.at_threshold(dataset.labels, y_prob, 0.5), {}, predict)


def spend_and_tenure(contract: Contract) -> Score:
    names = Features(contract).names
    spend, tenure = names.index("monthly_spend"), names.index("tenure_months")
    return lambda matrix: 3 * (matrix[:, spend] / 200 - matrix[:, tenure] / 60)


def by_name(found: tuple[Importance, ...]) -> dict[str, Importance]:
    return {one.feature: one for one in found}


def test_the_most_important_feature_comes_first_and_an_unused_one_has_none(
    contract: Contract,
) -> None:
    found = permutation_importance(
        evaluation(customers(1500, 1), contract, spend_and_tenure(contract)), contract, seed=1
    )
    assert (found.rows, found.repeats) == (1500, importance.REPEATS)
    assert {one.feature for one in found.features[:2]} == {"monthly_spend", "tenure_months"}
    assert found.features[0].decrease >= found.features[1].decrease > 0.1
    for unused in found.features[2:]:
        assert (unused.decrease, unused.low, unused.high) == (0, 0, 0)


def test_a_derived_feature_counts_for_the_columns_it_is_derived_from(contract: Contract) -> None:
    place = Features(contract).names.index("spend_per_tenure_month")
    found = permutation_importance(
        evaluation(customers(1500, 1), contract, lambda matrix: matrix[:, place] / 20),
        *(contract, 1),
    )
    measured = by_name(found.features)
    assert measured["monthly_spend"].low > 0 and measured["tenure_months"].low > 0
    assert measured["age"].decrease == 0


def test_a_category_is_shuffled_as_a_whole(contract: Contract) -> None:
    names = Features(contract).names
    columns = [names.index("plan type=basic"), names.index("plan type=full")]
    seen = []

    def watch(matrix: Matrix) -> np.ndarray:
        seen.append(matrix[:, columns].sum(axis=1))
        return matrix[:, columns[0]]

    permutation_importance(evaluation(customers(300, 1), contract, watch), contract, seed=1)
    assert all((encoded == 1).all() for encoded in seen)


def test_an_interval_covers_the_truth_about_95_times_in_100(contract: Contract) -> None:
    score = spend_and_tenure(contract)

    def measured(rows: int, seed: int) -> dict[str, Importance]:
        one = evaluation(customers(rows, seed), contract, score)
        return by_name(permutation_importance(one, contract, seed).features)

    many = [measured(2000, 1000 + seed)["monthly_spend"].decrease for seed in range(20)]
    truth = float(np.mean(many))
    intervals = [measured(300, seed)["monthly_spend"] for seed in range(100)]
    covered = sum(one.low <= truth <= one.high for one in intervals)
    assert 89 <= covered <= 100


def test_the_same_evaluation_gives_the_same_figures(contract: Contract) -> None:
    one = evaluation(customers(500, 1), contract, spend_and_tenure(contract))
    assert permutation_importance(one, contract, 1) == permutation_importance(one, contract, 1)
    assert permutation_importance(one, contract, 1) != permutation_importance(one, contract, 2)


def test_of_many_customers_some_are_predicted(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance, "ROWS", 200)
    asked = []

    def watch(matrix: Matrix) -> np.ndarray:
        asked.append(len(matrix))
        return spend_and_tenure(contract)(matrix)

    found = permutation_importance(
        evaluation(customers(1000, 1), contract, watch), contract, seed=1
    )
    assert found.rows == 200
    assert asked == [1000, 200, *4 * [importance.REPEATS * 200]]


def test_a_feature_that_the_model_is_not_given_is_not_asked_about(contract: Contract) -> None:
    asked = []

    def watch(matrix: Matrix) -> np.ndarray:
        asked.append(len(matrix))
        return spend_and_tenure(contract)(matrix)

    one = evaluation(customers(300, 1), contract, watch)
    features = Features(contract)
    seen = np.zeros(len(features.names), dtype=np.bool_)
    # Tenure has no feature of its own here, but one that is derived from it.
    seen[[features.names.index(name) for name in ("monthly_spend", "spend_per_tenure_month")]] = (
        True
    )
    asked.clear()
    every = by_name(permutation_importance(one, contract, seed=1).features)
    times = len(asked)
    some = by_name(permutation_importance(replace(one, seen=seen), contract, seed=1).features)
    assert some == every
    assert len(asked) - times == times - 2


def test_of_many_features_each_is_shuffled_less_often(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance, "SHUFFLES", 9)
    one = evaluation(customers(300, 1), contract, spend_and_tenure(contract))
    assert permutation_importance(one, contract, seed=1).repeats == 2


def test_customers_with_one_churner_have_no_importance(contract: Contract) -> None:
    some = customers(100, 1)
    some.labels[:] = np.arange(100) == 0
    one = evaluation(some, contract, spend_and_tenure(contract))
    assert permutation_importance(one, contract, seed=1).features == ()


def test_a_full_training_is_measured_on_its_holdout(trained: Trained, contract: Contract) -> None:
    found = permutation_importance(trained.holdout, contract, seed=1)
    assert found.rows == trained.holdout.rows["held_out"]
    assert {one.feature for one in found.features} == {one.name for one in contract.features}
    assert by_name(found.features)["tenure_months"].low > 0


def test_a_quick_training_is_measured_out_of_fold(
    dataset: Dataset, contract: Contract, policy: Policy
) -> None:
    # Labels that have to do with nothing: a model that was trained on them would know them.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, len(dataset))
    noise = Dataset(dataset.ids, dataset.columns, labels, {}, dataset.groups)
    quick = training.cross_validate(noise, contract, policy.training)
    rows = np.arange(0, len(quick.customers), 2)
    again = quick.predict(Features(contract).matrix(quick.customers.select(rows).columns), rows)
    np.testing.assert_array_equal(again, quick.predictions.y_prob[rows])
    found = permutation_importance(quick, contract, seed=1)
    assert all(abs(one.decrease) < 0.1 for one in found.features)
