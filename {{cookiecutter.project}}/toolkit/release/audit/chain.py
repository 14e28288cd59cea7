"""An environment's history as it is stored: every commit, an event or not, the oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from ..checks import DEPLOYING
from ..errors import HistoryCorrupt
from ..event import VERIFIED, Event, event_of
from ..git import GitFailed
from ..ledger import NOT_DESIRED
from ..objects import Commit, Objects
from ..records import FILE_NAME, Record, parse


@dataclass(frozen=True)
class Link:
    """One commit of the branch.

    Parameters
    ----------
    sha : str
    parents : tuple of str
    subject : str
    event : Event or None
        None where the commit is no release event.
    state : frozenset of (str, str)
        The desired state: each file and its object.
    record : Record or None
        The record in it, None where nothing should serve.
    damage : tuple of (str, str)
        What is wrong with this commit by itself: the rule, and how.
    """

    sha: str
    parents: tuple[str, ...]
    subject: str
    event: Event | None
    state: frozenset[tuple[str, str]]
    record: Record | None
    damage: tuple[tuple[str, str], ...] = ()

    @property
    def serves(self) -> str:
        """The release that should serve after this event, or empty."""
        return self.record.version if self.record else ""

    @property
    def deployed(self) -> Record | None:
        """The release that this event has deployed and verified; None for any other event."""
        deploys = self.event and self.event.outcome == VERIFIED and self.event.kind in DEPLOYING
        return self.record if deploys else None


@dataclass(frozen=True)
class Chain:
    """One environment's links, the oldest first."""

    environment: str
    links: tuple[Link, ...]

    def events(self, until: int | None = None) -> list[Event]:
        """Return the events before a place, the newest first, as `Ledger.history` does."""
        return [link.event for link in reversed(self.links[:until]) if link.event]

    def served(self, at: int) -> str:
        """Return the release that should have served before a place, or empty."""
        return self.links[at - 1].serves if at else ""

    @cached_property
    def deployments(self) -> dict[str, list[int]]:
        """Return ``{version: places}`` of every release that was verified here."""
        places: dict[str, list[int]] = {}
        for at, link in enumerate(self.links):
            if link.deployed:
                places.setdefault(link.serves, []).append(at)
        return places

    @cached_property
    def first_states(self) -> dict[frozenset[tuple[str, str]], int]:
        """Return the first place of each desired state."""
        places: dict[frozenset[tuple[str, str]], int] = {}
        for at, link in enumerate(self.links):
            places.setdefault(link.state, at)
        return places

    def verified_until(self, when: datetime) -> list[tuple[datetime, str]]:
        """Return the time and the release of each deployment up to a time, the oldest first."""
        deployed = [link for link in self.links if link.deployed]
        times = [datetime.fromisoformat(link.event.time) for link in deployed if link.event]
        pairs = zip(times, deployed, strict=True)
        return [(time, link.serves) for time, link in pairs if time <= when]

    def was_only_begun(self, at: int) -> bool:
        """Return whether a place has a promotion that no later event has verified.

        Its release could have been served all the same.
        """
        event = self.links[at].event
        begins = event is not None and event.kind == "promote" and event.is_pending
        return begins and at not in self._requests

    @cached_property
    def _requests(self) -> frozenset[int]:
        """The places of all commands that have deployed a release."""
        return frozenset(self.request(at) for places in self.deployments.values() for at in places)

    def cause(self, at: int) -> int:
        """Return the place of the pending event that an event ends, or its own."""
        event = self.links[at].event
        if at and event and event.caused_by == self.links[at - 1].sha:
            return at - 1
        return at

    def begin(self, at: int) -> int:
        """Return the place since which the desired state is that of a place."""
        state = self.links[at].state
        while at and self.links[at - 1].state == state:
            at -= 1
        return at

    def request(self, at: int) -> int:
        """Return the place of the command that an event is the outcome of.

        That is the event's cause, and of a recovery the command that had been killed.
        """
        place = self.cause(at)
        while place and self._recovers(place) and self.is_pending(place - 1):
            place -= 1
        return place

    def _recovers(self, at: int) -> bool:
        event = self.links[at].event
        return event is not None and event.kind == "recover"

    def is_pending(self, at: int) -> bool:
        """Return whether the event at a place is pending."""
        event = self.links[at].event
        return event is not None and event.is_pending


def read(objects: Objects, environment: str, head: str) -> Chain:
    """Read every commit up to ``head``; `GitFailed` where one is missing or damaged."""
    commits = reversed(objects.ancestry(head))
    return Chain(environment, tuple(_link(objects, sha, commit) for sha, commit in commits))


def _link(objects: Objects, sha: str, commit: Commit) -> Link:
    damage = []
    files: dict[str, str] = {}
    record, event = None, None
    try:
        event = event_of(sha, commit)
    except HistoryCorrupt as error:
        damage.append(("event", f"it was not written by the release machine: {error.why}"))
    try:
        files = objects.tree(commit.one("tree"))
        if FILE_NAME in files:
            record = parse(objects.read(files[FILE_NAME])[1], f"the event {sha[:12]}")
    except GitFailed as error:
        damage.append(("object", str(error)))
    except HistoryCorrupt as error:
        damage.append(("record", f"{error.what}: {error.why}"))
    return Link(
        sha,
        parents=commit.named("parent"),
        subject=commit.message.partition("\n")[0],
        event=event,
        state=frozenset(pair for pair in files.items() if pair[0] not in NOT_DESIRED),
        record=record,
        damage=tuple(damage),
    )
