"""Compares an environment's branch in this clone with that of the remote."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..git import REMOTE
from ..ledger import Ledger
from ..policy import Policy
from ..references import BRANCHES
from .chain import Chain

# Commands that may start while the remote does not answer, and owe it the push.
OWED = ("rollback", "recover")


@dataclass(frozen=True)
class Branch:
    """An environment's branch.

    Parameters
    ----------
    environment : str
    here, there : str or None
        The newest commit in this clone and at the remote, None where there is no such branch.
    ledger : Ledger
    """

    environment: str
    here: str | None
    there: str | None
    ledger: Ledger

    @cached_property
    def head(self) -> str:
        """The newest known commit; of two histories that have diverged, the remote's."""
        is_ahead = self.here and self.there and self._is_ancestor(self.there, self.here)
        head = self.here if is_ahead else self.there or self.here
        assert head, "a branch exists in at least one place"
        return head

    def _is_ancestor(self, older: str, newer: str) -> bool:
        return older == newer or self.ledger.repository.is_ancestor(older, newer)

    def comparison(self) -> str:
        """Return in a few words what was compared."""
        if self.ledger.unreachable:
            return f"{REMOTE} does not answer, so only this clone was read"
        if self.ledger.remote is None:
            return f"there is no {REMOTE}, so only this clone was read"
        if self.here == self.there:
            return f"{REMOTE} has the same"
        if self.here is None:
            return f"only {REMOTE} has it"
        if self.there is None:
            return f"{REMOTE} has none of it"
        if self.head == self.here:
            return f"{REMOTE} has less"
        if self._is_ancestor(self.here, self.there):
            return f"{REMOTE} has all events of this clone, and newer ones"
        return f"{REMOTE} has another history, which was read"

    def complaint(self, chain: Chain) -> tuple[int, str]:
        """Return the place of the first event in which the two differ, and how; or an empty text.

        Whether the newest events here were ever pushed cannot be known: events that the remote
        lacks are named, whether they were never pushed or removed there.
        """
        if self.ledger.remote is None or self.here in (None, self.there):
            return 0, ""
        shas = [link.sha for link in chain.links]
        if self.head == self.here:
            first = shas.index(self.there) + 1 if self.there in shas else 0
            return first, self._missing(chain, first)
        assert self.here and self.there, "they differ, and there is a head"
        if self._is_ancestor(self.here, self.there):
            return 0, ""
        ours = set(self.ledger.repository.run("rev-list", self.here).split())
        first = next(at for at, sha in enumerate(shas) if sha not in ours)
        since = f"after {shas[first - 1][:12]}" if first else "at the first event"
        return first, f"the histories diverge {since}: this clone's newest is {self.here[:12]}"

    def _missing(self, chain: Chain, first: int) -> str:
        """Return that the remote lacks the events from a place on, and what that can mean."""
        events = [link.event for link in chain.links[first:]]
        if self.there is None:
            return f"{REMOTE} has none of the {len(events)} events: never pushed, or deleted"
        missing = f"{REMOTE} lacks {len(events)} events of this clone, this one first"
        for event in events:
            if event and not event.caused_by and event.kind not in OWED:
                return f"{missing}: removed, since no {event.kind} starts without {REMOTE}"
        return f"{missing}: owed or removed; the next command that reaches {REMOTE} pushes them"


def branches(ledger: Ledger, policy: Policy) -> list[Branch]:
    """Return every environment's branch, here or at the remote, those of ``release.toml`` first."""
    here, there = ledger.local, ledger.remote or {}
    order = {one.name: place for place, one in enumerate(policy.environments)}
    references = {name for name in (*here, *there) if name.startswith(BRANCHES)}
    names = [name.removeprefix(BRANCHES) for name in references]
    return [
        Branch(name, here.get(BRANCHES + name), there.get(BRANCHES + name), ledger)
        for name in sorted(names, key=lambda name: (order.get(name, len(order)), name))
    ]
