"""How fast the data check is: against plain pandas assertions and Great Expectations, same rules.

    nox -s benchmark_data

A million customers with five columns. Each contender runs in a process of its own and says its
median of several checks, and the most memory that its process has held. What it costs to read the
file is told apart from what it costs to check the table.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from toolkit.data import drift
from toolkit.data import reference as references
from toolkit.data import table as tables
from toolkit.data.contract import Contract
from toolkit.data.validation import validate

from benchmarks.machine import machine
from benchmarks.generated import Generated

ROWS = 1_000_000
MANY = 10  # times as many, for the table that must fit into memory
RUNS = 7
TEXTS = {"customer_id": "str", "churned": "str"}
COLUMNS = ["customer_id", "age", "tenure_months", "monthly_spend", "churned"]

Check = Callable[[], object]
Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Timing:
    """Seconds to read the table, the median to check it, and the process's peak in MiB."""

    read: float
    check: float
    peak: float


def timed(read: Callable[[], Any], prepare: Callable[[Any], Check]) -> Timing:
    """Read once, check a few times; the first check, which loads what is loaded late, is left out."""
    began = time.perf_counter()
    table = read()
    reading = time.perf_counter() - began
    check = prepare(table)
    check()
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        check()
        times.append(time.perf_counter() - began)
    return Timing(reading, statistics.median(times), peak_mib())


def peak_mib() -> float:
    """Return the most memory that this process has held (getrusage would tell its parent's)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [kib] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kib) / 1024


def plain_assertions(workspace: Path, file: str) -> Timing:
    """Measure what somebody would write by hand: it says no more than that something is wrong."""

    def prepare(table: pd.DataFrame) -> Check:
        def check() -> None:
            assert list(table.columns) == COLUMNS
            assert 5000 <= len(table) <= 100 * ROWS
            assert table["customer_id"].notna().all()
            assert table["customer_id"].is_unique
            assert table["age"].isna().mean() <= 0.01
            assert (table["age"].dropna() % 1 == 0).all()
            assert table["age"].dropna().between(18, 120).all()
            assert table["tenure_months"].notna().all()
            assert (table["tenure_months"] % 1 == 0).all()
            assert table["tenure_months"].between(0, 600).all()
            assert table["monthly_spend"].isna().mean() <= 0.01
            assert table["monthly_spend"].dropna().between(0, 1000).all()
            assert table["churned"].isin(["0", "1"]).all()

        return check

    return timed(lambda: pd.read_csv(workspace / file, dtype=TEXTS), prepare)


def great_expectations(workspace: Path, file: str) -> Timing:
    """Measure Great Expectations; it is spared the rule that ages are whole numbers."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    logging.disable(logging.WARNING)
    expect = gx.expectations
    rules = [
        expect.ExpectTableColumnsToMatchOrderedList(column_list=COLUMNS),
        expect.ExpectTableRowCountToBeBetween(min_value=5000, max_value=100 * ROWS),
        expect.ExpectColumnValuesToNotBeNull(column="customer_id"),
        expect.ExpectColumnValuesToBeUnique(column="customer_id"),
        expect.ExpectColumnValuesToNotBeNull(column="age", mostly=0.99),
        expect.ExpectColumnValuesToBeBetween(column="age", min_value=18, max_value=120),
        expect.ExpectColumnValuesToNotBeNull(column="tenure_months"),
        expect.ExpectColumnValuesToBeBetween(column="tenure_months", min_value=0, max_value=600),
        expect.ExpectColumnValuesToNotBeNull(column="monthly_spend", mostly=0.99),
        expect.ExpectColumnValuesToBeBetween(column="monthly_spend", min_value=0, max_value=1000),
        expect.ExpectColumnValuesToNotBeNull(column="churned"),
        expect.ExpectColumnValuesToBeInSet(column="churned", value_set=["0", "1"]),
    ]

    def prepare(table: pd.DataFrame) -> Check:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("customers")
        definition = asset.add_batch_definition_whole_dataframe("all")
        suite = context.suites.add(gx.ExpectationSuite(name="contract", expectations=rules))

        def check() -> None:
            batch = definition.get_batch(batch_parameters={"dataframe": table})
            assert batch.validate(suite).success

        return check

    return timed(lambda: pd.read_csv(workspace / file, dtype=TEXTS), prepare)


def contract_rules(workspace: Path, file: str) -> Timing:
    """Measure the contract's rules as a generated repository checks them."""
    contract = under_contract(Generated(workspace), file)

    def prepare(table: tables.Table) -> Check:
        def check() -> None:
            assert validate(table, contract) == []

        return check

    return timed(lambda: tables.read(contract), prepare)


def rules_and_drift(workspace: Path, file: str) -> Timing:
    """Measure the contract's rules and the comparison with the reference."""
    generated = Generated(workspace)
    contract, policy = under_contract(generated, file), generated.policy.drift
    accepted = references.load(contract)

    def prepare(table: tables.Table) -> Check:
        def check() -> None:
            assert validate(table, contract) == []
            profile = references.measure(table, contract, accepted)
            found = drift.compare(profile, accepted.profile, contract, policy)
            assert {one.level for one in found} == {"ok"}

        return check

    return timed(lambda: tables.read(contract), prepare)


def under_contract(generated: Generated, file: str) -> Contract:
    """Return the repository's contract for a larger file, where many customers are alike by chance."""
    data = generated.folder.parent / file
    return replace(generated.contract, data=data, max_rows=100 * ROWS, max_copies=1.0)


def alone(measure: Callable[[Path, str], Measured], workspace: Path, file: str) -> Measured:
    """Measure in a process of its own, so that the memory is its own too."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
        return process.submit(measure, workspace, file).result()


def write_tables(workspace: Path) -> None:
    """Write a million customers as CSV and Parquet, and ten million as Parquet."""
    customers = Generated(workspace).customers(ROWS)
    customers.to_csv(workspace / "million.csv", index=False)
    customers.to_parquet(workspace / "million.parquet", index=False)
    parts = [
        customers.assign(customer_id=f"{part}-" + customers["customer_id"]) for part in range(MANY)
    ]
    pd.concat(parts, ignore_index=True).to_parquet(workspace / "many.parquet", index=False)


def main() -> None:
    """Print the tables as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        write_tables(workspace)
        contenders = {
            "plain pandas assertions": plain_assertions,
            "the contract's rules": contract_rules,
            "the contract's rules, and drift": rules_and_drift,
            "Great Expectations": great_expectations,
        }
        timings = {
            name: alone(measure, workspace, "million.csv") for name, measure in contenders.items()
        }
        plain, great = timings["plain pandas assertions"], timings["Great Expectations"]
        print(f"\n{machine()}; {ROWS:,} customers, 5 columns, CSV\n")
        print("| what | checking, s | of plain | of Great Expectations | reading, s | peak, MiB |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, timing in timings.items():
            print(
                f"| {name} | {timing.check:.3f} | {timing.check / plain.check:.2f} "
                f"| {timing.check / great.check:.2f} | {timing.read:.2f} | {timing.peak:,.0f} |"
            )
        print("\n| all of it from Parquet | reading, s | checking, s | peak, MiB |")
        print("| --- | --- | --- | --- |")
        for file, rows in (("million.parquet", ROWS), ("many.parquet", MANY * ROWS)):
            timing = alone(rules_and_drift, workspace, file)
            print(
                f"| {rows:,} rows | {timing.read:.2f} | {timing.check:.2f} | {timing.peak:,.0f} |"
            )


if __name__ == "__main__":
    main()
