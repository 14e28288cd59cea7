"""The business metrics: what each is worth on customers whom one can count by hand."""

import math

import numpy as np
import pytest
from toolkit.model.metrics import Metric

from {{ cookiecutter.package }}.metrics import METRICS, campaign_profit, top_decile_lift

# Twenty customers, the highest probability first; five of them churned.
Y_TRUE = np.isin(np.arange(20), [0, 1, 3, 8, 15]).astype(float)
Y_PROB = np.linspace(0.96, 0.01, 20)
ONCE = np.ones(20)
COSTS = {"contact_cost_eur": 10.0, "retained_value_eur": 100.0, "success_rate": 0.5}


def test_the_lift_compares_the_top_decile_with_everybody() -> None:
    assert top_decile_lift(Y_TRUE, Y_PROB, ONCE) == pytest.approx((2 / 2) / (5 / 20))


def test_customers_with_the_same_probability_share_the_last_places_of_the_decile() -> None:
    tied = Y_PROB.copy()
    tied[1:5] = 0.9  # One place among four customers, of whom two churned.
    assert top_decile_lift(Y_TRUE, tied, ONCE) == pytest.approx((1.5 / 2) / (5 / 20))
    assert top_decile_lift(Y_TRUE, np.full(20, 0.3), ONCE) == pytest.approx(1.0)


def test_the_campaign_contacts_whom_it_expects_to_pay() -> None:
    # A churner is worth 50 EUR, so a contact pays above a probability of 0.2: 16 customers.
    profit_eur = campaign_profit(Y_TRUE, Y_PROB, ONCE, **COSTS)
    assert profit_eur == pytest.approx((5 * 50 - 16 * 10) / 20)


def test_a_campaign_that_never_pays_costs_nothing() -> None:
    assert campaign_profit(Y_TRUE, Y_PROB, ONCE, **COSTS | {"contact_cost_eur": 60.0}) == 0


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_customer_of_weight_two_counts_like_two_customers(metric: Metric) -> None:
    parameters = {name: COSTS[name] for name in metric.parameters}
    weights = np.arange(20) % 3
    repeated = (np.repeat(values, weights) for values in (Y_TRUE, Y_PROB, ONCE))
    weighted = metric.function(Y_TRUE, Y_PROB, weights.astype(float), **parameters)
    assert weighted == pytest.approx(metric.function(*repeated, **parameters))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_of_nobody_is_undefined(metric: Metric) -> None:
    parameters = {name: COSTS[name] for name in metric.parameters}
    assert math.isnan(metric.function(Y_TRUE, Y_PROB, np.zeros(20), **parameters))
