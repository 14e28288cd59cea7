"""How fast a snapshot is taken and read: against `pandas.read_sql`, DVC, and the check of a CSV.

    nox -s benchmark_snapshot

A million customers with twenty columns, from Parquet, SQLite and PostgreSQL. Each contender runs in
a process of its own and says its seconds and the most memory that its process has held, less what
the process held before it began. Of DVC, a program by itself in an environment of its own, both are of
the whole program, its start included: `dvc import-url` of Parquet, `dvc import-db` of a database.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from toolkit.data import contract as contracts
from toolkit.data import origin as origins
from toolkit.data import table
from toolkit.data.snapshot import content, pointer, pull, store
from toolkit.data.validation import validate

from benchmarks.data import alone, peak_mib
from benchmarks.machine import machine

ROWS = 1_000_000
NUMBERS, INTEGERS, CATEGORIES = 8, 6, 4
DAY = date(2026, 11, 20)
AGAIN = 3

sys.path.append(str(Path(__file__).parents[1] / "tests"))


@dataclass(frozen=True)
class Timing:
    """Seconds of a whole run, and the process's peak in MiB above what it began with."""

    seconds: float
    peak: float


def columns() -> dict[str, str]:
    """Return the kind of each column that is a feature."""
    kinds = {f"number_{place}": "number" for place in range(NUMBERS)}
    kinds |= {f"integer_{place}": "integer" for place in range(INTEGERS)}
    return kinds | {f"category_{place}": "category" for place in range(CATEGORIES)}


def write_contract(folder: Path) -> None:
    """Write the contract of the table, which is elsewhere."""
    text = 'schema = 1\npackage = "toolkit.tests.example"\nrows = { min = 1, max_copies = 1 }\n'
    text += '[[column]]\nname = "customer"\nrole = "id"\ntype = "text"\n'
    for name, kind in columns().items():
        text += f'[[column]]\nname = "{name}"\nrole = "feature"\ntype = "{kind}"\n'
        text += "max_null_rate = 0.1\n"
        if kind == "category":
            text += 'categories = ["a", "b", "c"]\n'
    text += '[[column]]\nname = "churned"\nrole = "target"\ntype = "category"\n'
    text += 'labels = ["0", "1"]\npositive = "1"\n'
    (folder / "contract.toml").write_text(text, encoding="utf-8")


def customers(rows: int) -> pd.DataFrame:
    """Draw the table; one value in a hundred of a feature is null."""
    rng = np.random.default_rng(20261129)
    frame = {"customer": [f"C{number:07}" for number in rng.permutation(rows)]}
    for name, kind in columns().items():
        if kind == "number":
            values: object = np.where(rng.random(rows) < 0.01, np.nan, rng.lognormal(3, 1, rows))
        elif kind == "integer":
            values = rng.integers(0, 1000, rows)
        else:
            values = rng.choice(["a", "b", "c"], rows)
        frame[name] = values  # type: ignore[assignment]
    frame["churned"] = rng.choice(["0", "1"], rows)
    return pd.DataFrame(frame)


def measured(run: Callable[[], object]) -> Timing:
    """Run once, and measure it."""
    before = peak_mib()
    began = time.perf_counter()
    run()
    return Timing(time.perf_counter() - began, peak_mib() - before)


def taking(folder: Path, kind: str) -> Timing:
    """Measure a pull, its canonical form and digest, and the bytes, as `nox -s snapshot` does."""
    contract = contracts.load(folder / "contract.toml")
    origin = origins.load(folder / f"{kind}.toml")

    def take() -> None:
        canonical = content.canonical(pull.pull(origin, contract, DAY), contract)
        content.digest(canonical)
        store.keep(content.to_parquet(canonical))

    return measured(take)


def read_sql(folder: Path, kind: str) -> Timing:
    """Measure what one would write by hand."""
    if kind == "sqlite":
        connection = sqlite3.connect(folder / "customers.db")
        return measured(lambda: pd.read_sql("select * from customers", connection))
    import psycopg2
    import sqlalchemy

    assert psycopg2
    url = os.environ["CUSTOMERS"].replace("postgresql://", "postgresql+psycopg2://")
    engine = sqlalchemy.create_engine(url)
    return measured(lambda: pd.read_sql("select * from customers", engine))


def dvc_import(folder: Path, kind: str) -> Timing:
    """Measure DVC's import of the table into a folder that it looks after."""
    here = folder / f"dvc-{kind}"
    here.mkdir()

    def dvc(*arguments: str) -> None:
        command = [os.environ["DVC_PYTHON"], "-m", "dvc", *arguments, "--quiet"]
        subprocess.run(command, cwd=here, check=True)

    dvc("init", "--no-scm")
    dvc("config", "core.analytics", "false")
    if kind == "parquet":
        wanted = ["import-url", f"{folder}/customers.parquet"]
    else:
        database = os.environ["CUSTOMERS"].replace("postgresql://", "postgresql+psycopg2://")
        url = f"sqlite:///{folder}/customers.db" if kind == "sqlite" else database
        dvc("config", "db.customers.url", url)
        query = "select * from customers"
        wanted = ["import-db", "--sql", query, "--conn", "customers", "--out", "customers.csv"]
    began = time.perf_counter()
    dvc(*wanted)
    seconds = time.perf_counter() - began
    return Timing(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


def checking(folder: Path, kind: str) -> Timing:
    """Measure reading and validating the table: of the snapshot, or of a CSV."""
    contract = contracts.load(folder / kind / "contract.toml")

    def check() -> None:
        validate(table.read(contract), contract)

    return measured(check)


def write_sources(folder: Path, frame: pd.DataFrame) -> None:
    """Write the table as Parquet, as SQLite and as CSV, with what names each."""
    frame.to_parquet(folder / "customers.parquet", index=False)
    frame.to_csv(folder / "customers.csv", index=False)
    with sqlite3.connect(folder / "customers.db") as connection:
        frame.to_sql("customers", connection, index=False, chunksize=50_000)
    (folder / "customers.sql").write_text("select * from customers")
    for kind, text in (
        ("parquet", f'kind = "files"\nurl = "{folder}/customers.parquet"\n'),
        (
            "sqlite",
            f'kind = "sql"\nurl = "sqlite://{folder}/customers.db"\nquery = "customers.sql"\n',
        ),
        ("postgresql", 'kind = "sql"\nurl_from = "CUSTOMERS"\nquery = "customers.sql"\n'),
    ):
        (folder / f"{kind}.toml").write_text(f"schema = 1\n{text}")


def write_checked(folder: Path, frame: pd.DataFrame) -> None:
    """Write a repository's data folder with the table in git, and one with a snapshot."""
    text = (folder / "contract.toml").read_text(encoding="utf-8")
    for kind, more in (("csv", 'file = "../customers.csv"\n'), ("snapshot", "")):
        (folder / kind).mkdir()
        (folder / kind / "contract.toml").write_text(more + text, encoding="utf-8")
    contract = contracts.load(folder / "snapshot" / "contract.toml")
    origin = origins.load(folder / "parquet.toml")
    canonical = content.canonical(pull.pull(origin, contract, DAY), contract)
    snapshot = content.to_parquet(canonical)
    store.keep(snapshot)
    made = pointer.make(content.digest(canonical), snapshot, len(frame), contract, b"", DAY)
    contract.data.write_bytes(pointer.to_json(made))


def load_postgres(folder: Path, stack: ExitStack) -> bool:
    """Start PostgreSQL with the table in it; return whether there is one."""
    import sources

    try:
        server = stack.enter_context(sources.postgres(folder / "database"))
    except sources.SourceMissing as missing:
        print(missing, file=sys.stderr)
        return False
    kinds = {"number": "double precision", "integer": "integer", "category": "text"}
    listed = ", ".join(f"{name} {kinds[kind]}" for name, kind in columns().items())
    table_of = f"create table customers (customer text, {listed}, churned text)"
    server.run(table_of, f"\\copy customers from {folder}/customers.csv csv header")
    os.environ["CUSTOMERS"] = server.url
    return True


def taken(folder: Path, kinds: list[str]) -> None:
    """Print how long taking the table from each kind of source takes."""
    contenders = ("a snapshot", "pandas.read_sql", "DVC's import")
    named = " | ".join(f"{name}, s | MiB" for name in contenders)
    print(f"| from | {named} | as fast as read_sql | of its memory |")
    print(f"|{' --- |' * 9}")
    for kind in kinds:
        ours = alone(taking, folder, kind)
        theirs = None if kind == "parquet" else alone(read_sql, folder, kind)
        dvc = alone(dvc_import, folder, kind) if "DVC_PYTHON" in os.environ else None
        cells = [kind]
        for one in (ours, theirs, dvc):
            cells += [f"{one.seconds:.1f}", f"{one.peak:,.0f}"] if one else ["", ""]
        if theirs:
            cells += [f"{theirs.seconds / ours.seconds:.1f}", f"{ours.peak / theirs.peak:.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS, help="the number of customers")
    parser.add_argument("--dvc", help="the Python of an environment with DVC; not measured without")
    options = parser.parse_args()
    if options.dvc:
        os.environ["DVC_PYTHON"] = options.dvc
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        os.environ["SNAPSHOT_CACHE"] = str(folder / "cache")
        write_contract(folder)
        frame = customers(options.rows)
        write_sources(folder, frame)
        write_checked(folder, frame)
        del frame
        kinds = ["parquet", "sqlite"] + ["postgresql"] * load_postgres(folder, stack)
        print(f"\n{machine()}; {options.rows:,} customers, {len(columns()) + 2} columns; ", end="")
        print(f"pandas {pd.__version__}, pyarrow {pa.__version__}\n")
        taken(folder, kinds)
        print("\n| reading and validating | s | MiB |\n| --- | --- | --- |")
        for kind in ("csv", "snapshot"):
            found = min(
                (alone(checking, folder, kind) for _ in range(AGAIN)), key=lambda one: one.seconds
            )
            print(f"| {kind} | {found.seconds:.2f} | {found.peak:,.0f} |")


if __name__ == "__main__":
    main()
