"""What must hold of every release that was made to serve: its bytes, its gate, its permission."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..checks import hold_of
from ..event import Event
from ..policy import Environment
from ..records import Record
from .books import Books
from .chain import Chain

# Two chains are not ordered to one another, and their clocks may differ by as much.
SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class Entry:
    """A release that an event has made serve.

    Parameters
    ----------
    books : Books
    chain : Chain
    at : int
        The place of the event that verified it.
    record : Record
        As that event has it.
    wished_at : int
        The place of the event in which somebody wanted it.
    wish : Event
    """

    books: Books
    chain: Chain
    at: int
    record: Record
    wished_at: int
    wish: Event

    @property
    def environment(self) -> Environment | None:
        """What the policy that counts says of the environment."""
        return self.books.environment(self.chain.environment, self.record)

    @property
    def time(self) -> datetime:
        """When it was wanted."""
        return datetime.fromisoformat(self.wish.time)


def complaints(books: Books, chain: Chain, at: int) -> Iterator[tuple[str, str]]:
    """Yield each rule that was broken when an event made its release serve, and how."""
    record = chain.links[at].brought
    if record is None:
        return
    wished_at = chain.wish(at)
    wish = chain.links[wished_at].event or chain.links[at].event
    assert wish, "an event has brought it"
    entry = Entry(books, chain, at, record, wished_at, wish)
    # A damaged release is named one time in each environment: where it came in.
    rules = OF_THE_RELEASE if chain.brought[record.version][0] == at else ()
    if wish.kind == "promote":
        rules += OF_A_PROMOTION
    for rule, ask in rules:
        complaint = ask(entry)
        if complaint:
            yield rule, f"{wish.kind} of {record.version}: {complaint}"


def _bundle(entry: Entry) -> str:
    return entry.books.release(entry.record.version).damage


def _gate(entry: Entry) -> str:
    return entry.books.release(entry.record.version).ungated


def _order(entry: Entry) -> str:
    before = entry.environment.after if entry.environment else None
    if before is None:
        return ""
    chain = entry.books.chains.get(before)
    places = chain.brought.get(entry.record.version, []) if chain else []
    times = [
        datetime.fromisoformat(event.time)
        for place in places
        if chain and (event := chain.links[place].event) and event.digest == entry.record.digest
    ]
    if not times:
        return f"it was never verified in {before}"
    if min(times) > entry.time + SKEW:
        return f"it was verified in {before} only at {min(times)}"
    return ""


def _approval(entry: Entry) -> str:
    policy = entry.environment.approval if entry.environment else None
    if policy is None:
        return ""
    if not entry.wish.approved_by:
        return "it names nobody who approved it"
    approvers, why = entry.books.approvals(entry.chain.environment, entry.record, policy)
    if len(approvers) < policy.needed:
        short = f"{len(approvers)} of {policy.needed} approvals of it are there now"
        return "; ".join([f"{short}, it names {entry.wish.approved_by}", *why])
    return ""


def _hold(entry: Entry) -> str:
    hold = hold_of(entry.chain.events(entry.wished_at))
    return f"a {hold.kind} of {hold.time} kept releases out" if hold else ""


def _freeze(entry: Entry) -> str:
    for freeze in entry.books.policy_of(entry.record).freezes:
        if entry.chain.environment in freeze.environments and freeze.end(entry.time):
            return f"it came at {entry.wish.time}, in the freeze {freeze.name}"
    return ""


Rules = tuple[tuple[str, Callable[[Entry], str]], ...]
OF_THE_RELEASE: Rules = (("bundle", _bundle), ("gate", _gate))
OF_A_PROMOTION: Rules = (
    ("order", _order),
    ("approval", _approval),
    ("hold", _hold),
    ("freeze", _freeze),
)
