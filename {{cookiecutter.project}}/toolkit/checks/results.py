"""Runs pytest, and turns its results into a session's report."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import nox

from . import reports
from . import run as runner

# The threads of linear algebra wait for one another by spinning, and several tests run at a time.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run(session: nox.Session, programs: Path, arguments: Sequence[str]) -> None:
    """Run pytest with these arguments, and leave the session's report, whatever comes of it."""
    reports.REPORTS.mkdir(exist_ok=True)
    results = reports.REPORTS / f"{session.name}.xml"
    results.unlink(missing_ok=True)
    try:
        pytest = runner.module("pytest", f"--junitxml={results.absolute()}", *arguments)
        session.run(str(programs / "python"), *pytest, external=True, env=ONE_THREAD)
    finally:
        _report(session.name, results)


def _report(name: str, results: Path) -> None:
    """Turn pytest's results into the session's reports; without results the tests have failed."""
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    failures = []
    if results.exists():
        suite = ElementTree.parse(results).getroot().find("testsuite")
        assert suite is not None, "pytest writes one suite"
        counts = {count: int(suite.get(count, 0)) for count in counts}
        for case in suite.iter("testcase"):
            for fault in (*case.findall("failure"), *case.findall("error")):
                test = f"{case.get('classname')}.{case.get('name')}"
                failures.append({"test": test, "message": fault.get("message", "")})
    passed = counts["tests"] > 0 and not failures
    document = {
        "schema": 1,
        "verdict": "passed" if passed else "failed",
        **counts,
        "failed_tests": failures,
    }
    page = reports.table(counts, [list(counts.values())])
    if failures:
        rows = [[fault["test"], fault["message"]] for fault in failures]
        page += "\n" + reports.table(("test", "message"), rows)
    reports.write(name, document, page)
