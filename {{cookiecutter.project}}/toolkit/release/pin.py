"""Pins a snapshot: commits data/snapshot.json, and nothing else, on a branch of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass

from . import snapshots
from .errors import HeadMoved, PreconditionFailed, PushFailed
from .git import GitFailed, Repository

BRANCH = "snapshot/"
SHORT = 8


@dataclass(frozen=True)
class Pinned:
    """The result of ``invoke pin``.

    Parameters
    ----------
    commit : str
        HEAD afterwards.
    branch : str
        Its branch, or empty where there was nothing to pin.
    is_new, is_pushed : bool
        Whether the commit was made now, and whether the remote has it.
    """

    commit: str
    branch: str
    is_new: bool
    is_pushed: bool


def pin(repository: Repository, push: bool) -> Pinned:
    """Commit the pointer, if it has changed, and push its branch, if asked.

    Raises
    ------
    PreconditionFailed
        Something else has changed as well, or there is no remote to push to.
    PushFailed
        The remote does not take the branch.
    """
    repository.require_writing()
    changes = repository.changes()
    if others := [path for path in changes if path != snapshots.FILE]:
        raise PreconditionFailed(
            f"more has changed than {snapshots.FILE}",
            why=", ".join(others[:5]),
            state="nothing was committed",
            next_step="commit or restore the rest first: a pin is of a snapshot alone",
        )
    branch = repository.run("branch", "--show-current")
    if changes:
        branch = _commit(repository)
    if push and branch.startswith(BRANCH):
        _push(repository, branch)
    pinned = branch if branch.startswith(BRANCH) else ""
    return Pinned(repository.head(), pinned, bool(changes), push and bool(pinned))


def _commit(repository: Repository) -> str:
    document = json.loads((repository.root / snapshots.FILE).read_bytes())
    name = f"{BRANCH}{document['as_of']}"
    taken = repository.local_references(f"refs/heads/{name}")
    if repository.has_remote:
        taken |= repository.remote_references(f"refs/heads/{name}")
    if taken:  # By another snapshot of that day.
        name += f"-{document['content_sha256'][:SHORT]}"
    # The index has the pointer first, so that the working tree may move with it.
    repository.run("add", "--", snapshots.FILE)
    repository.run("switch", "--quiet", "--create", name)
    message = (
        f"Take the snapshot as of {document['as_of']}\n\n"
        f"{document['rows']} customers, content {document['content_sha256']}\n"
    )
    repository.run("commit", "--quiet", "--message", message)
    return name


def _push(repository: Repository, branch: str) -> None:
    if not repository.has_remote:
        raise PreconditionFailed(
            f"the branch {branch} was not pushed",
            why="this repository has no remote called origin",
            state="the pin is committed here",
            next_step="git remote add origin URL, then invoke pin --push",
        )
    reference = f"refs/heads/{branch}"
    try:
        repository.push({reference: repository.head()})
    except (GitFailed, HeadMoved) as error:
        raise PushFailed(
            f"the branch {branch} was not pushed",
            why=str(error),
            state="the pin is committed here",
            next_step="see whether the remote lets you push this branch, then invoke pin --push",
        ) from None
