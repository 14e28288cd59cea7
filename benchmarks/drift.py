"""How often drift is seen where there is none, and missed where there is: beside the usual rules.

    nox -s benchmark_drift

Tables are drawn from a million of the sample's customers, and one column, what they pay, is shifted
by a part of its standard deviation. A row of the result tells in how many of the repetitions a
table got a failure, or tripped a usual rule in any of its three numeric columns.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from toolkit.data import dataset, drift, reference
from toolkit.data.table import Table

from benchmarks.machine import machine
from benchmarks.generated import Generated

POPULATION = 1_000_000
REFERENCE_ROWS = 10_000
REPETITIONS = 200
LARGE_REPETITIONS = 5
SEED = 20261124
NUMBERS = ("age", "tenure_months", "monthly_spend")
SHIFTED = "monthly_spend"

Verdicts = dict[str, bool]


class Experiment:
    """The customers, and the contract and policy of a generated repository."""

    def __init__(self, workspace: Path) -> None:
        generated = Generated(workspace)
        self.contract, self.policy = generated.contract, generated.policy.drift
        self.customers = generated.customers(POPULATION)
        self.sd = float(self.customers[SHIFTED].std())
        self.rng = np.random.default_rng(SEED)

    def as_table(self, frame: pd.DataFrame) -> Table:
        """Return a frame as if it had been read from a file."""
        frame = frame.reset_index(drop=True)
        path = Path("customers.parquet")
        return Table(path, "", tuple(frame.columns), frame, {}, (), None)

    def draw(self, rows: int, shift: float) -> Verdicts:
        """Draw a reference and a table, and tell which rules call it drift.

        Parameters
        ----------
        rows : int
            Of the table.
        shift : float
            Of one column, in standard deviations.
        """
        chosen = self.rng.choice(POPULATION, REFERENCE_ROWS + rows, replace=rows > POPULATION // 2)
        before = self.customers.iloc[chosen[:REFERENCE_ROWS]]
        now = self.customers.iloc[chosen[REFERENCE_ROWS:]]
        now = now.assign(**{SHIFTED: now[SHIFTED] + shift * self.sd})
        accepted_table = self.as_table(before)
        rows_before = dataset.from_table(accepted_table, self.contract)
        accepted = reference.make(accepted_table, rows_before, self.contract)
        profile = reference.measure(self.as_table(now), self.contract, accepted)
        drifts = drift.compare(profile, accepted.profile, self.contract, self.policy)
        levels = {one.level for one in drifts}
        return {
            "this check: fails": "fail" in levels,
            "warns or fails": bool({"warn", "fail"} & levels),
            **usual_rules(before, now),
        }


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
    repetitions = parser.parse_args().repetitions
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(Path(folder))
        print(f"\n{machine()}; references of {REFERENCE_ROWS:,} rows, seed {SEED}\n")
        header: list[str] = []
        for rows, shift, tables in (
            *((rows, 0.0, repetitions) for rows in (300, 1000, 5000, 50_000)),
            *((rows, 0.1, repetitions) for rows in (1000, 5000)),
            *((rows, 0.25, repetitions) for rows in (300, 1000, 5000)),
            (1_000_000, 0.02, min(repetitions, LARGE_REPETITIONS)),
        ):
            verdicts = pd.DataFrame([experiment.draw(rows, shift) for _ in range(tables)])
            if not header:
                header = ["shift, sd", "rows", "tables", *verdicts.columns]
                print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
            shares = " | ".join(f"{share:.1%}" for share in verdicts.mean())
            print(f"| {shift:g} | {rows:,} | {tables} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
