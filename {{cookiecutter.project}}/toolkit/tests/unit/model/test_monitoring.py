"""What Prometheus is told of customers and answers."""

import pytest
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


def told(monitor: Monitor, name: str, **labels: str) -> float | None:
    """Return a metric as a scrape would find it."""
    registry = CollectorRegistry()
    registry.register(monitor)
    return registry.get_sample_value(name, labels)


def test_customers_and_answers_are_counted_beside_what_is_expected(monitor: Monitor) -> None:
    monitor.count(
        [{"age": 20, "plan": "full"}, {"age": 40, "plan": None}, {"age": 41, "plan": "full"}],
        [0.1, 0.9, 0.2],
    )
    monitor.count([{"age": 30, "plan": "basic"}], [0.5])
    assert told(monitor, "churn_input_values_total", column="age", bin="(30, inf)") == 2
    assert told(monitor, "churn_input_values_total", column="age", bin="(-inf, 30]") == 2
    assert told(monitor, "churn_input_values_total", column="plan", bin="full") == 2
    assert told(monitor, "churn_input_nulls_total", column="plan") == 1
    assert told(monitor, "churn_input_expected_ratio", column="age", bin="(-inf, 30]") == 0.75
    assert told(monitor, "churn_input_expected_null_ratio", column="plan") == 0.25
    assert told(monitor, "churn_probabilities_total", bin="(-inf, 0.5]") == 3
    assert told(monitor, "churn_probabilities_expected_ratio", bin="(0.5, inf)") == 0.1


def test_bins_that_nobody_was_in_are_told_as_zero(monitor: Monitor) -> None:
    assert told(monitor, "churn_input_values_total", column="plan", bin="basic") == 0
    assert told(monitor, "churn_probabilities_total", bin="(0.5, inf)") == 0


def test_a_refusal_is_counted_by_column_and_rule_and_a_free_name_is_not(monitor: Monitor) -> None:
    monitor.refuse("age", "int_type")
    monitor.refuse("age", "int_type")
    monitor.refuse("a name that a client has made up", "extra_forbidden")
    assert told(monitor, "churn_input_refusals_total", column="age", rule="int_type") == 2
    assert told(monitor, "churn_input_refusals_total", column="other", rule="extra_forbidden") == 1
