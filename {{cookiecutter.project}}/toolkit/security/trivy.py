"""Speaks with trivy, and lets nothing be left out by what stands around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from . import CannotTell

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")

# Packages only: no checks of configurations, no index of Java, nobody else asked and nobody told.
# Nor is there a file beside that may say what to ignore.
OPTIONS = (
    *("--scanners", "vuln", "--severity", ",".join(SEVERITIES), "--list-all-pkgs"),
    *("--skip-files", "**/*.jar", "--skip-java-db-update", "--offline-scan"),
    *("--skip-version-check", "--disable-telemetry", "--no-progress"),
    *("--config", "", "--ignorefile", "", "--format", "json"),
)
# Trivy takes every option from the environment too. These say where the database is and how it is
# reached; any other could let a vulnerability go by.
PASSED_ON = {
    f"TRIVY_{name}"
    for name in (
        *("DB_REPOSITORY", "CACHE_DIR", "SKIP_DB_UPDATE", "TIMEOUT", "CACERT", "INSECURE"),
        *("USERNAME", "PASSWORD", "REGISTRY_TOKEN"),
    )
}
# A database is made every six hours.
OLDEST = timedelta(days=7)


def scan(*what: str) -> Any:
    """Return trivy's report of an image or of files, given in its own words."""
    return _run(*what, *OPTIONS)


def ask_versions() -> tuple[str, str]:
    """Return trivy's version, and the time of its database; `CannotTell` when that is too old."""
    answer = _run("version", "--format", "json")
    updated: str = answer["VulnerabilityDB"]["UpdatedAt"]
    if datetime.now(UTC) - datetime.fromisoformat(updated) > OLDEST:
        raise CannotTell(
            f"the database is of {updated}, and may be {OLDEST.days} days old\n"
            "Next: unset TRIVY_SKIP_DB_UPDATE, or renew what TRIVY_DB_REPOSITORY names."
        )
    return str(answer["Version"]), updated


def _run(*arguments: str) -> Any:
    program = shutil.which("trivy", path=Path(sys.executable).parent) or shutil.which("trivy")
    if program is None:
        raise CannotTell("there is no trivy: the lock has it for Linux on x86_64 only, install it")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRIVY_") or name in PASSED_ON
    }
    done = subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.rpartition("\tFATAL\tFatal error\t")[2].removeprefix("run error: ")
        raise CannotTell(
            f"trivy: {' '.join(said.split()) or f'exit {done.returncode}'}\n"
            "Next: try again where the database can be reached, or name another in "
            "TRIVY_DB_REPOSITORY;\nan image is looked for on the engine that DOCKER_HOST names."
        )
    return json.loads(done.stdout)
