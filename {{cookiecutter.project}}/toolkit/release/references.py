"""The ledger's references as they are now, here and at the remote, which decides.

Reading writes no reference. With an ``origin`` the remote is asked first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from typing import Self

from . import partial
from .errors import DISK_TROUBLE, HistoryCorrupt, PreconditionFailed, PushFailed
from .git import REMOTE, GitFailed, Repository

BRANCHES = "refs/heads/env/"
RELEASES = "refs/tags/release/"
APPROVALS = "refs/tags/approval/"
PREFIXES = (BRANCHES, RELEASES, APPROVALS)
# The name by which a remote gives its default branch.
DEFAULT = "HEAD"
# The remote's default branch and its environments as this clone saw them last. In full: git would
# take a tag "origin/HEAD", which anybody may push, before the branch.
SEEN_DEFAULT = f"refs/remotes/{REMOTE}/{DEFAULT}"
REMEMBERED = f"refs/remotes/{REMOTE}/env/"


@dataclass(frozen=True)
class References:
    """The ledger's references, here and at the remote.

    Parameters
    ----------
    repository : Repository
    local, remote : mapping of str to str
        ``{reference: object}``; ``remote`` is None where there is none or it does not answer.
    unreachable : str
        Why the remote could not be read, or empty.
    remembered : mapping of str to str
        The remote's branches as they were seen last, for when it cannot be read.
    cut_off : frozenset of str
        Commits whose parents are missing here: a history that ends with one is incomplete.
    anchor : str or None
        The newest commit of the remote's default branch, or of this clone's where there is no
        remote: what is on it has been merged, and counts. None: that branch has no commit.
    """

    repository: Repository
    local: Mapping[str, str]
    remote: Mapping[str, str] | None
    unreachable: str = ""
    remembered: Mapping[str, str] = field(default_factory=dict)
    cut_off: frozenset[str] = frozenset()
    anchor: str | None = None

    @classmethod
    def open(cls, repository: Repository) -> Self:
        """Read every reference of the ledger, here and at the remote."""
        local = repository.local_references(*PREFIXES)
        remote: dict[str, str] | None = None
        remembered: dict[str, str] = {}
        unreachable = ""
        anchor = repository.commit_of(SEEN_DEFAULT) or repository.commit_of(DEFAULT)
        if repository.has_remote:
            try:
                asked = (*(prefix + "*" for prefix in PREFIXES), DEFAULT)
                remote = repository.remote_references(*asked)
                repository.fetch_objects(remote)
                anchor = remote.get(DEFAULT)
                _complete(repository, remote)
            except GitFailed as error:
                remote, unreachable = None, str(error)
                seen = repository.local_references(REMEMBERED)
                remembered = {name.replace(REMEMBERED, BRANCHES): seen[name] for name in seen}
        cut_off = repository.cut_off()
        return cls(repository, local, remote, unreachable, remembered, cut_off, anchor)

    def require_remote(self, state: str) -> None:
        """Raise `PushFailed` while the remote cannot be reached."""
        if DISK_TROUBLE.search(self.unreachable):
            raise PreconditionFailed(
                f"the objects of {REMOTE} cannot be stored here",
                why=self.unreachable,
                state=state,
                next_step="free disk space, or make .git writable, and run the command again",
            )
        if self.unreachable:
            raise PushFailed(
                f"the git remote {REMOTE} does not answer",
                why=self.unreachable,
                state=state,
                next_step="try again when it is back; only a rollback works without it",
            )

    def anchor_at(self, when: datetime) -> str | None:
        """Return the newest commit of the default branch at a time, by the branch's own dates."""
        at = bisect_left(self._mainline, -when.timestamp(), key=lambda pair: pair[0])
        return self._mainline[at][1] if at < len(self._mainline) else None

    @cached_property
    def _mainline(self) -> list[tuple[int, str]]:
        """The commits, the newest first, each with minus the earliest time up to it: in order."""
        if self.anchor is None:
            return []
        span = ("rev-list", "--first-parent", "--timestamp", self.anchor)
        listed = [line.split() for line in self.repository.run(*span).splitlines()]
        earliest = accumulate((int(time) for time, _ in listed), min)
        return [(-time, sha) for time, (_, sha) in zip(earliest, listed, strict=True)]

    def _lookup(self, reference: str) -> str | None:
        """Return a reference's object; of a branch that differs, the newer side."""
        here, there = self.local.get(reference), self._there(reference)
        if here is None or there is None or here == there:
            return there or here
        if not reference.startswith(BRANCHES) or self.repository.is_ancestor(here, there):
            return there
        if self.repository.is_ancestor(there, here):
            return here
        name = reference.removeprefix("refs/heads/")
        if self.cut_off:
            raise self._incomplete(name)
        raise HistoryCorrupt(
            f"there are two histories of {name}",
            why=f"{name} here ({here[:12]}) and at {REMOTE} ({there[:12]}) have diverged",
            state="nothing was changed",
            next_step=f"git log --oneline --graph {name} {REMOTE}/{name}; keep the right one",
        )

    def _there(self, reference: str) -> str | None:
        """Return the remote's object, or the one that it had when it was seen last."""
        return (self.remembered if self.remote is None else self.remote).get(reference)

    def _incomplete(self, branch: str) -> PreconditionFailed:
        return PreconditionFailed(
            f"the history of {branch} is incomplete here",
            why="this is a shallow clone"
            + (f", and {REMOTE} could not be read: {self.unreachable}" if self.unreachable else ""),
            state="nothing was changed",
            next_step="git fetch --unshallow",
        )

    def lacks(self) -> int:
        """Return how many objects that a rollback may need are not in this partial clone."""
        if not partial.is_partial(self.repository):
            return 0
        return len(_lacking(self.repository, {**self.remembered, **self.local}, self.anchor))

    def _completing(self) -> str:
        """Return what to do about objects that a partial clone lacks, empty where it lacks none."""
        lacks = self.lacks() if self.unreachable else 0
        if not lacks:
            return ""
        return (
            f"this partial clone lacks {lacks} objects: invoke status fetches them, when {REMOTE} "
            "answers; until then use a clone without --filter"
        )

    def owed(self, environment: str) -> int:
        """Return how many events the remote lacks, as far as this clone knows."""
        reference = BRANCHES + environment
        here, there = self.local.get(reference), self._there(reference)
        if here is None or (there is None and self.remote is None):
            return 0
        span = here if there is None else f"{there}..{here}"
        return int(self.repository.run("rev-list", "--count", span))


def _complete(repository: Repository, remote: Mapping[str, str]) -> None:
    """Fetch what a partial clone lacks, as long as the remote answers: a rollback may need it."""
    if remote == repository.completed or not partial.is_partial(repository):
        return
    partial.fetch(repository, _lacking(repository, remote, remote.get(DEFAULT)))
    repository.completed = dict(remote)


def _lacking(
    repository: Repository, references: Mapping[str, str], anchor: str | None
) -> list[str]:
    heads = [target for name, target in references.items() if name.startswith(BRANCHES)]
    releases = [target for name, target in references.items() if name.startswith(RELEASES)]
    return partial.lacking(repository, heads, releases, anchor)
