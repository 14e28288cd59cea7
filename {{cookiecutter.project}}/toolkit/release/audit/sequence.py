"""The rules for every event, by its place in the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from ..event import ABORTED, FAILED, KINDS, NOTED, PENDING, ROLLED_BACK, VERIFIED, Event, subject_of
from ..releases import CLOCKS
from .chain import Chain, Link

# What a terminal event repeats of its pending event.
SAME = ("kind", "release", "digest", "previous", "actor", "approved_by", "reviewed_by", "gate")
OUTCOMES = (PENDING, VERIFIED, FAILED, ROLLED_BACK, ABORTED, NOTED)


def complaints(chain: Chain, at: int) -> Iterator[tuple[str, str]]:
    """Yield each rule that an event breaks, and how."""
    link = chain.links[at]
    yield from link.damage
    if not any(rule == "object" for rule, _ in link.damage):
        yield from _named("parent", _parent(chain, at))
    if link.event:
        for rule, check in RULES:
            yield from _named(rule, check(chain, at, link, link.event))


def _named(rule: str, complaint: str) -> Iterator[tuple[str, str]]:
    if complaint:
        yield rule, complaint


def _parent(chain: Chain, at: int) -> str:
    parents = chain.links[at].parents
    if len(parents) > 1:
        return f"it is a merge of {len(parents)} histories"
    if at and parents != (chain.links[at - 1].sha,):
        before = chain.links[at - 1].sha
        return f"its parent is {_short(*parents)}, the event before it {_short(before)}"
    if not at and parents:
        return f"its parent is {_short(*parents)}, which is not in this history: a graft?"
    return ""


def _words(chain: Chain, at: int, link: Link, event: Event) -> str:
    if event.kind not in KINDS:
        return f"{event.kind!r} is no kind of event"
    if event.outcome not in OUTCOMES:
        return f"{event.outcome!r} is no outcome"
    expected = subject_of(chain.environment, event)
    return "" if link.subject == expected else f"its subject is {link.subject!r}, not {expected!r}"


def _cause(chain: Chain, at: int, link: Link, event: Event) -> str:
    """A terminal event follows its pending event directly, and repeats what that is about."""
    if not _ends(event):
        return "it is pending, and names a cause" if event.caused_by else ""
    cause = chain.cause(at)
    if cause == at:
        known = any(link.sha == event.caused_by for link in chain.links[:at])
        where = "is not the event before it" if known else "is not in the history before it"
        return f"it ends {_short(event.caused_by)}, which {where}: rewritten or reordered"
    begun = chain.links[cause].event
    if begun is None or not begun.is_pending:
        return f"it ends {_short(event.caused_by)}, which was not pending"
    for what in SAME:
        before, now = getattr(begun, what), getattr(event, what)
        if before != now:
            return f"its {what} is {now or 'empty'}, that of its pending event {before or 'empty'}"
    return ""


def _lock(chain: Chain, at: int, link: Link, event: Event) -> str:
    """A command starts after the end of the one before it, or may preempt it."""
    before = chain.links[at - 1].event if at else None
    if before is None or not before.is_pending or _ends(event):
        return ""
    if event.is_pending and event.kind in ("rollback", "recover"):
        return ""
    return f"the {before.kind} before it, {_short(before.sha)}, held the lock and did not end"


def _from(chain: Chain, at: int, link: Link, event: Event) -> str:
    """The release that an event names as the one before is the one that the chain has served."""
    served = chain.served(at)
    if _ends(event):
        return ""  # It repeats its pending event.
    if event.outcome == NOTED:
        if event.kind in ("hold", "unhold") and event.release != served:
            return _not_served(event.release, served)
        return _not_served(event.previous, served) if event.previous else ""
    if event.kind == "rollback":
        # It is planned once, and preempts faster commands: its state may lie further back.
        if event.previous in {"", *(link.serves for link in chain.links[:at])}:
            return ""
        return _not_served(event.previous, served)
    if event.kind == "recover":
        return _recovery(chain, at, event)
    return _not_served(event.previous, served)


def _recovery(chain: Chain, at: int, event: Event) -> str:
    """A recovery is about the release of a killed command, and restores the one before that."""
    place = chain.request(at)
    killed = chain.links[place].event
    if killed is None or killed.kind == "recover" or event.release != chain.links[place].serves:
        return f"no killed command for {event.release or 'nothing'} precedes it"
    while place and chain.is_pending(place - 1):
        place -= 1
    return _not_served(event.previous, chain.served(place))


def _not_served(named: str, served: str) -> str:
    if named == served:
        return ""
    return f"it names {named or 'nothing'} as served before, the chain {served or 'nothing'}"


def _time(chain: Chain, at: int, link: Link, event: Event) -> str:
    """The release machine gives no event an earlier time than the one before it."""
    before = chain.links[at - 1].event if at else None
    if before is None:
        return ""
    time, earlier = (datetime.fromisoformat(one.time) for one in (event, before))
    if time >= earlier - CLOCKS:
        return ""
    return f"it is dated {event.time}, the event before it {before.time}"


def _release(chain: Chain, at: int, link: Link, event: Event) -> str:
    """The release that should serve after an event is the one that its outcome implies."""
    if link.damage:
        return ""
    if event.outcome == NOTED or event.kind == "drill":
        expected = {chain.served(at)}
    elif event.outcome in (PENDING, VERIFIED):
        expected = {event.release}
    elif event.outcome == FAILED:
        expected = {event.release, event.previous}
    else:
        expected = {event.previous}
    if link.serves not in expected:
        names = " or ".join(sorted(release or "nothing" for release in expected))
        return f"its desired state has {link.serves or 'nothing'}, its outcome implies {names}"
    if link.record and link.serves == event.release and link.record.digest != event.digest:
        return f"its digest is {event.digest}, that of its record {link.record.digest}"
    return ""


def _state(chain: Chain, at: int, link: Link, event: Event) -> str:
    """Only a promotion has a new state; a rollback has one that was verified here."""
    if link.damage or (event.kind == "promote" and event.is_pending):
        return ""
    if event.outcome == NOTED or event.kind == "drill":
        same = link.state == (chain.links[at - 1].state if at else frozenset())
        return "" if same else "it changes the desired state, which it may not"
    if event.kind == "rollback" and event.is_pending:
        places = chain.deployments.get(event.release, [])
        if any(place < at and chain.links[place].state == link.state for place in places):
            return ""
        return f"its state of {event.release} was never verified here"
    if event.outcome == VERIFIED:
        same = link.state == chain.links[chain.cause(at)].state
        return "" if same else "the verified state differs from that of its pending event"
    if link.state and chain.first_states[link.state] == at:
        return "its desired state is new, which only a promotion's may be"
    return ""


def _ends(event: Event) -> bool:
    """Return whether an event is the outcome of a pending one."""
    return not event.is_pending and (event.outcome != NOTED or bool(event.caused_by))


def _short(sha: str = "") -> str:
    return sha[:12] or "nothing"


RULES: tuple[tuple[str, Callable[[Chain, int, Link, Event], str]], ...] = (
    ("event", _words),
    ("cause", _cause),
    ("lock", _lock),
    ("time", _time),
    ("from", _from),
    ("release", _release),
    ("state", _state),
)
