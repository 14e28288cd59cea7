"""Whether CODEOWNERS asks for a review of each file that decides what is released."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from . import CannotTell

OWNERS = Path("docs/CODEOWNERS")
# A forge reads the first one that it finds, in an order of its own.
OTHERS = (Path("CODEOWNERS"), Path(".github/CODEOWNERS"), Path(".gitlab/CODEOWNERS"))

# Wanted in every repository, also before such a file is there: whoever adds it decides.
ALWAYS = (
    "/.gitattributes",
    "/.mailmap",
    "/.secrets.baseline",
    "/allowed_signers",
    "/audit.toml",
    "/data/",
    "/data/contract.toml",
    "/data/reference.json",
    "/docs/CODEOWNERS",
    "/model_card.toml",
    "/noxfile.py",
    "/pyproject.toml",
    "/quality.toml",
    "/release.toml",
    "/requirements/",
    "/src/",
    "/tasks.py",
    "/tests/",
    "/toolkit/",
)
# Wanted where there is such a file: the options of a repository bring them.
WHERE_CHOSEN = (
    "/.cruft.json",
    "/.dockerignore",
    "/.github/",
    "/.gitlab-ci.yml",
    "/.gitlab/",
    "/.pre-commit-config.yaml",
    "/Dockerfile",
    "/deploy/",
    "/renovate.json",
)


def deciding(root: Path) -> list[str]:
    """Return the files and folders that decide what is released, as CODEOWNERS has them."""
    return sorted([*ALWAYS, *(path for path in WHERE_CHOSEN if (root / path[1:]).exists())])


def unowned(root: Path) -> Iterator[str]:
    """Yield a finding for each deciding file without an owner of its own.

    Raises
    ------
    CannotTell
        There is no CODEOWNERS.
    """
    try:
        lines = (root / OWNERS).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CannotTell(f"{OWNERS} cannot be read: {error}") from None
    owned = set()
    for number, line in enumerate(lines, start=1):
        pattern, *owners = line.partition("#")[0].split() or [""]
        if pattern and not owners:
            yield f"{OWNERS}:{number}: owner: {pattern} has no owner, whatever stands above"
        owned.add(pattern)
    for path in deciding(root):
        if path not in owned:
            yield f"{OWNERS}:1: owner: no line names {path}, which decides what is released"
    for other in OTHERS:
        if (root / other).exists():
            yield f"{other}:1: owner: a forge may read this file in place of {OWNERS}"
