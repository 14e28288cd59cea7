"""Runs trivy, and lets no setting of the environment leave anything out."""

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

# Packages only: no checks of configurations, no index of Java, no other service, no telemetry, and
# no file in the repository that could name what to ignore.
OPTIONS = (
    *("--scanners", "vuln", "--severity", ",".join(SEVERITIES), "--list-all-pkgs"),
    *("--skip-files", "**/*.jar", "--skip-java-db-update", "--offline-scan"),
    *("--skip-version-check", "--disable-telemetry", "--no-progress"),
    *("--config", "", "--ignorefile", "", "--format", "json"),
)
# Trivy takes every option from the environment too. These locate the database and its access; any
# other could hide a vulnerability.
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
    """Return trivy's report; the arguments name an image or files as its command line does."""
    return _run(*what, *OPTIONS)


def ask_versions() -> tuple[str, str]:
    """Return trivy's version, and the time of its database; `CannotTell` when that is too old."""
    answer = _run("version", "--format", "json")
    updated: str = answer["VulnerabilityDB"]["UpdatedAt"]
    if datetime.now(UTC) - datetime.fromisoformat(updated) > OLDEST:
        raise CannotTell(
            f"the database is of {updated}, and must not be older than {OLDEST.days} days\n"
            "Next: unset TRIVY_SKIP_DB_UPDATE, or update the repository of TRIVY_DB_REPOSITORY."
        )
    return str(answer["Version"]), updated


def _run(*arguments: str) -> Any:
    program = shutil.which("trivy", path=Path(sys.executable).parent) or shutil.which("trivy")
    if program is None:
        raise CannotTell("trivy is missing: the lock has it for Linux on x86_64 only; install it")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRIVY_") or name in PASSED_ON
    }
    done = subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = done.stderr.rpartition("\tFATAL\tFatal error\t")[2].removeprefix("run error: ")
        raise CannotTell(
            f"trivy: {' '.join(message.split()) or f'exit {done.returncode}'}\n"
            "Next: try again where the database can be reached, or name another in "
            "TRIVY_DB_REPOSITORY;\nan image is looked for on the engine that DOCKER_HOST names."
        )
    return json.loads(done.stdout)
