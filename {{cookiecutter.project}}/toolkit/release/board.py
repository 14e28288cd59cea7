"""The release board: one page with what every environment serves, its history and the audit."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment as Pages
from jinja2 import FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .audit import Audit
from .audit.chain import Chain
from .canary.picture import picture
from .checks import hold_of
from .errors import ReleaseError
from .event import ABORTED, FAILED, NOTED, PENDING, ROLLED_BACK, VERIFIED, Event
from .ledger import Ledger
from .policy import Policy
from .records import EVIDENCE_NAME, Record
from .status import UNFINISHED, story

FIGURES = 8
# Each colour has a sign too.
LEVELS = {
    VERIFIED: "good",
    PENDING: "warn",
    UNFINISHED: "warn",
    ROLLED_BACK: "bad",
    FAILED: "bad",
    ABORTED: "bad",
    NOTED: "quiet",
}
MARKS = {"good": "✓", "warn": "▲", "bad": "✗", "quiet": "·"}


@dataclass(frozen=True)
class Standing:
    """The state of one environment.

    Parameters
    ----------
    environment : str
    record : Record or None
        None where nothing should serve.
    since : Event or None
        The event since when it serves.
    request : Event or None
        The command that deployed it, which names those who approved.
    states : tuple of (str, str)
        Whether the environment takes releases: a level of `MARKS`, and a sentence.
    gate : str
        The verdict in the release's evidence.
    figures : tuple of (str, str)
        Some of the evidence's metrics, whatever they mean.
    """

    environment: str
    record: Record | None
    since: Event | None
    request: Event | None
    states: tuple[tuple[str, str], ...]
    gate: str
    figures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """One line of the timeline.

    Parameters
    ----------
    environment : str
    event : Event
    level : str
        One of `MARKS`.
    picture : Markup
        Of its canary, or empty.
    """

    environment: str
    event: Event
    level: str
    picture: Markup


def page(audit: Audit, ledger: Ledger, policy: Policy, now: datetime) -> bytes:
    """Return the board as one HTML page that loads nothing from elsewhere."""
    pages = Pages(
        loader=FileSystemLoader(Path(__file__).with_name("pages")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"when": when, "name": lambda person: person.partition(" <")[0]}
    text = pages.get_template("board.html").render(
        project=policy.project,
        now=now.isoformat(),
        audit=audit,
        standings=[
            _standing(chain, ledger, policy, now) for chain in audit.chains.values() if chain.links
        ],
        timeline=timeline(audit, ledger),
        bad={finding.event for finding in audit.findings},
        marks=MARKS,
    )
    return text.encode()


def when(time: str) -> str:
    """Return a time in UTC, to the second."""
    return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if time else ""


def timeline(audit: Audit, ledger: Ledger) -> list[Row]:
    """Return every change of every environment, the newest first.

    Within an environment the chain gives the order; between two, the clocks do.
    """
    rows = [list(_rows(chain, ledger)) for chain in audit.chains.values()]
    merged = heapq.merge(
        *rows, key=lambda row: datetime.fromisoformat(row.event.time), reverse=True
    )
    return list(merged)


def _rows(chain: Chain, ledger: Ledger) -> Iterator[Row]:
    for event in story(chain.events()):
        svg = picture(_analysis(ledger, event)) if event.canary else ""
        level = LEVELS.get(event.outcome, "bad")
        yield Row(chain.environment, event, level, Markup(svg))


def _analysis(ledger: Ledger, event: Event) -> Mapping[str, Any]:
    try:
        analysis = ledger.analysis(event.sha)
    except ValueError:
        return {}
    return analysis if isinstance(analysis, Mapping) else {}


def _standing(chain: Chain, ledger: Ledger, policy: Policy, now: datetime) -> Standing:
    settled = [link for link in chain.links if not (link.event and link.event.is_pending)]
    newest = settled[-1] if settled else chain.links[0]
    since = request = None
    if newest.record and newest.serves in chain.deployments:
        place = chain.deployments[newest.serves][-1]
        since, request = chain.links[place].event, chain.links[chain.request(place)].event
    gate, figures = _evidence(ledger, newest.serves) if newest.record else ("", ())
    states = tuple(_states(chain, policy, now)) or (("good", "takes releases"),)
    return Standing(chain.environment, newest.record, since, request, states, gate, figures)


def _states(chain: Chain, policy: Policy, now: datetime) -> Iterator[tuple[str, str]]:
    events = chain.events()
    if events and events[0].is_pending:
        yield "warn", f"a {events[0].kind} of {events[0].release} is running, or was killed"
    hold = hold_of(events)
    if hold:
        yield (
            "warn",
            f"on hold since a {hold.kind}, {when(hold.time)}: {hold.reason or 'no reason'}",
        )
    for freeze in policy.freezes:
        end = freeze.end(now) if chain.environment in freeze.environments else None
        if end:
            yield "warn", f"frozen until {when(end.isoformat())}: {freeze.name}"


def _evidence(ledger: Ledger, version: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the gate's verdict on a release and some of its figures, where they can be read."""
    try:
        evidence = json.loads(ledger.bundle(version)[EVIDENCE_NAME])
        metrics = evidence.get("metrics")
        verdict = str(evidence["verdict"])
    except (ReleaseError, ValueError, KeyError, AttributeError):
        return "its evidence cannot be read", ()
    figures = metrics.items() if isinstance(metrics, dict) else ()
    texts = ((name, _figure(value)) for name, value in figures)
    return verdict, tuple(islice(((name, text) for name, text in texts if text), FIGURES))


def _figure(value: Any) -> str:
    """Return a metric as a text: a number, or the ``value`` of an estimate; else nothing."""
    if isinstance(value, Mapping):
        value = value.get("value")
    return f"{value:.4g}" if type(value) in (int, float) else ""
