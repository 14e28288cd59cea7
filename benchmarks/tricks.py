"""How often the checks see that a table, a policy or the code was tampered with, and at which size.

    nox -s benchmark_tricks

With each seed 10,000 of the sample's customers are drawn and accepted as the reference, and as many
others, who are a later table. One of the two is tampered with, and the data check of a generated
repository fails, warns or is silent. Of the first seeds a model is trained on each table, too: how
much better does the trick make it look? Edited limits and impure code are tried once.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import tricks_on_files, tricks_on_tables
from benchmarks.attempt import VERDICTS, Attempt
from benchmarks.generated import Generated
from benchmarks.machine import machine

ROWS = 10_000
SEEDS = 10
TRAINED_SEEDS = 3
SEED = 20261129


def attempts(generated: Generated, workspace: Path, seed: int, seeds: int) -> list[Attempt]:
    """Try every trick; the more seeds, the more often."""
    checks = tricks_on_tables.Checks(generated, workspace)
    customers = generated.customers(2 * ROWS * seeds, seed)
    found: list[Attempt] = []
    for number in range(seeds):
        rng = np.random.default_rng((seed, number))
        first = 2 * ROWS * number
        same, later = (
            customers.iloc[start : start + ROWS].reset_index(drop=True)
            for start in (first, first + ROWS)
        )
        trained = number < TRAINED_SEEDS
        found += tricks_on_tables.on_tables(checks, same, later, rng, trained)
        found += tricks_on_tables.on_references(checks, same, rng)
    found += tricks_on_files.on_limits(generated)
    found += tricks_on_files.on_code(generated)
    return found


def print_table(found: list[Attempt]) -> None:
    """Print the share of each verdict by trick and size, in the order of the tricks."""
    print(f"| trick | size | tried | {' | '.join(VERDICTS)} | ROC AUC of the holdout |")
    print(f"|{' --- |' * (len(VERDICTS) + 4)}")
    for (trick, size), rows in pd.DataFrame(found).groupby(["trick", "size"], sort=False):
        shares = " | ".join(f"{(rows.verdict == one).mean():.0%}" for one in VERDICTS)
        gain = rows.gain.mean()
        shown = "" if math.isnan(gain) else f"{gain:+.3f}"
        print(f"| {trick} | {size} | {len(rows)} | {shares} | {shown} |")


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(prog="nox -s benchmark_tricks --")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how often a table is drawn")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        found = attempts(Generated(workspace), workspace, asked.seed, asked.seeds)
    print(f"\n{machine()}; tables of {ROWS:,} rows, seed {asked.seed}\n")
    print_table(found)
    print(f"\n{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
