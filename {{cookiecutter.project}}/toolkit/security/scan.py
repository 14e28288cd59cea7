"""Checks what HEAD's release would ship for known vulnerabilities, with trivy.

`python -m toolkit.security.scan` reads the image that `invoke build` has left on the engine that
DOCKER_HOST names; where release.toml asks for no image, the bundle's locked requirements. Trivy
fetches its database from where it is set to, with TRIVY_DB_REPOSITORY for instance. The result is
reports/scanned.json, without which `invoke build --push` releases nothing where release.toml wants
a scan.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from . import CannotTell, trivy
from .audit import FIX, SHOWN, read_locks
from .versions import git
from .waivers import WAIVERS, Waiver, parse, report

EVIDENCE = Path("reports", "scanned.json")
RELEASES = Path("dist")
POLICY = Path("release.toml")
DOCKERFILE = Path("Dockerfile")
BASE = "ARG BASE="
REQUIREMENTS = "requirements.txt"
RECORD = "release.json"
# What a bundle's requirements.txt is a copy of, and where another version is chosen.
LOCK = "requirements/serving.txt"

FAILING = ("CRITICAL", "HIGH")


@dataclass(frozen=True)
class Release:
    """What `invoke build` has made of HEAD.

    Parameters
    ----------
    folder : pathlib.Path
        Its bundle, named by its version.
    image_id : str
        The engine's name for its image; empty where release.toml asks for none.
    digest : str
        The digest of the bundle.
    """

    folder: Path
    image_id: str
    digest: str = ""

    @classmethod
    def of_head(cls) -> Release:
        """Return HEAD's release; `CannotTell` where there is none, or more than one."""
        commit = git("rev-parse", "HEAD").decode()[:12]
        version = re.compile(commit + "-[0-9a-f]{8}")
        folders = [path for path in sorted(RELEASES.glob("*")) if version.fullmatch(path.name)]
        if not folders:
            raise CannotTell(
                f"no release in {RELEASES} was built from HEAD, {commit}\n"
                "Next: nox -s train and invoke build, then nox -s scan."
            )
        if len(folders) > 1:
            raise CannotTell(
                f"more than one release was built from HEAD: {', '.join(map(str, folders))}\n"
                "Next: remove all but the one to be released, then nox -s scan."
            )
        image_id = ""
        if "image" in tomllib.loads(POLICY.read_text(encoding="utf-8")):
            image_id = json.loads((folders[0] / "image.json").read_bytes())["image_id"]
        return cls(folders[0], image_id, digest_of(folders[0]))

    def scan(self) -> Any:
        """Return trivy's report."""
        if self.image_id:
            return trivy.scan("image", "--image-src", "docker", self.image_id)
        return trivy.scan("fs", str(self.folder / REQUIREMENTS))

    def locked(self) -> dict[str, str]:
        """Return the place in the lock of each Python package."""
        packages = read_locks(self.folder, REQUIREMENTS)
        return {each.name: each.places[0].replace(REQUIREMENTS, LOCK) for each in packages}

    def packages(self) -> set[str]:
        """Return the packages that it must hold, by its image's bill of materials or its lock."""
        if not self.image_id:
            return set(self.locked())
        bill = json.loads((self.folder / "sbom.json").read_bytes())
        return {as_locked(each["name"]) for each in bill["components"]}

    def __str__(self) -> str:
        what = f"image {self.image_id}" if self.image_id else REQUIREMENTS
        return f"{what} of {self.folder.name}"


@dataclass(frozen=True)
class Vulnerability:
    """One known vulnerability of one package of a release.

    Parameters
    ----------
    package, installed : str
    fixed_in : str
        The versions without it; empty where there is none yet.
    names : tuple of str
        The advisory's id, and its other names.
    severity : str
        One of `trivy.SEVERITIES`.
    place : str
        The file and line where another version is chosen.
    inside : str
        The system whose package it is, or the path in the image; empty for a lock's.
    title : str
    """

    package: str
    installed: str
    fixed_in: str
    names: tuple[str, ...]
    severity: str
    place: str
    inside: str
    title: str

    @property
    def fails(self) -> bool:
        return bool(self.fixed_in) and self.severity in FAILING

    def is_waived_by(self, waiver: Waiver) -> bool:
        return waiver.package == self.package and waiver.id in self.names

    def describe(self) -> str:
        """Return it as a sentence, without its place."""
        severity = ", ".join((self.severity, *self.names[1:]))
        where = f" in {self.inside}" if self.inside else ""
        fixed = f"fixed in {self.fixed_in}" if self.fixed_in else "no fixed version yet"
        return (
            f"{self.names[0]}: {self.package} {self.installed}{where} ({severity}): "
            f"{fixed}: {self.title}"
        )

    def __str__(self) -> str:
        return f"{self.place}: {self.describe()}"


def digest_of(folder: Path) -> str:
    """Return the digest of a bundle, computed from its files; `CannotTell` if that is not its own.

    What is scanned must be what is released: a file in the folder may have been edited since.
    """
    record = json.loads((folder / RECORD).read_bytes())
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(record["artifacts"])
    ]
    digest = "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()
    if digest != record["digest"] or REQUIREMENTS not in record["artifacts"]:
        raise CannotTell(
            f"{folder} is not what was built: its files give {digest}, and {RECORD} names "
            f"{record['digest']}\nNext: invoke build, then nox -s scan."
        )
    return digest


def as_locked(name: str) -> str:
    """Return a package's name as locks write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_system(answer: Mapping[str, Any], release: Release) -> str:
    """Return the name of an image's system; `CannotTell` if there are no advisories for it."""
    metadata = answer["Metadata"]
    if metadata["ImageID"] != release.image_id:
        raise CannotTell(f"trivy has scanned another image, {metadata['ImageID']}")
    system = metadata.get("OS", {})
    name = f"{system.get('Family', 'none')} {system.get('Name', '')}".strip()
    if not system or system.get("EOSL"):
        raise CannotTell(
            f"there are no advisories, or none any more, for the image's system, {name}"
        )
    return name


def understand(answer: Mapping[str, Any], release: Release) -> list[Vulnerability]:
    """Return trivy's findings, the worst first; `CannotTell` if it has not seen every package."""
    system = read_system(answer, release) if release.image_id else ""
    results = answer.get("Results", [])
    seen = {as_locked(each["Name"]) for result in results for each in result.get("Packages", [])}
    if unseen := sorted(release.packages() - seen):
        raise CannotTell(f"trivy has not seen {len(unseen)} packages: {', '.join(unseen[:5])}")
    locked = release.locked()

    def read(known: Mapping[str, Any], target: str, is_system_s: bool) -> Vulnerability:
        package = known["PkgName"] if is_system_s else as_locked(known["PkgName"])
        path = known.get("PkgPath", target) if release.image_id else ""
        return Vulnerability(
            package,
            known["InstalledVersion"],
            known.get("FixedVersion", ""),
            (known["VulnerabilityID"], *known.get("VendorIDs", [])),
            known["Severity"],
            base_place() if is_system_s or package not in locked else locked[package],
            system if is_system_s else path,
            textwrap.shorten(known.get("Title") or known.get("Description", ""), SHOWN),
        )

    found = [
        read(known, result["Target"], result["Class"] == "os-pkgs")
        for result in results
        for known in result.get("Vulnerabilities", [])
    ]
    return sorted(found, key=lambda each: (trivy.SEVERITIES.index(each.severity), each.package))


def base_place() -> str:
    """Return the file and line where the base image is chosen."""
    lines = DOCKERFILE.read_text(encoding="utf-8").splitlines()
    numbers = (number for number, line in enumerate(lines, start=1) if line.startswith(BASE))
    return f"{DOCKERFILE}:{next(numbers, 1)}"


def judge(found: Sequence[Vulnerability], waivers: Sequence[Waiver], today: date) -> int:
    """Print every vulnerability; return the exit code."""
    for each in found:
        if not each.fails:
            print(f"does not fail: {each.describe()}")
    failing = [each for each in found if each.fails]
    fix = FIX
    if any(each.place.startswith(str(DOCKERFILE)) for each in failing):
        fix += f", and a newer base in {DOCKERFILE} those of its system"
    return report(failing, waivers, today, fix)


def write_evidence(document: Mapping[str, Any]) -> None:
    """Write what `invoke build --push` reads, whole or not at all."""
    EVIDENCE.parent.mkdir(exist_ok=True)
    scratch = EVIDENCE.with_name(f".{EVIDENCE.name}")
    scratch.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")
    scratch.replace(EVIDENCE)


def main() -> int:
    """Scan, and return the exit code: 1 for a vulnerability, and for an incomplete scan."""
    EVIDENCE.unlink(missing_ok=True)
    today = datetime.now(UTC).date()
    try:
        waivers = parse(WAIVERS.read_text(encoding="utf-8"), today)
        is_clean = not git("status", "--porcelain")
        release = Release.of_head()
        found = understand(release.scan(), release)
        version, updated = trivy.ask_versions()
    except (CannotTell, OSError) as problem:
        print(f"could not tell: {problem}")
        return 1
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        print(f"could not tell: an answer cannot be read: {problem!r}")
        return 1
    count = len(release.packages())
    print(f"{release}: {count} packages, checked with the database of {updated}")
    code = judge(found, waivers, today)
    write_evidence(
        {
            "schema": 2,
            "verdict": "failed" if code else "passed",
            "release": release.folder.name,
            "digest": release.digest,
            "image_id": release.image_id,
            "tree_clean": is_clean,
            "trivy": version,
            "database": updated,
            "vulnerabilities": [asdict(each) for each in found],
            "waivers": [asdict(each) for each in waivers],
        }
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
