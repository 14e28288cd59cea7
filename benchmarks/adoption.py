"""How long `nox -s adopt` takes with many rows and with many columns, and what follows after it.

    nox -s benchmark_adoption [-- rows columns]

Each command is run in a fresh repository, in a process of its own, as its session of nox runs it;
the environment is there already. Beside it, in the same run: pandas and scikit-learn's boosting in
a few lines (`plain_boosting.py`), with as many threads as there are cores. Exits with 1 where an
adoption takes longer than `MOST_S`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from pyarrow.parquet import read_metadata

from benchmarks import wide_table
from benchmarks.machine import machine
from benchmarks.public_tables import TABLES, write
from demo.repository import TEMPLATE, bake, free_ports

MOST_S = 60.0
# What an owner runs on the adopted table next.
AFTER = ("data", "features", "gate", "train")
PATIENCE_S = 600
# As the sessions of a repository run.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Run:
    """What a command took: seconds of wall time and of CPU, and the most memory in MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def timed(folder: Path, *command: str, threads: dict[str, str]) -> Run:
    """Run a command in a folder; a failure ends the benchmark."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | threads, stdout=said, stderr=said
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{said.read()}")
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def in_repository(*module: str) -> list[str]:
    """Return the command that runs a module as a session of nox does, from the repository's root."""
    return [sys.executable, "-P", "toolkit/checks/run.py", *module]


def start_of_server(folder: Path) -> float:
    """Return the seconds until the server of the trained model has answered its first customer."""
    bundle = folder / "reports" / "model"
    case = json.loads((bundle / "smoke.json").read_bytes())["cases"][0]
    port = str(free_ports(1)[0])
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict",
        json.dumps(case["request"]).encode(),
        {"Content-Type": "application/json"},
    )
    began = time.perf_counter()
    arguments = ("toolkit.serving", "--bundle", str(bundle), "--port", port)
    server = subprocess.Popen(in_repository(*arguments), cwd=folder)
    try:
        while True:
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                    answer = json.load(response)
                break
            except URLError as error:
                if server.poll() is not None or time.perf_counter() - began > PATIENCE_S:
                    sys.exit(f"the server gave no answer: {error}")
                time.sleep(0.02)
        seconds = time.perf_counter() - began
    finally:
        server.terminate()
        server.wait()
    if answer != case["response"]:
        sys.exit(f"the server answers {answer}, the training said {case['response']}")
    return seconds


def rows_table(workspace: Path) -> tuple[str, tuple[str, ...]]:
    """Write the table with many rows, and return it in words, and the arguments of its adoption."""
    [flights] = [one for one in TABLES if one.item == "flights"]
    path = write(flights, workspace)
    return f"{read_metadata(path).num_rows:,} rows, Parquet", (str(path), *flights.arguments)


def columns_table(workspace: Path) -> tuple[str, tuple[str, ...]]:
    """Write the table with many columns, and return the same of it."""
    path = workspace / "many_columns.csv"
    wide_table.write_many(path)
    words = f"{wide_table.MANY_COLUMNS:,} columns, {wide_table.MANY_CUSTOMERS:,} rows, CSV"
    return words, (str(path), "--target", wide_table.TARGET, "--id", wide_table.ID)


KINDS: dict[str, Callable[[Path], tuple[str, tuple[str, ...]]]] = {
    "rows": rows_table,
    "columns": columns_table,
}


def measure(words: str, folder: Path, adopt: tuple[str, ...]) -> bool:
    """Print a row a command, and return whether the adoption took longer than it may."""
    options = dict(zip(adopt[1::2], adopt[2::2], strict=True))
    plain = (sys.executable, "-m", "benchmarks.plain_boosting", adopt[0])
    baseline = timed(TEMPLATE, *plain, options["--target"], options["--id"], threads={})

    def show(what: str, run: Run) -> Run:
        print(
            f"| {words} | {what} | {run.wall_s:.1f} | {run.wall_s / baseline.wall_s:.2f} "
            f"| {run.cpu_s:.1f} | {run.peak_mib:,.0f} |",
            flush=True,
        )
        return run

    def run(*command: str) -> Run:
        return timed(folder, *in_repository("toolkit", *command), threads=ONE_THREAD)

    show("pandas and boosting", baseline)
    adopted = show("`nox -s adopt`", run("adopt", *adopt))
    for command in AFTER:
        show(f"`nox -s {command}`", run(command))
    seconds = start_of_server(folder)
    print(f"| {words} | start of the server | {seconds:.1f} | | | |", flush=True)
    return adopted.wall_s > MOST_S


def main(arguments: list[str]) -> int:
    """Print the table as Markdown; 1 where an adoption takes too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help=f"{' or '.join(KINDS)}; both unless given")
    chosen = parser.parse_args(arguments).tables or [*KINDS]
    if unknown := set(chosen) - KINDS.keys():
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    print(f"{machine()}\n\n| table | command | wall time, s | ratio | CPU, s | peak memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    slow = False
    for kind in chosen:
        with tempfile.TemporaryDirectory() as workspace:
            words, adopt = KINDS[kind](Path(workspace))
            slow |= measure(words, bake(Path(workspace)), adopt)
    return int(slow)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
