"""One metric with one parameter: what the customers who are missed cost."""

import numpy as np

from toolkit.model.metrics import Metric, Vector


def missed_cost(y_true: Vector, y_prob: Vector, sample_weight: Vector, *, cost_eur: float) -> float:
    """Return the cost of churned customers below a probability of one half, per customer."""
    if not sample_weight.any():
        return float("nan")
    return float(np.average(cost_eur * y_true * (y_prob < 0.5), weights=sample_weight))


METRICS = (
    Metric(
        "missed_cost",
        missed_cost,
        higher_is_better=False,
        unit="EUR per customer",
        parameters={"cost_eur": (0, 1000)},
    ),
)
