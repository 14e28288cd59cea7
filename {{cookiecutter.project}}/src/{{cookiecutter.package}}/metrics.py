"""Business metrics: what the model is worth to you, measured beside scikit-learn's metrics.

Add a function and an entry in `METRICS`; the gate, its report and the model card then show the
metric with a 95 % interval, and quality.toml can name it in any rule. A function is given

- ``y_true``: 1 for a customer who churned, 0 for one who was retained, [n]
- ``y_prob``: the predicted probability of churn, [n], highest first
- ``sample_weight``: how often each customer counts, [n]; the interval comes from some hundred calls
  with other weights, so leave out no weight and sort nothing
- its parameters, which quality.toml gives under ``[metrics.<name>]``

and returns a number, or NaN where these customers leave the metric undefined.
"""

import numpy as np
from toolkit.model.metrics import Metric, Vector

TOP_SHARE = 0.1


def top_decile_lift(y_true: Vector, y_prob: Vector, sample_weight: Vector) -> float:
    """Return the churn rate of the 10 % with the highest probability, over the rate of all.

    1 is what random guessing reaches. Where customers with the same probability lie on both sides
    of the 10 %, each counts by the same share: their order in the table decides nothing.
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

    It contacts every customer from whom it expects more than the contact costs. Of the contacted
    who would have churned it retains `success_rate`; the others cost a contact, and bring nothing.
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
