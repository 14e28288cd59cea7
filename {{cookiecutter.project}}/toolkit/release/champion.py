"""The champion: the release that an environment serves, or served, for the gate to compare with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

from . import rules
from .errors import PreconditionFailed
from .event import VERIFIED, Event
from .files import write_folder
from .git import REMOTE, GitFailed
from .ledger import Ledger
from .policy import Policy
from .records import sha256
from .releases import Release
from .signing import counted

SCHEMA = 2
FILE_NAME = "champion.json"


@dataclass(frozen=True)
class Champion:
    """What ``champion.json`` says.

    Parameters
    ----------
    environment : str
    release : str or None
        None where no release was verified yet.
    served_since : str or None
        When that release was verified.
    fetched : str
        When the history was read, in UTC.
    checksums : dict of str to str
        File name to its SHA-256, of every file of the release.
    """

    environment: str
    release: str | None
    served_since: str | None
    fetched: str
    checksums: dict[str, str]


def fetch(
    ledger: Ledger,
    policy: Policy,
    environment: str,
    days_ago: int,
    folder: Path,
    now: datetime | None = None,
) -> Champion:
    """Write the release that an environment served some days ago, checked against its record.

    If the environment is younger than that, its first release is the champion. The file says also
    which policies were at its commit: the gate tells what has become laxer since.

    Raises
    ------
    PreconditionFailed
        The release's commit is not in this clone.
        Or the history is at a remote that could not be read: what serves is unknown, not nothing.
    HistoryCorrupt
        The release's bundle is not what was released.
    ArtifactGone
        The release's tag is gone.
    """
    fetched = now or datetime.now(UTC)
    history = _history(ledger, policy, environment)
    event = _serving_at(history, fetched - timedelta(days=days_ago))
    return _write(ledger, environment, event, folder, fetched)


def fetch_of(
    ledger: Ledger, policy: Policy, environment: str, release: Release, folder: Path
) -> Champion:
    """Write the release that an environment served when another was tagged, or that none did.

    Times are whole seconds, and a release can be promoted in the second of its tag: what names a
    release has happened after its tag, and so has all that follows.

    Raises as `fetch`.
    """
    earlier = takewhile(
        lambda event: event.release != release.record.version and _time(event) <= release.tagged,
        reversed(_history(ledger, policy, environment)),
    )
    served = _serving_at([*earlier][::-1], release.tagged)
    return _write(ledger, environment, served, folder, release.tagged)


def _write(
    ledger: Ledger, environment: str, event: Event | None, folder: Path, fetched: datetime
) -> Champion:
    files = ledger.bundle(event.release) if event else {}
    champion = Champion(
        environment=environment,
        release=event.release if event else None,
        served_since=event.time if event else None,
        fetched=fetched.isoformat(timespec="seconds"),
        checksums={name: sha256(content) for name, content in files.items()},
    )
    policies = _policies(ledger, event.release) if event else {}
    document = {"schema": SCHEMA, **asdict(champion), "policies": policies}
    write_folder(folder, files | {FILE_NAME: (json.dumps(document, indent=2) + "\n").encode()})
    return champion


def _policies(ledger: Ledger, version: str) -> dict[str, str]:
    """Return the policy files of a release's commit; bytes that are no text survive JSON."""
    commit = ledger.record(version).commit
    try:
        found = rules.policies(ledger.repository, commit)
    except GitFailed as error:
        raise PreconditionFailed(
            f"the policies of release {version} cannot be read",
            why=f"its commit {commit} is not in this clone: {error}",
            state="nothing was changed",
            next_step="git fetch --unshallow, if this clone is shallow; or git fetch origin",
        ) from None
    return {name: content.decode("utf-8", "surrogateescape") for name, content in found.items()}


def serving_release(ledger: Ledger, policy: Policy, environment: str) -> str | None:
    """Return the release that an environment is meant to serve now; None before the first."""
    history = _history(ledger, policy, environment)
    event = _serving_at(history, datetime.max.replace(tzinfo=UTC))
    return event.release if event else None


def _history(ledger: Ledger, policy: Policy, environment: str) -> list[Event]:
    """Return the events that count; refuse where nobody can say that there are none."""
    history = ledger.history(environment)
    if ledger.unreachable and not history:
        raise PreconditionFailed(
            f"what {environment} serves is unknown",
            why=f"this clone has no history of {environment}, and {REMOTE} could not be read: "
            f"{ledger.unreachable}",
            state="nothing was changed",
            next_step=f"try again when {REMOTE} answers, or in a clone that has env/{environment}",
        )
    return counted(ledger, policy, history)


def _serving_at(history: list[Event], when: datetime) -> Event | None:
    """Return the event that verified the release served at a time; the newest event comes first."""
    verified = [event for event in history if event.outcome == VERIFIED]
    for event in verified:
        if _time(event) <= when:
            return event
    return verified[-1] if verified else None


def _time(event: Event) -> datetime:
    return datetime.fromisoformat(event.time)
