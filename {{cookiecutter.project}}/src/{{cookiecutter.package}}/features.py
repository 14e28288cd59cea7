"""Features derived from the table's columns, for training and for the server alike.

Add a function and an entry in `FEATURES`; nothing else needs to know. A function is given the
columns it names, each [n], NaN for a null, and returns the feature, [n]. It is asked about a
thousand customers in training and about one in the server, so it may look at nothing but its
arguments. A feature whose columns are not all in data/contract.toml is left out.
"""

import numpy as np
from toolkit.model.features import DerivedFeature, Vector


def is_new_customer(tenure_months: Vector) -> Vector:
    """Return 1 for a customer in the first month, else 0; null where the tenure is null."""
    return np.where(np.isnan(tenure_months), np.nan, tenure_months == 0)


def spend_per_tenure_month(monthly_spend: Vector, tenure_months: Vector) -> Vector:
    """Return the monthly spend divided by the months of tenure; the first month counts as one.

    Rounded, so that two values are far enough apart for the float32 thresholds of the ONNX model.
    """
    return np.round(monthly_spend / np.maximum(tenure_months, 1.0), 3)


FEATURES = (
    DerivedFeature("is_new_customer", ("tenure_months",), is_new_customer),
    DerivedFeature(
        "spend_per_tenure_month", ("monthly_spend", "tenure_months"), spend_per_tenure_month
    ),
)
