"""The metrics of features and predictions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from toolkit.data.expectation import Distribution, Expectation
from toolkit.serving.monitoring import Monitor

EXPECTATION = Expectation(
    schema=1,
    columns={
        "age": Distribution.of_numbers([30.0], [3, 1]),
        "plan": Distribution(("basic", "full"), (1, 2), nulls=1),
    },
    probabilities=Distribution.of_numbers([0.5], [9, 1]),
)


@pytest.fixture
def monitor() -> Monitor:
    return Monitor(EXPECTATION)


def scraped(monitor: Monitor, name: str, **labels: str) -> float | None:
    """Return a metric as a scrape gets it."""
    registry = CollectorRegistry()
    registry.register(monitor)
    return registry.get_sample_value(name, labels)


def test_features_and_predictions_are_counted_beside_the_expected_shares(monitor: Monitor) -> None:
    monitor.count(
        [
            ({"age": 20, "plan": "full"}, 0.1),
            ({"age": 40, "plan": None}, 0.9),
            ({"age": 41, "plan": "full"}, 0.2),
        ]
    )
    monitor.count([({"age": 30, "plan": "basic"}, 0.5)])
    assert scraped(monitor, "churn_input_values_total", column="age", bin="(30, inf)") == 2
    assert scraped(monitor, "churn_input_values_total", column="age", bin="(-inf, 30]") == 2
    assert scraped(monitor, "churn_input_values_total", column="plan", bin="full") == 2
    assert scraped(monitor, "churn_input_nulls_total", column="plan") == 1
    assert scraped(monitor, "churn_input_expected_ratio", column="age", bin="(-inf, 30]") == 0.75
    assert scraped(monitor, "churn_input_expected_null_ratio", column="plan") == 0.25
    assert scraped(monitor, "churn_probabilities_total", bin="(-inf, 0.5]") == 3
    assert scraped(monitor, "churn_probabilities_expected_ratio", bin="(0.5, inf)") == 0.1


@given(
    ages=st.lists(st.none() | st.sampled_from([29.9, 30.0, 30.1]) | st.floats(18, 99), max_size=90),
)
def test_many_customers_are_counted_as_each_of_them_is(ages: list[float | None]) -> None:
    together, each = Monitor(EXPECTATION), Monitor(EXPECTATION)
    answered = [({"age": age, "plan": "full"}, (age or 0) / 100) for age in ages]
    together.count(answered)
    for one in answered:
        each.count([one])
    assert list(together.collect()) == list(each.collect())


def test_empty_bins_are_zero(monitor: Monitor) -> None:
    assert scraped(monitor, "churn_input_values_total", column="plan", bin="basic") == 0
    assert scraped(monitor, "churn_probabilities_total", bin="(0.5, inf)") == 0


def test_an_invalid_value_is_counted_by_rule_and_by_column_where_there_is_one(
    monitor: Monitor,
) -> None:
    monitor.refuse("age", "int_type")
    monitor.refuse("age", "int_type")
    monitor.refuse("not a column", "extra_forbidden")
    assert scraped(monitor, "churn_input_refusals_total", column="age", rule="int_type") == 2
    assert (
        scraped(monitor, "churn_input_refusals_total", column="other", rule="extra_forbidden") == 1
    )
