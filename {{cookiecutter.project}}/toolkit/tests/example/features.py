"""Two derived features: of one column, and of two."""

import numpy as np

from toolkit.model.features import DerivedFeature, Vector


def is_new_customer(tenure_months: Vector) -> Vector:
    """Return 1 in the first month; null where the tenure is."""
    return np.where(np.isnan(tenure_months), np.nan, tenure_months == 0)


def spend_per_tenure_month(monthly_spend: Vector, tenure_months: Vector) -> Vector:
    """Return the spend over the tenure, at least one month."""
    return np.round(monthly_spend / np.maximum(tenure_months, 1.0), 3)


FEATURES = (
    DerivedFeature("is_new_customer", ("tenure_months",), is_new_customer),
    DerivedFeature(
        "spend_per_tenure_month", ("monthly_spend", "tenure_months"), spend_per_tenure_month
    ),
)
