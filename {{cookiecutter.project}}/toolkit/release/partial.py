"""What a partial clone lacks of the ledger: fetched while the remote answers, not when it is gone.

A clone made with ``--filter`` has no content of files until somebody reads it. A rollback without
the remote needs that of the histories, of the releases, and of the policies.
"""

from __future__ import annotations

from collections.abc import Iterable

from .git import NETWORK_TIMEOUT_S, REMOTE, GitFailed, Repository

# What decides what counts, at any commit.
POLICIES = ("release.toml", "allowed_signers")
# Git names what is not here so, where it is told not to fetch it.
MISSING = "?"
# So many names fit into the arguments of one command.
BATCH = 1000


def is_partial(repository: Repository) -> bool:
    """Whether the remote has promised what this clone lacks."""
    try:
        return repository.run("config", "--get", f"remote.{REMOTE}.promisor") == "true"
    except GitFailed:  # It is not set.
        return False


def lacking(
    repository: Repository, histories: Iterable[str], releases: Iterable[str], anchor: str | None
) -> list[str]:
    """Return the objects that a rollback may need and that are not here, without fetching any.

    Parameters
    ----------
    repository : Repository
    histories : iterable of str
        The newest commits of environments: each with all before it.
    releases : iterable of str
        Tags of releases, each with its files.
    anchor : str or None
        The newest commit of the default branch. At each commit before it or a release, the
        policies.
    """
    listing = ("rev-list", "--objects", "--missing=print", "--stdin")
    tags, commits = list(releases), [anchor] if anchor else []
    found: dict[str, None] = {}
    for options, names, paths in (
        ((), list(histories), ()),
        (("--no-walk",), tags, ()),
        ((), [*tags, *commits], ("--", *POLICIES)),
    ):
        if names:
            asked = "".join(f"{name}\n" for name in (*names, *paths)).encode()
            listed = repository.run(*listing, *options, stdin=asked).splitlines()
            found |= {line[1:]: None for line in listed if line.startswith(MISSING)}
    return list(found)


def fetch(repository: Repository, objects: list[str]) -> None:
    """Fetch objects by their names; `GitFailed` where the remote does not answer."""
    for at in range(0, len(objects), BATCH):
        # The remote must not leave out what belongs to commits that are here already.
        repository.reach(
            *("-c", "fetch.negotiationAlgorithm=noop", "fetch"),
            *("--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", REMOTE),
            *objects[at : at + BATCH],
            timeout_s=NETWORK_TIMEOUT_S,
        )
