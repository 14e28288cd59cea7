"""What decides about a release, and has changed since the one that serves.

It was reviewed where it was merged; whoever promotes sees it once more, what became laxer first.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..policy_changes import HEADING, POLICIES, compare
from .git import Repository

# Beside the policies, whose values are compared: that they have changed.
OTHERS = ("allowed_signers", "requirements", "pyproject.toml", "toolkit")


def changes(repository: Repository, base: str, commit: str) -> tuple[str, ...]:
    """Return a sentence for each change of what decides, the laxer ones first.

    Parameters
    ----------
    repository : Repository
    base, commit : str
        The commits of the release that serves and of the one that comes.
    """
    values = compare(policies(repository, base), policies(repository, commit))
    listed = ("diff-tree", "-r", "--name-only", "-z", base, commit, "--", *OTHERS)
    paths = repository.run(*listed).split("\0")
    others = [_files(name, paths) for name in OTHERS]
    return (*map(str, values), *(one for one in others if one))


def policies(repository: Repository, commit: str) -> dict[str, bytes]:
    """Return those of `POLICIES` that a commit holds; `GitFailed` where it is not in this clone."""
    listed = repository.run("ls-tree", "--name-only", "-z", commit, "--", *POLICIES).split("\0")
    return {
        name: repository.read("cat-file", "blob", f"{commit}:{name}") for name in listed if name
    }


def section(rules: Iterable[str]) -> list[str]:
    """Return the lines in which a plan or a comparison tells such changes; none without any."""
    listed = [f"    {rule}" for rule in rules]
    return [f"  {HEADING}", *listed] if listed else []


def _files(name: str, paths: list[str]) -> str:
    count = sum(path == name or path.startswith(f"{name}/") for path in paths)
    if not count:
        return ""
    return (
        f"{name}: changed" if name in paths else f"{name}: {count} file{'s' * (count > 1)} changed"
    )
