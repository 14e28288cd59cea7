"""What somebody can do to a table of the sample's customers so that a model looks better.

Each function returns another table; its columns are those of the sample, as
`Generated.customers` has them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm
from toolkit.data.dataset import position

ID, AGE, SPEND, TARGET = "customer_id", "age", "monthly_spend", "churned"
CHURNED, RETAINED = "1", "0"
# The name of a column that the contract does not have yet.
NEW = "open_tickets"
# A new id is held out in one of five attempts.
ATTEMPTS = 100


def copied(
    customers: pd.DataFrame, share: float, rng: np.random.Generator, dearer: float = 0.0
) -> pd.DataFrame:
    """Copy a share of the customers under other ids, with a bill that may be a little higher."""
    rows = rng.permutation(len(customers))[: round(share * len(customers))]
    copies = customers.iloc[rows].assign(**{ID: [f"K{number:06d}" for number in range(len(rows))]})
    copies[SPEND] = (copies[SPEND] + dearer).round(2)
    return pd.concat([customers, copies], ignore_index=True)


def leaking(customers: pd.DataFrame, auc: float, rng: np.random.Generator) -> pd.DataFrame:
    """Deal the bills out again: the same ones, and alone they rank customers with this ROC AUC."""
    dealt = np.empty(len(customers))
    dealt[np.argsort(_score(customers, auc, rng))] = np.sort(customers[SPEND].to_numpy())
    return customers.assign(**{SPEND: dealt})


def with_leak(customers: pd.DataFrame, auc: float, rng: np.random.Generator) -> pd.DataFrame:
    """Add a column that alone ranks customers with this ROC AUC, before the target."""
    leak = np.round(_score(customers, auc, rng), 3)
    return pd.concat([customers.drop(columns=TARGET), leak, customers[TARGET]], axis="columns")


def _score(customers: pd.DataFrame, auc: float, rng: np.random.Generator) -> pd.Series:
    """Draw normal scores, whose means differ by the label."""
    apart = np.sqrt(2) * norm.ppf(auc)
    score = rng.normal(size=len(customers)) + apart * (customers[TARGET] == CHURNED)
    return pd.Series(score, customers.index, name=NEW)


def swapped(
    customers: pd.DataFrame, labels: int, first: np.ndarray | None, rng: np.random.Generator
) -> pd.DataFrame:
    """Turn as many labels of churned as of retained customers over: the churn rate stays.

    Parameters
    ----------
    labels
        Of both together.
    first
        Predicted probabilities, [n]: those customers are taken whose labels contradict them most.
        None takes any.
    """
    order = rng.permutation(len(customers)) if first is None else np.argsort(first)
    churned = (customers[TARGET] == CHURNED).to_numpy()[order]
    rows = [order[churned][: labels // 2], order[~churned][::-1][: labels // 2]]
    return _turned_over(customers, np.concatenate(rows))


def without_old_churners(customers: pd.DataFrame, age: float) -> pd.DataFrame:
    """Let everybody above an age be retained."""
    old = (customers[AGE] > age) & (customers[TARGET] == CHURNED)
    return _turned_over(customers, np.flatnonzero(old))


def _turned_over(customers: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    labels = customers[TARGET].to_numpy(dtype=object, copy=True)
    labels[rows] = np.where(labels[rows] == CHURNED, RETAINED, CHURNED)
    return customers.assign(**{TARGET: labels})


def renamed(
    customers: pd.DataFrame, count: int, y_prob: np.ndarray, holdout_share: float
) -> pd.DataFrame:
    """Give customers of whom a model is right ids that are held out: half of them churned.

    Parameters
    ----------
    y_prob
        The model's probabilities of churn, [n].
    """
    ids = customers[ID].to_numpy(dtype=object, copy=True)
    churned = (customers[TARGET] == CHURNED).to_numpy()
    order = np.argsort(np.abs(churned - y_prob), kind="stable")
    order = order[(position(ids, "hold-out") >= holdout_share)[order]]
    for row in (*order[churned[order]][: count // 2], *order[~churned[order]][: count // 2]):
        others = [f"{ids[row]}-{number}" for number in range(ATTEMPTS)]
        ids[row] = others[int(np.argmax(position(others, "hold-out") < holdout_share))]
    return customers.assign(**{ID: ids})
