"""A small table of customers with a contract and a policy.

The toolkit's tests bring their own data, because that of the repository is its owner's.
"""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from toolkit.data import contract as contracts
from toolkit.data import table
from toolkit.data.contract import Contract
from toolkit.data.table import Table

CONTRACT = """\
schema = 1
file = "customers.csv"
package = "toolkit.tests.example"
rows = { min = 50, max = 5000 }

[[column]]
name = "name"
role = "id"
type = "text"

[[column]]
name = "age"
role = "feature"
type = "integer"
min = 18
max = 99

[[column]]
name = "tenure_months"
role = "feature"
type = "integer"
min = 0
max_null_rate = 0

[[column]]
name = "monthly_spend"
role = "feature"
type = "number"
min = 0
max = 500

[[column]]
name = "plan type"
role = "feature"
type = "category"
categories = ["basic", "full"]

[[column]]
name = "left"
role = "target"
type = "category"
labels = ["no", "yes"]
positive = "yes"
"""

QUALITY = """\
schema = 2

[training]
estimator = "boosting"
seed = 1
quick_rows = 300
folds = 3
holdout_share = 0.25

[drift]
significance = 0.01
min_rows = 300
numbers = { warn = 0.1, fail = 0.15, reason = "numbers move" }
categories = { warn = 0.05, fail = 0.1, reason = "categories move" }
come_and_gone = { warn = 0.0, fail = 0.02, reason = "categories come and go" }
nulls = { warn = 0.005, fail = 0.02, reason = "nulls come and go" }
target = { warn = 0.02, fail = 0.05, reason = "more churn" }
predictions = { warn = 0.1, fail = 0.15, reason = "it adds up" }

[slices]
min_rows = 20
min_of_each = 5
bands = 2
significance = 0.05

[[slices.rule]]
metric = "roc_auc"
max_below = 0.25
reason = "no group is left out"

[[slices.rule]]
metric = "roc_auc"
max_loss = 0.05
reason = "no group pays for it"

[champion]
significance = 0.02
max_age_days = 1.0
min_rows_share = 0.8
max_refused = 0.05
other_features = "warn"

[[champion.rule]]
metric = "roc_auc"
max_loss = 0.005
reason = "no worse than what serves"

[fairness]
columns = []
min_rows = 20
significance = 0.05

[[fairness.rule]]
metric = "recall"
max_gap = 0.2
reason = "each group is found alike"

[nightly]
days_ago = 7
significance = 0.05

[metrics.missed_cost]
cost_eur = 100

[[rule]]
metric = "roc_auc"
min = 0.7
reason = "the order matters"

[[rule]]
metric = "brier"
max = 0.2
reason = "the probability matters"

[[rule]]
metric = "missed_cost"
max = 30
reason = "a missed churner is a lost customer"

[[rule]]
metric = "latency_ms"
max = 1000
reason = "nobody waits"
"""

CARD = """\
schema = 1
name = "leavers"
description = "Predicts churn."
owner = "Ada"
contact = "ada@example.com"
license = "mit"
intended_use = "Calling people."
out_of_scope = "Punishing people."
limits = "It is small."
ethics = "Nobody is protected."
"""

HEADER = ["name", "age", "tenure_months", "monthly_spend", "plan type", "left"]

Row = dict[str, str]


def make(count: int = 400) -> list[Row]:
    """Return customers who churn rather when they are new and pay much; some have no age."""
    rng = random.Random(7)
    rows = []
    for number in range(count):
        tenure, spend = rng.randrange(60), rng.randrange(2000) / 10
        leaves = (spend / 200 - tenure / 60 > 0) != (rng.random() < 0.1)
        values = (
            f"customer {number}",
            "" if number % 200 == 5 else str(rng.randrange(18, 90)),
            str(tenure),
            str(spend),
            rng.choice(["basic", "full"]),
            "yes" if leaves else "no",
        )
        rows.append(dict(zip(HEADER, values, strict=True)))
    return rows


def write(folder: Path, rows: list[Row], header: list[str] | None = None) -> Path:
    """Write the table, its contract and its policy, and return the contract's path."""
    with (folder / "customers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header or HEADER, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    (folder / "quality.toml").write_text(QUALITY, encoding="utf-8")
    (folder / "model_card.toml").write_text(CARD, encoding="utf-8")
    contract = folder / "contract.toml"
    contract.write_text(CONTRACT, encoding="utf-8")
    return contract


def read(folder: Path, rows: list[Row]) -> tuple[Contract, Table]:
    """Write a table with its contract, and read both."""
    contract = contracts.load(write(folder, rows))
    return contract, table.read(contract)


def keys_of_numbers(value: object, name: str = "", key: str = "") -> Iterator[str]:
    """Yield the key of each number of a document, without its place in a list.

    Parameters
    ----------
    name
        Stands behind the key of a list, for what tells its tables apart.
    """
    if isinstance(value, dict):
        for inner, one in value.items():
            yield from keys_of_numbers(one, name, f"{key}.{inner}".lstrip("."))
    elif isinstance(value, list):
        for one in value:
            yield from keys_of_numbers(one, name, key + name)
    elif isinstance(value, int | float):
        yield key
