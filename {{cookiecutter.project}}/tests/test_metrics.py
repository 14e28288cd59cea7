"""The business metrics, against what one can work out by hand."""

import numpy as np
import pytest

from {{ cookiecutter.package }}.metrics import campaign_profit, top_decile_lift

# Ten customers by falling probability; the first, the second and the last churned.
Y_TRUE = np.array([1.0, 1.0, 0, 0, 0, 0, 0, 0, 0, 1.0])
Y_PROB = np.linspace(0.95, 0.05, 10)
ONCE = np.ones(10)
COSTS = {"contact_cost_eur": 5.0, "retained_value_eur": 100.0, "success_rate": 0.1}


def test_the_lift_compares_the_top_decile_with_all() -> None:
    assert top_decile_lift(Y_TRUE, Y_PROB, ONCE) == pytest.approx(1 / 0.3)


def test_the_lift_of_a_constant_model_is_that_of_guessing() -> None:
    assert top_decile_lift(Y_TRUE, np.full(10, 0.3), ONCE) == pytest.approx(1)


def test_the_lift_counts_a_customer_as_often_as_the_weight_says() -> None:
    twice = np.repeat(Y_TRUE, 2), np.repeat(Y_PROB, 2), np.ones(20)
    assert top_decile_lift(Y_TRUE, Y_PROB, 2 * ONCE) == pytest.approx(top_decile_lift(*twice))


def test_the_lift_is_undefined_where_nobody_churned() -> None:
    assert np.isnan(top_decile_lift(np.zeros(10), Y_PROB, ONCE))


def test_the_campaign_contacts_those_who_are_worth_it() -> None:
    # Contacting pays from a probability of 5 / (0.1 * 100) = 0.5 on: the first five, two of whom
    # churned and are worth 10 EUR each.
    profit_eur = campaign_profit(Y_TRUE, Y_PROB, ONCE, **COSTS)
    assert profit_eur == pytest.approx((2 * 10 - 5 * 5) / 10)


def test_a_campaign_that_never_pays_costs_nothing() -> None:
    assert campaign_profit(Y_TRUE, Y_PROB, ONCE, **COSTS | {"success_rate": 0.0}) == 0
