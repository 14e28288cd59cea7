"""The choice of an estimator: on the same customers, never the holdout, and on enough of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from toolkit.data import dataset as datasets
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.errors import DataError
from toolkit.model import choice
from toolkit.model.policy import Policy, TrainingPolicy
from toolkit.tests.example.estimators import ESTIMATORS


@pytest.fixture
def training_policy(policy: Policy) -> TrainingPolicy:
    """Return a policy whose quick gate has so few customers that the best are tried on more."""
    return replace(policy.training, quick_rows=60)


@pytest.fixture
def guesses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let one of the estimators guess; return the sizes of what it was fitted to, as it grows."""
    sizes: list[int] = []

    class Guess(DummyClassifier):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Guess":
            sizes.append(len(y))
            super().fit(X, y)
            return self

    monkeypatch.setitem(ESTIMATORS, "guess", lambda seed: Guess(strategy="prior"))
    return sizes


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the customers of the tests be many."""
    monkeypatch.setattr(choice, "MIN_ROWS", 130)
    monkeypatch.setattr(choice, "ROWS", 130)
    monkeypatch.setattr(choice, "FAR_BEHIND", 1.0)


def test_the_labels_of_the_holdout_have_no_say(
    dataset: Dataset, contract: Contract, training_policy: TrainingPolicy
) -> None:
    held_out = datasets.is_held_out(dataset, training_policy.holdout_share)
    labels = np.where(held_out, 1 - dataset.labels, dataset.labels)
    relabelled = replace(dataset, labels=labels)
    chosen = choice.choose(dataset, contract, training_policy)
    assert chosen.candidates == choice.choose(relabelled, contract, training_policy).candidates
    assert not set(chosen.evaluation.customers.ids) & set(dataset.ids[held_out])


def test_on_a_small_table_every_customer_out_of_the_holdout_is_cross_validated(
    dataset: Dataset, contract: Contract, training_policy: TrainingPolicy
) -> None:
    known = int((~datasets.is_held_out(dataset, training_policy.holdout_share)).sum())
    chosen = choice.choose(dataset, contract, training_policy)
    assert chosen.evaluation.rows == {"table": known, "evaluated": known}
    assert f"on {known} customers, none of them held out" in chosen.sentences()[0]
    assert chosen.quick.rows == {"table": len(dataset), "evaluated": 60}


@pytest.mark.usefixtures("many")
def test_on_a_large_table_the_best_are_trained_once_on_three_quarters(
    dataset: Dataset, contract: Contract, training_policy: TrainingPolicy
) -> None:
    chosen = choice.choose(dataset, contract, training_policy)
    rows = chosen.evaluation.rows
    assert rows["trained"] + rows["evaluated"] == 260
    assert rows["trained"] == pytest.approx(195, abs=20)
    assert {one.rows for one in chosen.candidates} == {rows["evaluated"]}
    assert 0.7 < chosen.candidates[0].roc_auc < 1


@pytest.mark.usefixtures("many")
def test_customers_who_are_the_same_but_for_the_id_stand_on_one_side_of_it(
    dataset: Dataset, contract: Contract, training_policy: TrainingPolicy
) -> None:
    pairs = dataset.groups.copy()
    pairs[1::2] = pairs[::2]
    paired = replace(dataset, groups=pairs)
    known = paired.select(~datasets.is_held_out(paired, training_policy.holdout_share))
    drawn = known.select(datasets.quick_rows(known, 260))
    chosen = choice.choose(paired, contract, training_policy)
    asked = np.isin(drawn.ids, chosen.evaluation.customers.ids)
    assert asked.any()
    assert not set(drawn.groups[asked]) & set(drawn.groups[~asked])


@pytest.mark.usefixtures("many")
def test_a_large_table_with_one_label_among_those_who_are_asked_about_is_refused(
    dataset: Dataset, contract: Contract, training_policy: TrainingPolicy
) -> None:
    asked = datasets.folds(dataset, choice.PARTS) == 0
    retained = replace(dataset, labels=np.where(asked, 0, dataset.labels))
    with pytest.raises(DataError, match="asked about must contain churned and retained customers"):
        choice.choose(retained, contract, training_policy)


def test_who_is_certainly_behind_after_two_folds_is_left_out_of_the_others(
    dataset: Dataset, contract: Contract, training_policy: TrainingPolicy, guesses: list[int]
) -> None:
    all_at_once = replace(training_policy, quick_rows=len(dataset))
    chosen = choice.choose(dataset, contract, all_at_once)
    known = int((~datasets.is_held_out(dataset, training_policy.holdout_share)).sum())
    best, guess = chosen.candidates[0], chosen.candidates[-1]
    # The chosen one was asked about everybody, and its interval is of all folds.
    assert best.rows == len(chosen.evaluation.customers) == known
    assert not np.isnan(chosen.evaluation.predictions.y_prob).any()
    assert (guess.name, guess.left_out, len(guesses)) == ("guess", "2 of 3 folds", 2)
    assert guess.rows < known * 0.8
    sentence = chosen.sentences()[-1]
    assert sentence.startswith("guess was left out after 2 of 3 folds: it reaches 0.")
    assert f"less than {guess.than} (" in sentence
    assert sentence.endswith(f"on {guess.rows} customers)")


def test_nobody_is_left_out_after_folds_with_few_of_a_label(
    dataset: Dataset,
    contract: Contract,
    training_policy: TrainingPolicy,
    guesses: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "MIN_OF_EACH", 200)
    all_at_once = replace(training_policy, quick_rows=len(dataset))
    chosen = choice.choose(dataset, contract, all_at_once)
    assert len(guesses) == 3
    assert {one.left_out for one in chosen.candidates} == {""}


def test_who_is_far_behind_on_few_customers_is_not_tried_on_more(
    dataset: Dataset, contract: Contract, training_policy: TrainingPolicy, guesses: list[int]
) -> None:
    chosen = choice.choose(dataset, contract, training_policy)
    guess = chosen.candidates[-1]
    assert (guess.name, guess.left_out, guess.rows) == ("guess", "3 of 3 folds", 60)
    assert max(guesses) < 60


def test_who_may_overtake_on_more_customers_is_tried_on_them(
    dataset: Dataset,
    contract: Contract,
    training_policy: TrainingPolicy,
    guesses: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "FAR_BEHIND", 1.0)
    choice.choose(dataset, contract, training_policy)
    assert max(guesses) > 60
