"""How long a developer waits: generating, checking, and rolling back, on this machine.

    nox -s benchmark

Every figure is the median of several runs of whole commands, as a user would type them. "From
nothing" means without any virtual environment, with a download cache that an earlier run has
filled.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import machine
from demo.changes import learn_more_slowly
from demo.client import Customers
from demo.repository import TEMPLATE, Repository

ROLLBACKS = 20


def median_seconds(action: Callable[[], object], runs: int, prepare: Callable[[], object]) -> float:
    """Time an action several times, each after a preparation that is not counted."""
    times = []
    for _ in range(runs):
        prepare()
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def row(what: str, seconds: float, note: str = "") -> None:
    """Print one line of the table as soon as it is known."""
    print(f"| {what} | {seconds:.2f} s | {note} |", flush=True)


def leave() -> None:
    """Prepare nothing: keep what the run before has made."""


def generate() -> None:
    """Bake the template as a user does, with a command of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input"]
        options = ["--default-config", "--output-dir", folder]
        subprocess.run([*command, *options], check=True, capture_output=True)


def ok(repository: Repository, door: str, *arguments: str) -> Callable[[], None]:
    """Return an action that runs a door and insists on its success."""

    def run() -> None:
        done = repository.capture(str(repository.programs / door), *arguments)
        if done.returncode:
            sys.exit(f"{door} {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")

    return run


def checks(repository: Repository) -> None:
    """Time the checks with uv, and with virtualenv and pip."""
    environments = repository.folder / ".nox"

    def remove() -> None:
        shutil.rmtree(environments, ignore_errors=True)

    seconds = {}
    for backend in ("uv", "virtualenv"):
        check = ok(repository, "nox", "--default-venv-backend", backend)
        check()
        seconds[backend, "from nothing"] = median_seconds(check, 1, remove)
        seconds[backend, "again"] = median_seconds(check, 1, leave)
        for when in ("from nothing", "again"):
            ratio = seconds[backend, when] / seconds["uv", when]
            row(
                f"all checks, {when}, {backend}",
                seconds[backend, when],
                f"{ratio:.1f} times uv",
            )
    remove()


def trainings(repository: Repository) -> None:
    """Time the two trainings alone, in environments that are there."""
    for session, what in (("gate", "quick training and gate"), ("train", "full training and gate")):
        train = ok(repository, "nox", "-s", session)
        train()
        row(f"nox -s {session}: {what}", median_seconds(train, 3, leave))


def rollbacks(repository: Repository) -> None:
    """Time `invoke rollback` until it is verified, with customers asking all the while."""
    versions = []
    for _ in range(2):
        repository.ask("champion", "--env", "prod")
        ok(repository, "nox", "-s", "train")()
        versions.append(repository.ask("build")["record"]["version"])
        if len(versions) == 1:
            learn_more_slowly(repository)
    promote = ["promote", "--env", "staging", "--yes", "--version"]
    rollback = ok(repository, "invoke", "rollback", "--env", "staging", "--version", versions[0])
    unhold = ok(repository, "invoke", "unhold", "--env", "staging")
    again = ok(repository, "invoke", *promote, versions[1])

    def prepare() -> None:
        unhold()
        again()

    ok(repository, "invoke", *promote, versions[0])()
    customer = {"age": 40, "tenure_months": 12, "monthly_spend": 60.0}
    with Customers(repository.address("staging"), customer) as customers:
        seconds = median_seconds(rollback, ROLLBACKS, prepare)
    row(
        "invoke rollback, from the command to verified",
        seconds,
        f"{len(customers.failures)} of {customers.total} requests failed meanwhile",
    )


def main() -> None:
    """Print the table as Markdown."""
    workspace = Path(tempfile.mkdtemp(prefix="churn-benchmark-"))
    repository = Repository.generate(workspace / "kept")
    repository.begin(workspace / "remote.git")
    print(f"\n{machine()}\n")
    print("| what | median | note |\n| --- | --- | --- |")
    try:
        row("generate a repository", median_seconds(generate, 5, leave))
        repository.install_tools()
        for door in ("nox", "invoke"):
            row(f"{door} --list", median_seconds(ok(repository, door, "--list"), 5, leave))
        checks(repository)
        trainings(repository)
        rollbacks(repository)
    finally:
        repository.stop()
        shutil.rmtree(workspace, ignore_errors=True)


if __name__ == "__main__":
    main()
