"""A churn table of usual width, of customers who do not exist: 3 numbers and 16 categories.

The sample's three columns are few enough for a frame to be cheap; companies have tables like this
one. It is drawn with a seed, so whoever runs the benchmark measures the same one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20261124
CUSTOMERS = 7_000
ID, TARGET = "customer_id", "churned"

YES_NO = ("Yes", "No")
# What a category may be; each customer has one of them, drawn evenly.
CATEGORIES = {
    "gender": ("Female", "Male"),
    "senior": YES_NO,
    "partner": YES_NO,
    "dependents": YES_NO,
    "phone": YES_NO,
    "lines": ("No", "One", "Several"),
    "internet": ("No", "DSL", "Fiber"),
    "security": (*YES_NO, "Not offered"),
    "backup": (*YES_NO, "Not offered"),
    "protection": (*YES_NO, "Not offered"),
    "support": (*YES_NO, "Not offered"),
    "television": (*YES_NO, "Not offered"),
    "films": (*YES_NO, "Not offered"),
    "contract": ("Monthly", "One year", "Two years"),
    "paperless": YES_NO,
    "payment": ("Card", "Check", "Debit", "Transfer"),
}
# What makes customers leave, in log odds; nobody's reasons are all in the table.
REASONS = {
    ("contract", "Monthly"): 1.2,
    ("contract", "Two years"): -1.2,
    ("internet", "Fiber"): 0.8,
    ("support", "No"): 0.5,
    ("payment", "Check"): 0.4,
}


def write(path: Path) -> None:
    """Write the table as CSV."""
    rng = np.random.default_rng(SEED)
    table = pd.DataFrame({ID: [f"C{number:05d}" for number in range(1, CUSTOMERS + 1)]})
    tenure = rng.integers(1, 73, CUSTOMERS)
    spend = rng.uniform(18, 120, CUSTOMERS).round(2)
    table["tenure_months"], table["monthly_spend"] = tenure, spend
    table["total_spend"] = (tenure * spend * rng.uniform(0.9, 1.1, CUSTOMERS)).round(2)
    for name, values in CATEGORIES.items():
        table[name] = rng.choice(values, CUSTOMERS)
    odds = -1.0 - 0.04 * (tenure - 36) + 0.01 * (spend - 70)
    for (name, value), weight in REASONS.items():
        odds = odds + weight * (table[name] == value)
    leaves = rng.random(CUSTOMERS) < 1 / (1 + np.exp(-odds))
    table[TARGET] = np.where(leaves, "Yes", "No")
    table.to_csv(path, index=False)
