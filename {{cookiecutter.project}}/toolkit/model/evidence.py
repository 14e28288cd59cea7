"""What identifies a run: the commit, the sha256 of its files, and the machine."""

import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOCK = "requirements/model.txt"
# What a training takes besides its table.
RECIPE = ("src", "toolkit", LOCK, "quality.toml", "data/contract.toml", "data/reference.json")


def sha256(path: Path) -> str | None:
    """Return the sha256 of a file in hex, None where there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def now() -> str:
    """Return the time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def commit(root: Path) -> str | None:
    """Return the commit that is checked out; None outside of a git repository."""
    return _git(root, "rev-parse", "--verify", "HEAD")


def tree_is_clean(root: Path) -> bool:
    """Return whether the working tree is the commit: nothing changed, nothing untracked."""
    return _git(root, "status", "--porcelain") == ""


def is_recipe_of(root: Path, commit: str) -> bool:
    """Return whether a training takes, besides its table, what it took at a commit."""
    changed = _git(root, "status", "--porcelain", "--", *RECIPE)
    differing = _git(root, "diff", "--name-only", commit, "--", *RECIPE)
    return (changed, differing) == ("", "")


def environment(root: Path) -> dict[str, Any]:
    """Return what the figures may depend on besides the commit and the data."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "lock_sha256": sha256(root / LOCK),
    }


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):  # No git, no repository, or no commit yet.
        return None
    return done.stdout.strip()
