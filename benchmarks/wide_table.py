"""Churn tables of customers who do not exist: of usual width, and with thousands of columns.

The sample's three columns are few enough for a frame to be cheap; companies have tables with 3
numbers and 16 categories, or with all that their systems know. Both are drawn with a seed, so
whoever runs a benchmark measures the same ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20261124
CUSTOMERS = 7_000
ID, TARGET = "customer_id", "churned"
MANY_CUSTOMERS, MANY_COLUMNS = 2_000, 3_000
KINDS = ("amount", "visits", "score", "flag", "plan")
# Of the groups of columns, one of each kind, those that tell who leaves.
TELLING_GROUPS = 4

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


def write_many(path: Path) -> None:
    """Write a table of `MANY_CUSTOMERS` with `MANY_COLUMNS` features as CSV, in several types."""
    rng = np.random.default_rng(SEED)
    count, groups = MANY_CUSTOMERS, MANY_COLUMNS // len(KINDS)
    table = {ID: np.array([f"C{number:05d}" for number in range(1, count + 1)], dtype=object)}
    odds = np.full(count, -1.2)
    for group in range(groups):
        amount = rng.lognormal(3, 1, count).round(2)
        visits = rng.poisson(2 + group % 40, count)
        score = rng.normal(0, 1, count).round(4)
        flag = rng.random(count) < 0.05 + 0.9 * (group % 10) / 10
        plan = rng.choice([f"plan {number}" for number in range(2 + group % 9)], count)
        if group < TELLING_GROUPS:
            odds += 0.8 * score + 0.8 * (plan == "plan 0") - 0.5 * np.log(amount / 20)
        # A tenth of every second amount is not known.
        unknown = (group % 2 == 1) & (rng.random(count) < 0.1)
        values = (np.where(unknown, None, amount), visits, score, flag.astype(int), plan)
        table |= {f"{kind}_{group}": one for kind, one in zip(KINDS, values, strict=True)}
    leaves = rng.random(count) < 1 / (1 + np.exp(-odds))
    table[TARGET] = np.where(leaves, "Yes", "No")
    pd.DataFrame(table).to_csv(path, index=False)
