"""Runs tools that print one finding a line, and turns what they print into a session's report."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import nox
from nox.command import CommandFailed

from . import reports

# What tools print is read, also where somebody has asked for colours: nox takes only one of these.
PLAIN: Mapping[str, str | None] = {"NO_COLOR": "1", "FORCE_COLOR": None}

# src/a.py:3:1: F401 'os' imported but unused
# src/a.py:3:1: unformatted: File would be reformatted
LINT = re.compile(r"(?:\./)?(?P<path>.+?):(?P<line>\d+):\d+: (?P<code>\w+):? (?P<message>.*)")
# src/a.py:3: error: Missing return statement  [return]
MYPY = re.compile(
    r"(?P<path>.+?):(?P<line>\d+): error: (?P<message>.*?)(?:  \[(?P<code>[a-z-]+)\])?"
)
# src/a.py:3: GitHub Token: in the file as it is now
FINDING = re.compile(r"(?P<path>.+?):(?P<line>\d+): (?P<code>[^:]+): (?P<message>.*)")
# .github/workflows/main.yml:3:1: property "x" is not defined [expression]
ACTIONLINT = re.compile(r"(?P<path>.+?):(?P<line>\d+):\d+: (?P<message>.*) \[(?P<code>[\w-]+)\]")
# ::error file=.github/workflows/main.yml,line=3,title=artipacked::main.yml:3: credentials persist
ZIZMOR = re.compile(
    r"::\w+ file=(?P<path>[^,]+),line=(?P<line>\d+),title=(?P<code>[^:]+)::(?P<message>.*)"
)

Pattern = re.Pattern[str]
Tools = Mapping[tuple[str, ...], Pattern]


def run(session: nox.Session, programs: Path, tools: Tools) -> None:
    """Run tools, report every finding of all of them, and fail if one has failed.

    Parameters
    ----------
    programs
        The folder that the tools are installed in.
    tools
        Command lines, each with what one line about a finding looks like.
    """
    findings: list[dict[str, Any]] = []
    remarks: list[str] = []
    failed = []
    # Most of them take longer to start than to check.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outputs = list(pool.map(partial(_output, session, programs), tools))
    for (command, finding), (lines, has_passed) in zip(tools.items(), outputs, strict=True):
        name = command[0]
        if not has_passed:
            failed.append(command[3] if name == "python" else name)
        print(*lines, sep="\n", flush=True)
        for line in lines:
            if match := finding.fullmatch(line):
                findings.append(match.groupdict())
            else:
                remarks.append(line)
    for found in findings:
        found["line"] = int(found["line"])
    document = {
        "schema": 1,
        "verdict": "failed" if failed else "passed",
        "findings": findings,
        "remarks": remarks,
    }
    header = ("path", "line", "code", "message")
    rows = [[found[name] or "" for name in header] for found in findings]
    nothing = "It failed without a finding.\n" if failed else "No finding.\n"
    page = reports.table(header, rows) if rows else nothing
    page += "\n".join(["\n```text", *remarks, "```\n"])
    reports.write(session.name, document, page)
    if failed:
        session.error(f"{' and '.join(failed)} failed: {len(findings)} findings, see above")


def _output(
    session: nox.Session, programs: Path, command: tuple[str, ...]
) -> tuple[list[str], bool]:
    """Run a tool; return the lines that it printed, and whether it has passed."""
    name, *arguments = command
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        try:
            session.run(
                *(str(programs / name), *arguments),
                external=True,
                env=PLAIN,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            has_passed = True
        except CommandFailed:
            has_passed = False
        output.seek(0)
        return output.read().splitlines(), has_passed
