"""Checks every locked package for known vulnerabilities, with pip-audit.

`python -m toolkit.security.audit` asks the service that pip-audit is set to: PyPI, or the one that
PIP_AUDIT_VULNERABILITY_SERVICE and PIP_AUDIT_OSV_URL name. It passes only when the service has
answered for every package of every lock: behind a mirror pip-audit alone would skip them all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import CannotTell
from .waivers import WAIVERS, Waiver, parse, report

LOCKS = "requirements/*.txt"
PRODUCTION = "serving.txt"

# numpy==2.5.1 ; python_full_version < '3.12' \
PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")


# An advisory's summary is one sentence, or a page.
SHOWN = 160

FIX = "nox -s lock -- --upgrade-package NAME takes a fixed version"

PIP_AUDIT = (
    *(sys.executable, "-m", "pip_audit", "--strict", "--require-hashes", "--disable-pip"),
    *("--format", "json", "--aliases", "on", "--desc", "on", "--progress-spinner", "off"),
)


@dataclass(frozen=True)
class Package:
    """One version of a package, as locked.

    Parameters
    ----------
    name, version : str
    hashes : tuple of str
    places : tuple of str
        The file and line of each lock that names it, the lock of production first.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Vulnerability:
    """One known vulnerability of one version of a package.

    Parameters
    ----------
    package : Package
    names : tuple of str
        The advisory's id, and its other names.
    fixed_in : tuple of str
        The versions without it.
    summary : str
    """

    package: Package
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]
    summary: str

    def is_waived_by(self, waiver: Waiver) -> bool:
        return waiver.package == self.package.name and waiver.id in self.names

    def __str__(self) -> str:
        where, *elsewhere = self.package.places
        names = f" ({', '.join(self.names[1:])})" if self.names[1:] else ""
        fixed = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no fixed version yet"
        also = f"; also in {', '.join(elsewhere)}" if elsewhere else ""
        return (
            f"{where}: {self.names[0]}: {self.package.name} {self.package.version}{names}: "
            f"{fixed}: {self.summary}{also}"
        )


def _importance(lock: Path) -> tuple[bool, str]:
    """Sort the lock of production before all others."""
    return lock.name != PRODUCTION, lock.name


def read_locks(folder: Path, pattern: str = LOCKS) -> list[Package]:
    """Return every package of every lock, also those for other machines and Pythons."""
    hashes: dict[tuple[str, str], list[str]] = {}
    places: dict[tuple[str, str], list[str]] = {}
    for lock in sorted(folder.glob(pattern), key=_importance):
        name = lock.relative_to(folder)
        for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), start=1):
            if pinned := PINNED.match(line):
                package = pinned["name"], pinned["version"]
                places.setdefault(package, []).append(f"{name}:{number}")
            elif line.startswith("    --hash="):
                hashes.setdefault(package, []).append(line.strip(" \\"))
            elif line and not line.startswith("#"):
                raise CannotTell(f"{name}:{number} is not a locked package: nox -s lock")
    if not places:
        raise CannotTell(f"there is no lock: nox -s lock writes {pattern}")
    return [
        Package(*package, tuple(dict.fromkeys(hashes.get(package, []))), tuple(named))
        for package, named in places.items()
    ]


def rounds(packages: Iterable[Package]) -> Iterator[list[Package]]:
    """Yield the packages in rounds, each name once a round: pip-audit takes one version of each."""
    left = list(packages)
    while left:
        chosen = {package.name: package for package in left}
        yield list(chosen.values())
        left = [package for package in left if package is not chosen[package.name]]


def ask(packages: Iterable[Package]) -> list[dict[str, Any]]:
    """Ask the advisory service through pip-audit, and return its answers."""
    with TemporaryDirectory() as desk:
        lock, answer = Path(desk, "requirements.txt"), Path(desk, "answer.json")
        lines = (" ".join((f"{each.name}=={each.version}", *each.hashes)) for each in packages)
        lock.write_text("\n".join(lines), encoding="utf-8")
        files = ("--requirement", str(lock), "--output", str(answer), "--cache-dir", desk)
        done = subprocess.run([*PIP_AUDIT, *files], capture_output=True, text=True, check=False)
        if not answer.exists():
            message = done.stderr.strip() or f"exit {done.returncode}"
            raise CannotTell(
                f"pip-audit: {message.splitlines()[-1].removeprefix('ERROR:pip_audit._cli:')}\n"
                "Next: try again where the service can be reached, or name another one in "
                "PIP_AUDIT_VULNERABILITY_SERVICE and PIP_AUDIT_OSV_URL."
            )
        dependencies: list[dict[str, Any]] = json.loads(answer.read_bytes())["dependencies"]
        return dependencies


def understand(
    packages: Sequence[Package], dependencies: Iterable[Mapping[str, Any]]
) -> list[Vulnerability]:
    """Return the vulnerabilities; `CannotTell` if the service did not answer for a package."""
    answers = {
        (each["name"], each["version"]): each["vulns"] for each in dependencies if "vulns" in each
    }
    silent = [each.name for each in packages if (each.name, each.version) not in answers]
    if silent:
        raise CannotTell(
            f"the service did not answer for {len(silent)} of {len(packages)} packages: "
            + ", ".join(silent[:5])
        )
    return [
        Vulnerability(
            package,
            (known["id"], *sorted(known["aliases"])),
            tuple(known["fix_versions"]),
            textwrap.shorten(known["description"], SHOWN),
        )
        for package in packages
        for known in answers[package.name, package.version]
    ]


def main() -> int:
    """Audit, and return the exit code: 1 for a vulnerability, and for an incomplete audit."""
    today = datetime.now(UTC).date()
    try:
        waivers = parse(WAIVERS.read_text(encoding="utf-8"), today)
        packages = read_locks(Path())
        dependencies = [each for some in rounds(packages) for each in ask(some)]
        found = understand(packages, dependencies)
    except (CannotTell, OSError) as problem:
        print(f"could not tell: {problem}")
        return 1
    service = os.environ.get("PIP_AUDIT_VULNERABILITY_SERVICE", "pypi")
    print(f"{len(packages)} packages in all locks, checked with {service}")
    return report(found, waivers, today, FIX)


if __name__ == "__main__":
    sys.exit(main())
