"""The owner's metrics are measured beside the built-in ones, with intervals, and fail by name."""

import math

import numpy as np
import pytest

from toolkit.errors import ConfigurationError
from toolkit.model.comparison import compare
from toolkit.model.evaluation import METRICS, Predictions, evaluate
from toolkit.model.metrics import BusinessMetric, Metric, Vector
from toolkit.tests.example.metrics import METRICS as EXAMPLES

PACKAGE = "toolkit.tests.example"
[EXAMPLE] = EXAMPLES
MISSED_COST = BusinessMetric(EXAMPLE, {"cost_eur": 100.0}, PACKAGE)


def predictions(rows: int = 500, noise: float = 1.0) -> Predictions:
    """Return customers in no particular order, predicted the worse the more noise there is."""
    rng = np.random.default_rng(3)
    y_true = (rng.random(rows) < 0.3).astype(np.int64)
    score = 2.0 * y_true - 1.0 + noise * rng.normal(size=rows)
    return Predictions.at_threshold(y_true, 1 / (1 + np.exp(-score)), 0.5)


def metric(function: object) -> BusinessMetric:
    assert callable(function)
    return BusinessMetric(Metric("mine", function, higher_is_better=True), {}, PACKAGE)


def test_the_owner_s_metrics_come_after_the_built_in_ones() -> None:
    one = predictions()
    measured = one.metrics(business=(MISSED_COST,))
    assert tuple(measured) == (*METRICS, "missed_cost")
    missed = (one.y_true == 1) & (one.y_prob < 0.5)
    assert measured["missed_cost"] == pytest.approx(100 * missed.mean())


def test_a_customer_of_weight_two_counts_like_two_customers() -> None:
    one = predictions(rows=60)
    weights = np.arange(60.0) % 3
    rows = np.repeat(np.arange(60), weights.astype(int))
    repeated = Predictions(one.y_true[rows], one.y_prob[rows], one.y_pred[rows])
    weighted = one.metrics(weights, (MISSED_COST,))["missed_cost"]
    assert weighted == pytest.approx(repeated.metrics(business=(MISSED_COST,))["missed_cost"])


def test_a_metric_sees_its_customers_ordered_by_probability_at_every_resample() -> None:
    seen = []

    def watch(y_true: Vector, y_prob: Vector, sample_weight: Vector) -> float:
        seen.append((y_true, y_prob, sample_weight))
        return 1.0

    evaluate(predictions(), seed=1, business=(metric(watch),))
    assert len(seen) == 201
    assert all((np.diff(y_prob) <= 0).all() for _, y_prob, _ in seen)
    assert all(weights.sum() == 500 for *_, weights in seen)
    # They are sorted once: every resample is handed the same arrays.
    assert len({id(y_prob) for _, y_prob, _ in seen}) == 1


def test_a_metric_has_a_95_percent_interval() -> None:
    estimate = evaluate(predictions(), seed=1, business=(MISSED_COST,))["missed_cost"]
    assert estimate.low < estimate.value < estimate.high
    sd = 100 * math.sqrt((estimate.value / 100) * (1 - estimate.value / 100) / 500)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * sd, rel=0.2)


def test_an_undefined_metric_has_an_undefined_interval() -> None:
    undefined = metric(lambda y_true, y_prob, sample_weight: math.nan)
    estimate = evaluate(predictions(), seed=1, business=(undefined,))["mine"]
    assert math.isnan(estimate.value) and math.isnan(estimate.low)


def test_a_loss_points_the_way_of_the_metric() -> None:
    champion, candidate = predictions(noise=1.0), predictions(noise=3.0)
    [*_, cost] = compare(candidate, champion, seed=1, business=(MISSED_COST,))
    assert cost.metric == "missed_cost"
    assert cost.candidate > cost.champion
    assert cost.loss == pytest.approx(cost.candidate - cost.champion)
    assert cost.low > 0 and cost.p_value < 0.001


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda y_true, y_prob, sample_weight: 1 / 0, "ZeroDivisionError"),
        (lambda y_true, y_prob, sample_weight: y_prob, "TypeError"),
        (lambda y_true, y_prob, sample_weight: None, "TypeError"),
        (lambda y_true, y_prob, sample_weight, *, cost: 1.0, "cost"),
    ],
    ids=["raises", "an array", "nothing", "a parameter that quality.toml does not give"],
)
def test_a_function_that_fails_is_named(function: object, reason: str) -> None:
    with pytest.raises(
        ConfigurationError, match="the metric 'mine' cannot be computed: "
    ) as failed:
        evaluate(predictions(), seed=1, business=(metric(function),))
    assert reason in str(failed.value)
    assert "example/metrics.py, line " in str(failed.value)
