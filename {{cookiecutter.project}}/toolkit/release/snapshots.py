"""The snapshot that a commit names in data/snapshot.json: of it, only what a release needs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from .errors import PreconditionFailed
from .git import Repository

FILE = "data/snapshot.json"
ERASED = "data/erased.json"


@dataclass(frozen=True)
class Snapshot:
    """What a commit's pointer says.

    Parameters
    ----------
    content : str
        The digest of the customers.
    as_of : str
        The cut-off, a day as ISO 8601.
    """

    content: str
    as_of: str


def of_commit(repository: Repository, commit: str) -> Snapshot | None:
    """Return what a commit's pointer says; None where its table is in git.

    `GitFailed` where the commit is not here, `PreconditionFailed` where the pointer is none.
    """
    if not repository.run("ls-tree", commit, "--", FILE):
        return None
    try:
        document = json.loads(repository.read("cat-file", "blob", f"{commit}:{FILE}"))
        return Snapshot(str(document["content_sha256"]), str(document["as_of"]))
    except (ValueError, TypeError, KeyError) as error:
        raise PreconditionFailed(
            f"{FILE} of {commit[:12]} is no pointer",
            why=repr(error),
            state="nothing was changed",
            next_step=f"restore {FILE}, or take a snapshot: nox -s snapshot",
        ) from None


def erasures(repository: Repository, commit: str) -> dict[str, str]:
    """Return when and why snapshots were erased, by their content, as a commit says."""
    if not repository.run("ls-tree", commit, "--", ERASED):
        return {}
    document = json.loads(repository.read("cat-file", "blob", f"{commit}:{ERASED}"))
    return {one["content_sha256"]: f"{one['on']}: {one['reason']}" for one in document}


def is_pin(repository: Repository, commit: str, anchor: str | None) -> bool:
    """Return whether a commit is one of the default branch, with another snapshot and no more.

    Its code and its policy were reviewed, then; its customers are those whom the night has found.
    """
    parents = repository.run("rev-list", "--parents", "--max-count=1", commit).split()[1:]
    if anchor is None or len(parents) != 1 or not repository.is_ancestor(parents[0], anchor):
        return False
    changed = repository.run("diff-tree", "-r", "--no-renames", "--name-only", parents[0], commit)
    return changed.splitlines() == [FILE]
