"""How often drift is seen where there is none, and missed where there is: beside the usual rules.

    nox -s benchmark_drift

Tables are drawn from a million of the sample's customers, and one column, what they pay, is shifted
by a part of its standard deviation. The whole data check looks at them, with the policy of a
generated repository; of its contract the number of rows and the share of nulls are not limited, and
of copies as many are allowed as where a contract does not say. A row of the result tells in how
many of the repetitions a table got a failure, or tripped a usual rule in any of its three numeric
columns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from toolkit.data import acceptance, dataset, examination, reference, table
from toolkit.data.contract import MAX_COPIES, Contract
from toolkit.data.examination import Examination

from benchmarks.generated import Generated
from benchmarks.machine import machine

REFERENCE_ROWS = 10_000
MOST_ROWS = 1_000_000
POPULATION = REFERENCE_ROWS + MOST_ROWS
REPETITIONS = 200
SHIFTED_REPETITIONS = 50
LARGE_REPETITIONS = 5
SEED = 20261124
NUMBERS = ("age", "tenure_months", "monthly_spend")
SHIFTED = "monthly_spend"
COPIES = "copies"
# Rules that are not about how a column, or the predictions, are distributed.
OTHER_RULES = {
    *("extremes", "calibration", "ranking", "alone"),
    *("churn rate", "difficulty", "ids", COPIES),
}

Verdicts = dict[str, bool]


class Experiment:
    """The customers, and the contract and policy of a generated repository."""

    def __init__(self, workspace: Path, seed: int) -> None:
        generated = Generated(workspace)
        self.contract, self.policy = unlimited(generated.contract, workspace), generated.policy
        self.customers = generated.customers(POPULATION)
        self.sd = float(self.customers[SHIFTED].std())
        self.seed = seed

    def accept(self, customers: pd.DataFrame) -> None:
        """Make customers the reference."""
        customers.to_parquet(self.contract.data, index=False)
        read = table.read(self.contract)
        made = reference.make(read, dataset.from_table(read, self.contract), self.contract)
        self.contract.reference.write_bytes(reference.to_json(acceptance.first(made)))

    def examine(self, customers: pd.DataFrame) -> Examination:
        """Let the data check look at customers."""
        customers.to_parquet(self.contract.data, index=False)
        return examination.examine(self.contract, self.policy)

    def draw(self, rows: int, shift: float, number: int) -> Verdicts:
        """Draw a reference and a table, and tell which rules call it drift.

        Parameters
        ----------
        rows : int
            Of the table.
        shift : float
            Of one column, in standard deviations.
        number : int
            Of the repetition: whatever else is drawn, it draws the same.
        """
        rng = np.random.default_rng((self.seed, rows, round(100 * shift), number))
        chosen = rng.choice(POPULATION, REFERENCE_ROWS + rows, replace=False)
        before = self.customers.iloc[chosen[:REFERENCE_ROWS]]
        now = self.customers.iloc[chosen[REFERENCE_ROWS:]]
        now = now.assign(**{SHIFTED: now[SHIFTED] + shift * self.sd})
        self.accept(before)
        levels = told(self.examine(now))
        if not shift:
            for name, level in levels.items():
                print(f"{rows:,} rows: {level}: {name}", file=sys.stderr)
        return {
            "this check: fails": "fail" in levels.values(),
            "warns or fails": bool(levels),
            "not by a distribution": bool(levels.keys() & OTHER_RULES),
            **usual_rules(before, now),
        }


def unlimited(contract: Contract, folder: Path) -> Contract:
    """Return a contract of a table in a folder, with as few rows and as many nulls as it may have.

    Of a million customers more are alike by chance than the sample's contract allows of copies.
    """
    columns = tuple(
        replace(column, max_null_rate=1.0) if column.role == "feature" else column
        for column in contract.columns
    )
    data, path = folder / "customers.parquet", folder / "contract.toml"
    return replace(
        contract,
        path=path,
        data=data,
        min_rows=1,
        max_rows=None,
        max_copies=MAX_COPIES,
        columns=columns,
    )


def told(examined: Examination) -> dict[str, str]:
    """Return the level of each rule that warns or fails, by its name."""
    levels = {one.check: "fail" for one in examined.findings}
    assert levels.keys() <= {COPIES}, levels
    # The worse of two levels comes last.
    for one in sorted(examined.drifts, key=lambda one: one.level, reverse=True):
        if one.level in ("fail", "warn"):
            levels[one.aspect] = one.level
    return levels


def usual_rules(before: pd.DataFrame, now: pd.DataFrame) -> Verdicts:
    """Tell what the rules of thumb say of the same two tables."""
    stability, p_values = [], []
    for name in NUMBERS:
        old, new = before[name].dropna().to_numpy(), now[name].dropna().to_numpy()
        stability.append(population_stability_index(old, new))
        p_values.append(float(stats.ks_2samp(old, new, method="asymp").pvalue))
    return {
        "PSI > 0.1": max(stability) > 0.1,
        "PSI > 0.2": max(stability) > 0.2,
        "KS p < 0.05": min(p_values) < 0.05,
    }


def population_stability_index(old: np.ndarray, new: np.ndarray) -> float:
    """Return the PSI over the deciles of the old values, with half a value in an empty bin."""
    edges = np.unique(np.quantile(old, np.arange(0.1, 1, 0.1)))
    bins = len(edges) + 1
    counts = [np.bincount(np.searchsorted(edges, values), minlength=bins) for values in (old, new)]
    expected, found = (np.maximum(count, 0.5) / count.sum() for count in counts)
    return float(((found - expected) * np.log(found / expected)).sum())


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(prog="nox -s benchmark_drift --")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="tables of each row")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    repetitions, began = asked.repetitions, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(Path(folder), asked.seed)
        print(f"\n{machine()}; references of {REFERENCE_ROWS:,} rows, seed {asked.seed}\n")
        header: list[str] = []
        for rows, shift, tables in (
            *((rows, 0.0, repetitions) for rows in (300, 1000, 5000, 50_000)),
            *((MOST_ROWS, shift, min(repetitions, LARGE_REPETITIONS)) for shift in (0.0, 0.02)),
            *((rows, 0.1, min(repetitions, SHIFTED_REPETITIONS)) for rows in (1000, 5000)),
            *((rows, 0.25, min(repetitions, SHIFTED_REPETITIONS)) for rows in (300, 1000, 5000)),
        ):
            verdicts = pd.DataFrame(
                [experiment.draw(rows, shift, number) for number in range(tables)]
            )
            if not header:
                header = ["shift, sd", "rows", "tables", *verdicts.columns]
                print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
            shares = " | ".join(f"{share:.1%}" for share in verdicts.mean())
            print(f"| {shift:g} | {rows:,} | {tables} | {shares} |", flush=True)
    print(f"\n{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
