"""Business metrics: the value of the model to you, measured beside scikit-learn's metrics.

Add a function and an entry in `METRICS`; the gate, its report and the model card then show the
metric with a 95 % interval, and quality.toml can name it in any rule. The function's arguments are

- ``y_true``: 1 for a customer who churned, 0 for one who was retained, [n]
- ``y_prob``: the predicted probability of churn, [n], highest first
- ``sample_weight``: how often each customer counts, [n]; for the interval the function is called
  hundreds of times with other weights, so use them in every sum, and do not sort
- its parameters, which quality.toml gives under ``[metrics.<name>]``

It returns a number, or NaN where the metric is undefined for these customers.
"""

import numpy as np
from toolkit.model.metrics import Metric, Vector

TOP_SHARE = 0.1


def top_decile_lift(y_true: Vector, y_prob: Vector, sample_weight: Vector) -> float:
    """Return the churn rate of the 10 % with the highest probability, divided by that of all.

    Random guessing reaches 1. Where the boundary of the 10 % lies among customers with the same
    probability, each of them counts by the same share: the order of the table has no influence.
    """
    counted = np.cumsum(sample_weight)
    churned = sample_weight * y_true
    if churned.sum() == 0:
        return float("nan")
    size = TOP_SHARE * counted[-1]
    boundary = y_prob[np.searchsorted(counted, size)]
    above, tied = y_prob > boundary, y_prob == boundary
    share = (size - sample_weight[above].sum()) / sample_weight[tied].sum()
    churned_in_top = churned[above].sum() + share * churned[tied].sum()
    return float((churned_in_top / size) / (churned.sum() / counted[-1]))


def campaign_profit(
    y_true: Vector,
    y_prob: Vector,
    sample_weight: Vector,
    *,
    contact_cost_eur: float,
    retained_value_eur: float,
    success_rate: float,
) -> float:
    """Return the expected profit of a retention campaign, in EUR per customer of the table.

    The campaign contacts every customer whose expected value exceeds the cost of the contact. It
    retains the share `success_rate` of the contacted churners; every contact has its cost.
    """
    if sample_weight.sum() == 0:
        return float("nan")
    value_of_a_churner_eur = success_rate * retained_value_eur
    contacted = y_prob * value_of_a_churner_eur > contact_cost_eur
    profit_eur = contacted * (y_true * value_of_a_churner_eur - contact_cost_eur)
    return float(np.average(profit_eur, weights=sample_weight))


METRICS = (
    Metric("top_decile_lift", top_decile_lift, higher_is_better=True),
    Metric(
        "campaign_profit",
        campaign_profit,
        higher_is_better=True,
        unit="EUR per customer",
        # The lowest and the highest value that quality.toml may give.
        parameters={
            "contact_cost_eur": (0, 1_000),
            "retained_value_eur": (0, 100_000),
            "success_rate": (0, 1),
        },
    ),
)
