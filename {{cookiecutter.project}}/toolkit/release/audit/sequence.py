"""What must hold of every event where it stands in its chain, whatever it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..event import ABORTED, FAILED, KINDS, NOTED, PENDING, ROLLED_BACK, VERIFIED, Event, subject_of
from .chain import Chain, Link

# What an end repeats of its beginning.
SAME = ("kind", "release", "digest", "previous", "actor", "approved_by", "reviewed_by", "gate")
OUTCOMES = (PENDING, VERIFIED, FAILED, ROLLED_BACK, ABORTED, NOTED)


def complaints(chain: Chain, at: int) -> Iterator[tuple[str, str]]:
    """Yield each rule that an event breaks, and how."""
    link = chain.links[at]
    yield from link.damage
    if not any(rule == "object" for rule, _ in link.damage):
        yield from _named("parent", _parent(chain, at))
    if link.event:
        for rule, ask in RULES:
            yield from _named(rule, ask(chain, at, link, link.event))


def _named(rule: str, complaint: str) -> Iterator[tuple[str, str]]:
    if complaint:
        yield rule, complaint


def _parent(chain: Chain, at: int) -> str:
    parents = chain.links[at].parents
    if len(parents) > 1:
        return f"it is a merge of {len(parents)} histories"
    if at and parents != (chain.links[at - 1].sha,):
        return f"git shows {chain.links[at - 1].sha[:12]} before it, it names {_short(*parents)}"
    if not at and parents:
        return f"it comes after {_short(*parents)}, which this history does not have: a graft?"
    return ""


def _words(chain: Chain, at: int, link: Link, event: Event) -> str:
    if event.kind not in KINDS:
        return f"{event.kind!r} is nothing that the release machine does"
    if event.outcome not in OUTCOMES:
        return f"{event.outcome!r} is no outcome"
    expected = subject_of(chain.environment, event)
    return "" if link.subject == expected else f"it says {link.subject!r}, not {expected!r}"


def _cause(chain: Chain, at: int, link: Link, event: Event) -> str:
    """An event that ends another one comes right after that one, and is about the same."""
    if not _ends(event):
        return "it begins something, and names a cause" if event.caused_by else ""
    cause = chain.cause(at)
    if cause == at:
        known = any(link.sha == event.caused_by for link in chain.links[:at])
        where = "is not the event before it" if known else "is not in the history before it"
        return f"it ends {_short(event.caused_by)}, which {where}: rewritten, or reordered"
    begun = chain.links[cause].event
    if begun is None or not begun.is_pending:
        return f"it ends {_short(event.caused_by)}, which had nothing to end"
    for what in SAME:
        before, now = getattr(begun, what), getattr(event, what)
        if before != now:
            return f"what it ends has the {what} {before or 'nothing'}, and it {now or 'nothing'}"
    return ""


def _lock(chain: Chain, at: int, link: Link, event: Event) -> str:
    """What begins waits for the end of what was begun before it, or may go before that."""
    before = chain.links[at - 1].event if at else None
    if before is None or not before.is_pending or _ends(event):
        return ""
    if event.is_pending and event.kind in ("rollback", "recover"):
        return ""
    return f"the {before.kind} before it, {_short(before.sha)}, held the lock and never ended"


def _from(chain: Chain, at: int, link: Link, event: Event) -> str:
    """What an event says to have served before it is what the chain has served."""
    served = chain.served(at)
    if _ends(event):
        return ""  # It says what its beginning says.
    if event.outcome == NOTED:
        if event.kind in ("hold", "unhold") and event.release != served:
            return _not_served(event.release, served)
        return _not_served(event.previous, served) if event.previous else ""
    if event.kind == "rollback":
        # It plans once, and goes before whoever was faster: what it saw may lie further back.
        if event.previous in {"", *(link.serves for link in chain.links[:at])}:
            return ""
        return _not_served(event.previous, served)
    if event.kind == "recover":
        return _recovery(chain, at, event)
    return _not_served(event.previous, served)


def _recovery(chain: Chain, at: int, event: Event) -> str:
    """A recovery is about what a dead command wanted, and goes back to what served before that."""
    wish = chain.wish(at)
    dead = chain.links[wish].event
    if dead is None or dead.kind == "recover" or event.release != chain.links[wish].serves:
        return f"no command wanted {event.release or 'nothing'} before it and died"
    while wish and chain.is_pending(wish - 1):
        wish -= 1
    return _not_served(event.previous, chain.served(wish))


def _not_served(said: str, served: str) -> str:
    if said == served:
        return ""
    return f"it says that {said or 'nothing'} served before, and {served or 'nothing'} did"


def _release(chain: Chain, at: int, link: Link, event: Event) -> str:
    """The release that should serve after an event is what its outcome means."""
    if link.damage:
        return ""
    if event.outcome == NOTED or event.kind == "drill":
        wanted = {chain.served(at)}
    elif event.outcome in (PENDING, VERIFIED):
        wanted = {event.release}
    elif event.outcome == FAILED:
        wanted = {event.release, event.previous}
    else:
        wanted = {event.previous}
    if link.serves not in wanted:
        meant = " or ".join(sorted(release or "nothing" for release in wanted))
        return f"{link.serves or 'nothing'} should serve after it, and {meant} is meant"
    if link.record and link.serves == event.release and link.record.digest != event.digest:
        return f"it names the digest {event.digest}, the record has {link.record.digest}"
    return ""


def _state(chain: Chain, at: int, link: Link, event: Event) -> str:
    """Only a promotion brings files that were never there; a rollback, what was verified here."""
    if link.damage or (event.kind == "promote" and event.is_pending):
        return ""
    if event.outcome == NOTED or event.kind == "drill":
        same = link.state == (chain.links[at - 1].state if at else frozenset())
        return "" if same else "it changes what should serve, and may not"
    if event.kind == "rollback" and event.is_pending:
        places = chain.brought.get(event.release, [])
        if any(place < at and chain.links[place].state == link.state for place in places):
            return ""
        return f"it goes back to a state of {event.release} that was never verified here"
    if event.outcome == VERIFIED:
        same = link.state == chain.links[chain.cause(at)].state
        return "" if same else "what was verified is not what was begun"
    if link.state and chain.first_states[link.state] == at:
        return "what should serve after it was never there before"
    return ""


def _ends(event: Event) -> bool:
    """Tell whether an event is the end of another one, and neither a beginning nor a note."""
    return not event.is_pending and (event.outcome != NOTED or bool(event.caused_by))


def _short(sha: str = "") -> str:
    return sha[:12] or "nothing"


RULES: tuple[tuple[str, Callable[[Chain, int, Link, Event], str]], ...] = (
    ("event", _words),
    ("cause", _cause),
    ("lock", _lock),
    ("from", _from),
    ("release", _release),
    ("state", _state),
)
