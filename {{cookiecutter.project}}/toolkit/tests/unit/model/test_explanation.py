"""An explanation adds up, is exact where at most two columns act together, and never varies."""

import asyncio
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import unquote

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier

from toolkit.data import dataset as datasets
from toolkit.data import reference, table
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.data.expectation import Distribution, Expectation
from toolkit.model import training
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.serving.api import create_app
from toolkit.serving.customer import MAX_CUSTOMERS
from toolkit.serving.drain import Drain
from toolkit.serving.explanation import (
    Customer,
    Explainer,
    Explanation,
    Value,
    reference_customer,
)
from toolkit.serving.in_memory import post
from toolkit.serving.limits import Connections, Limits
from toolkit.serving.prediction import PREDICT
from toolkit.tests.example import estimators

# A float32 probability of 0.001 has its log-odds to so many.
CLOSE = 1e-3
CUSTOMERS: list[dict[str, Value]] = [
    {"age": 44, "tenure_months": 2, "monthly_spend": 190.0, "plan type": "full"},
    {"age": None, "tenure_months": 55, "monthly_spend": 20.5, "plan type": "basic"},
    {"age": 70, "tenure_months": 0, "monthly_spend": 80.0, "plan type": "basic"},
]
Trainer = Callable[[str], Predictor]
Ask = Callable[[object, str], tuple[int, bytes]]


def pairs(seed: int) -> BaseEstimator:
    """Boosted trees in each of which at most two columns act together."""
    return HistGradientBoostingClassifier(max_iter=80, max_depth=2, random_state=seed)


@pytest.fixture(scope="module")
def expectation(contract: Contract) -> Expectation:
    rows = table.read(contract)
    made = reference.make(rows, datasets.from_table(rows, contract), contract)
    return reference.expectation(made, contract, np.array([0.1, 0.9]))


@pytest.fixture
def train(
    dataset: Dataset, contract: Contract, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> Trainer:
    """Return a function that trains an estimator by its name, on the columns alone."""
    monkeypatch.setitem(estimators.ESTIMATORS, "pairs", pairs)
    # One is of two columns, which act together then.
    monkeypatch.setattr("toolkit.tests.example.features.FEATURES", ())

    def train(estimator: str) -> Predictor:
        chosen = replace(policy.training, estimator=estimator)
        return Predictor(contract, training.train(dataset, contract, chosen).model)

    return train


def log_odds(predictor: Predictor, customers: Sequence[Customer]) -> list[float]:
    said = predictor.probabilities(predictor.matrix(customers)).astype(np.float64)
    return [math.log(one / (1 - one)) for one in said]


def moved(explanation: Explanation) -> dict[str, float]:
    return {one.feature: one.log_odds for one in explanation.contributions}


def shapley(predictor: Predictor, customer: Customer, typical: Customer) -> dict[str, float]:
    """Return the Shapley value of each column, by asking about every set of columns."""
    names = list(typical)
    sizes = range(len(names) + 1)
    sets = [frozenset(one) for size in sizes for one in itertools.combinations(names, size)]
    asked = [{name: (customer if name in one else typical)[name] for name in names} for one in sets]
    worth = dict(zip(sets, log_odds(predictor, asked), strict=True))
    orders = list(itertools.permutations(names))
    values = dict.fromkeys(names, 0.0)
    for order in orders:
        for place, name in enumerate(order):
            before = frozenset(order[:place])
            values[name] += (worth[before | {name}] - worth[before]) / len(orders)
    return values


def test_the_reference_customer_has_the_medians_and_the_modes(
    contract: Contract, expectation: Expectation
) -> None:
    typical = reference_customer(contract, expectation)
    values = table.read(contract).values
    assert typical["plan type"] == values["plan type"].mode()[0]
    for name in ("age", "tenure_months", "monthly_spend"):
        share = (values[name].dropna() <= typical[name]).mean()
        assert share == pytest.approx(0.5, abs=0.03)
        assert isinstance(typical[name], float if name == "monthly_spend" else int)


@pytest.mark.parametrize(
    ("edges", "counts", "median"),
    [
        ((1.0, 2.0, 3.0), (1, 1, 6, 1), 3.0),
        ((0.0,), (9, 1), 0.0),
        ((0.0,), (1, 9), 0.0),
        ((), (10,), 0.0),
    ],
    ids=["in the third bin", "nearly all the same", "above the last edge", "no edge"],
)
def test_a_median_is_the_end_of_the_bin_that_has_it(
    contract: Contract,
    expectation: Expectation,
    edges: tuple[float, ...],
    counts: tuple[int, ...],
    median: float,
) -> None:
    spend = Distribution.of_numbers(edges, counts)
    changed = replace(expectation, columns=expectation.columns | {"monthly_spend": spend})
    assert reference_customer(contract, changed)["monthly_spend"] == median


def test_a_model_that_adds_up_is_explained_by_what_it_adds(
    train: Trainer, expectation: Expectation
) -> None:
    predictor = train("logistic")
    explainer = Explainer(predictor, expectation)
    typical = explainer.reference
    for customer, found in zip(CUSTOMERS, explainer.explain(CUSTOMERS, 9), strict=True):
        [base] = log_odds(predictor, [typical])
        for one in found.contributions:
            [alone] = log_odds(predictor, [typical | {one.feature: customer[one.feature]}])
            assert one.log_odds == pytest.approx(alone - base, abs=CLOSE)
        assert found.other_log_odds == pytest.approx(0, abs=CLOSE)


def test_where_two_columns_act_together_each_gets_its_shapley_value(
    train: Trainer, expectation: Expectation
) -> None:
    predictor = train("pairs")
    explainer = Explainer(predictor, expectation)
    for customer, found in zip(CUSTOMERS, explainer.explain(CUSTOMERS, 9), strict=True):
        exact = shapley(predictor, customer, explainer.reference)
        assert {name: moved(found).get(name, 0.0) for name in exact} == pytest.approx(
            exact, abs=CLOSE
        )
        assert found.other_log_odds == pytest.approx(0, abs=CLOSE)
        assert max(map(abs, exact.values())) > 0.5, "there is something to explain"


def test_with_what_is_not_told_it_adds_up_to_the_prediction(
    predictor: Predictor, expectation: Expectation
) -> None:
    explainer = Explainer(predictor, expectation)
    everything = explainer.explain(CUSTOMERS, 9)
    for customer, all_of_it, two in zip(
        CUSTOMERS, everything, explainer.explain(CUSTOMERS, 2), strict=True
    ):
        assert two.contributions == all_of_it.contributions[:2]
        sizes = [abs(one.log_odds) for one in all_of_it.contributions]
        assert sizes == sorted(sizes, reverse=True)
        own, base = log_odds(predictor, [customer, explainer.reference])
        for found in (all_of_it, two):
            total = sum(moved(found).values()) + found.other_log_odds
            assert base + total == pytest.approx(own, abs=1e-9)


def test_a_contribution_tells_what_the_reference_s_value_would_change(
    predictor: Predictor, expectation: Expectation
) -> None:
    explainer = Explainer(predictor, expectation)
    [found] = explainer.explain(CUSTOMERS[:1], 1)
    [one] = found.contributions
    assert (one.value, one.reference) == (
        *(CUSTOMERS[0][one.feature], explainer.reference[one.feature]),
    )
    [changed] = predictor.answer([CUSTOMERS[0] | {one.feature: one.reference}])
    assert one.probability == changed["churn_probability"]


def test_nothing_moved_the_reference_customer(
    predictor: Predictor, expectation: Expectation
) -> None:
    explainer = Explainer(predictor, expectation)
    [found] = explainer.explain([explainer.reference], 9)
    [said] = predictor.answer([explainer.reference])
    assert found == Explanation(said["churn_probability"], (), 0.0)


def test_an_explanation_is_the_same_to_the_bit_again_and_among_others(
    contract: Contract, predictor: Predictor, trained: training.Trained, expectation: Expectation
) -> None:
    first = Explainer(predictor, expectation).explain(CUSTOMERS, 9)
    other = Explainer(Predictor(contract, trained.model), expectation)
    assert other.explain(CUSTOMERS, 9) == first
    assert [other.explain([one], 9)[0] for one in CUSTOMERS] == first


def test_of_many_columns_a_few_rows_at_a_time_are_asked_about(
    predictor: Predictor, expectation: Expectation, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = Explainer(predictor, expectation)
    whole = explainer.explain(CUSTOMERS, 9)
    monkeypatch.setattr("toolkit.serving.explanation.VALUES", 3 * len(explainer.reference))
    assert explainer.explain(CUSTOMERS, 9) == whole


@pytest.fixture
def ask(predictor: Predictor, expectation: Expectation) -> Ask:
    """Return a function that asks the server's application with a query."""
    version = {"release": None, "commit": None, "digest": None, "model_sha256": "0"}
    refused = Connections(Limits()).refused
    app = create_app(predictor, expectation, version, Drain(), refused)

    def ask(content: object, query: str) -> tuple[int, bytes]:
        return asyncio.run(post(app, json.dumps(content).encode(), f"{PREDICT}{query}"))

    return ask


def test_over_http_a_prediction_is_what_it_was_and_its_explanation_behind_it(
    ask: Ask, predictor: Predictor, expectation: Expectation
) -> None:
    expected = Explainer(predictor, expectation).explain(CUSTOMERS, 2)
    status, body = ask(CUSTOMERS, "?explain=2")
    assert status == HTTPStatus.OK
    plain = json.loads(ask(CUSTOMERS, "")[1])
    for said, known, explanation in zip(json.loads(body), plain, expected, strict=True):
        assert said == known | {"explanation": explanation.as_json()}
        assert len(said["explanation"]["contributions"]) == 2
    assert ask(CUSTOMERS, "?explain=2")[1] == body, "the same bytes again"
    [first] = json.loads(b"[" + ask(CUSTOMERS[0], "?explain=2")[1] + b"]")
    assert first == json.loads(body)[0]


@pytest.mark.parametrize("wanted", ["0", "101", "-1", "two", "1.5", "", "%D9%A3", "9" * 5000])
def test_a_number_of_contributions_that_is_none_is_refused(ask: Ask, wanted: str) -> None:
    status, body = ask(CUSTOMERS[0], f"?explain={wanted}")
    [error] = json.loads(body)["detail"]
    assert status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert error == {
        **{"field": "explain", "value": unquote(wanted)[:100], "rule": "contributions"},
        "reason": "Input should be a whole number from 1 to 100",
    }


def test_every_customer_of_the_longest_list_is_explained_as_alone(ask: Ask) -> None:
    many = list(itertools.islice(itertools.cycle(CUSTOMERS), MAX_CUSTOMERS))
    status, body = ask(many, "?explain=9")
    assert status == HTTPStatus.OK
    alone = [json.loads(ask(one, "?explain=9")[1]) for one in CUSTOMERS]
    assert json.loads(body) == list(itertools.islice(itertools.cycle(alone), MAX_CUSTOMERS))


def test_what_breaks_the_contract_is_refused_as_without_an_explanation(ask: Ask) -> None:
    bad = CUSTOMERS[0] | {"age": 17}
    assert ask(bad, "?explain=1") == ask(bad, "")
