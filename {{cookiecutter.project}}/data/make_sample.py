"""Generates sample.csv: synthetic customers, with a churn that a model can learn.

    python data/make_sample.py

It uses the standard library alone and only arithmetic that IEEE 754 defines exactly (no `exp`, no
`gauss`), so that every Python on every platform writes the same bytes.
"""

import csv
import io
import math
import random
from pathlib import Path

SEED = 20261124
CUSTOMERS = 10_000
HEADER = ("customer_id", "age", "tenure_months", "monthly_spend", "churned")

PLANS_PER_MONTH = (18.0, 32.0, 32.0, 55.0, 55.0, 85.0)
SHARE_OF_NEW_CUSTOMERS = 0.05
SHARE_OF_MISSING_AGES = 0.004
# The slope of the churn probability over the risk score.
STEEPNESS = 6.0
# Label noise: the share of customers who churn or stay for reasons that are not in the table.
LABEL_NOISE = 0.065


def draw_normal(rng: random.Random) -> float:
    """Draw from about a standard normal distribution: a sum of twelve uniforms, less its mean."""
    return math.fsum(rng.random() for _ in range(12)) - 6.0


def sigmoid(score: float) -> float:
    """Return a probability for a score, by a sigmoid that needs no `exp`."""
    return 0.5 + 0.5 * score / math.sqrt(1.0 + score * score)


def draw_age(rng: random.Random) -> int:
    """Draw an age in years: adults, most of them between 30 and 60."""
    return min(95, max(18, round(45.0 + 14.0 * draw_normal(rng))))


def draw_tenure(rng: random.Random) -> int:
    """Draw a tenure in months: many customers are recent, some joined this month."""
    if rng.random() < SHARE_OF_NEW_CUSTOMERS:
        return 0
    return 1 + int(119.0 * rng.random() * rng.random())


def draw_spend(rng: random.Random, tenure_months: int) -> float:
    """Draw a monthly bill: skewed, and higher for a longer tenure."""
    plan = PLANS_PER_MONTH[int(len(PLANS_PER_MONTH) * rng.random())]
    extras = 30.0 * rng.random() * rng.random()
    return round(max(5.0, plan + extras + 0.1 * tenure_months + 3.0 * draw_normal(rng)), 2)


def risk(age: int, tenure_months: int, monthly_spend: float) -> float:
    """Return the risk score: above 0 a customer is more likely to churn than not.

    The risk rises with the bill and falls with tenure and age; customers in their first month have
    no bill yet and seldom churn.
    """
    if tenure_months == 0:
        return -1.2 + 0.01 * (45.0 - age) + 0.01 * (monthly_spend - 50.0)
    habit = tenure_months / (tenure_months + 18.0)
    return 0.045 * (monthly_spend - 52.0) + 0.03 * (45.0 - age) - 5.2 * (habit - 0.26)


def draw_customer(rng: random.Random, number: int) -> tuple[str, str, str, str, str]:
    """Draw one customer as the fields of a line."""
    age = draw_age(rng)
    tenure_months = draw_tenure(rng)
    monthly_spend = draw_spend(rng, tenure_months)
    churned = rng.random() < sigmoid(STEEPNESS * risk(age, tenure_months, monthly_spend))
    if rng.random() < LABEL_NOISE:
        churned = not churned
    age_field = "" if rng.random() < SHARE_OF_MISSING_AGES else str(age)
    return (
        f"C{number:05d}",
        age_field,
        str(tenure_months),
        f"{monthly_spend:.2f}",
        str(int(churned)),
    )


def sample(seed: int = SEED, customers: int = CUSTOMERS) -> str:
    """Return the whole file as text."""
    rng = random.Random(seed)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(draw_customer(rng, number) for number in range(1, customers + 1))
    return text.getvalue()


if __name__ == "__main__":
    Path(__file__).with_name("sample.csv").write_bytes(sample().encode("ascii"))
