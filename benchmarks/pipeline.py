"""How long a developer waits: generating, checking, training, rolling back, the demo, on this machine.

    nox -s benchmark [-- --tests]

Every figure is the median of whole commands, as a user would type them. "From nothing" means a fresh
clone without any environment or cache of a tool, with a download cache that an earlier run has filled.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.machine import machine
from demo.changes import learn_more_slowly
from demo.client import Customers
from demo.repository import FOREIGN, TEMPLATE, Repository

ROLLBACKS = 20
# Seconds on a machine of this kind at commit 85ba6ce, the last one whose generated repository held
# the toolkit's code and tests as its owner's.
BEFORE = {
    "generate a repository": 0.77,
    "nox --list": 0.13,
    "invoke --list": 0.24,
    "nox, from nothing": 190.6,
    "nox, environments ready": 155.1,
    "nox -s gate": 2.73,
    "nox -s train": 3.23,
    "invoke rollback": 2.60,
    "the demo": 327,
    "the template's lint and tests": 27 * 60,
}


def leave() -> None:
    """Prepare nothing: keep what the run before has made."""


def median_seconds(
    action: Callable[[], object], runs: int = 1, prepare: Callable[[], object] = leave
) -> float:
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
    print(f"| {what} | {seconds:.2f} s | {BEFORE[what]:.2f} s | {note} |", flush=True)


def of_the_template(*command: str) -> Callable[[], None]:
    """Return an action that runs a command in the template's folder and insists on its success."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}

    def run() -> None:
        done = subprocess.run(
            command, cwd=TEMPLATE, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")

    return run


def generate() -> None:
    """Bake the template as a user does, with a command of its own."""
    with tempfile.TemporaryDirectory() as folder:
        options = ("--no-input", "--default-config", "--output-dir", folder)
        of_the_template(sys.executable, "-m", "cookiecutter", str(TEMPLATE), *options)()


def ok(repository: Repository, *command: str) -> Callable[[], None]:
    """Return an action that runs nox or invoke in a repository and insists on its success."""
    program, *arguments = command

    def run() -> None:
        done = repository.capture(str(repository.programs / program), *arguments)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")

    return run


def checks(repository: Repository) -> None:
    """Time what a pull request must pass, from nothing and again."""
    nox = ok(repository, "nox")

    def clean() -> None:
        repository.git("clean", "--quiet", "-xd", "--force", "--exclude", ".venv")

    nox()
    row("nox, from nothing", median_seconds(nox, prepare=clean), "uv, warm download cache")
    row("nox, environments ready", median_seconds(nox, 3))


def trainings(repository: Repository) -> None:
    """Time the two trainings alone, in environments that are there."""
    for session, note in (("gate", "quick training and gate"), ("train", "full training and gate")):
        row(f"nox -s {session}", median_seconds(ok(repository, "nox", "-s", session), 3), note)


def rollbacks(repository: Repository) -> None:
    """Time `invoke rollback` until it is verified, with customers asking all the while."""
    versions = []
    for _ in range(2):
        repository.ask("champion", "--env", "prod")
        ok(repository, "nox", "-s", "train")()
        versions.append(repository.ask("build", "--push")["record"]["version"])
        if len(versions) == 1:
            learn_more_slowly(repository)
    promote = ("invoke", "promote", "--env", "staging", "--yes", "--version")
    rollback = ok(repository, "invoke", "rollback", "--env", "staging", "--version", versions[0])
    unhold = ok(repository, "invoke", "unhold", "--env", "staging")
    again = ok(repository, *promote, versions[1])

    def prepare() -> None:
        unhold()
        again()

    ok(repository, *promote, versions[0])()
    customer = {"age": 40, "tenure_months": 12, "monthly_spend": 60.0}
    with Customers(repository.address("staging"), customer) as customers:
        seconds = median_seconds(rollback, ROLLBACKS, prepare)
    failed = f"{len(customers.failures)} of {customers.total:,} requests failed meanwhile"
    row("invoke rollback", seconds, f"from the command to verified, {ROLLBACKS} times; {failed}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(prog="nox -s benchmark --")
    parser.add_argument(
        "--tests", action="store_true", help="time the README's second command as well, ten minutes"
    )
    asked = parser.parse_args(arguments)
    workspace = Path(tempfile.mkdtemp(prefix="churn-benchmark-"))
    repository = Repository.generate(workspace / "kept")
    repository.release_unscanned()
    repository.begin(workspace / "remote.git")
    print(f"\n{machine()}\n")
    print("| what | median | before the toolkit | note |\n| --- | --- | --- | --- |")
    try:
        row("generate a repository", median_seconds(generate, 5))
        repository.install_tools()
        for program in ("nox", "invoke"):
            row(f"{program} --list", median_seconds(ok(repository, program, "--list"), 5))
        checks(repository)
        trainings(repository)
        rollbacks(repository)
    finally:
        repository.stop()
        shutil.rmtree(workspace, ignore_errors=True)
    row("the demo", median_seconds(of_the_template(sys.executable, "-m", "demo")))
    if asked.tests:
        nox = str(Path(sys.executable).with_name("nox"))
        tests = of_the_template(nox, "--session", "lint", "tests")
        row("the template's lint and tests", median_seconds(tests))


if __name__ == "__main__":
    main()
