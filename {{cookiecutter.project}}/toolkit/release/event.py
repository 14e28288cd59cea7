"""An event: one entry of an environment's history, and its form in a commit's message."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .errors import HistoryCorrupt
from .git import GitFailed
from .objects import Commit

PENDING, VERIFIED, FAILED, ROLLED_BACK, ABORTED = (
    "pending",
    "verified",
    "failed",
    "rolled-back",
    "aborted",
)
# The outcome of an event that does not change the release that serves, such as a hold.
NOTED = "noted"

KINDS = ("promote", "rollback", "recover", "hold", "unhold", "drill")


@dataclass(frozen=True)
class Event:
    """One entry of an environment's history, a commit on its branch.

    Parameters
    ----------
    kind : str
        promote, rollback, recover, hold, unhold or drill.
    release, digest : str
        The release of the event.
    outcome : str
        pending, verified, failed, rolled-back, aborted or noted.
    previous : str
        The release that served before, or empty.
    id : str
        Makes the event unique: without it two commands of one person in the same second would
        write the same commit, and both would take the lock for theirs.
    """

    kind: str
    release: str
    digest: str
    outcome: str
    previous: str = ""
    actor: str = ""
    approved_by: str = ""
    reviewed_by: str = ""
    gate: str = ""
    canary: str = ""
    reason: str = ""
    lease_until: str = ""
    duration_s: str = ""
    caused_by: str = ""
    id: str = ""
    time: str = ""
    sha: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether this event has no outcome yet: then it is the environment's lock."""
        return self.outcome == PENDING

    def lease_has_run_out(self) -> bool:
        """Whether the command that wrote this pending event counts as dead."""
        return datetime.fromisoformat(self.lease_until) < datetime.now(UTC)


TRAILERS = {
    "Event": "kind",
    "Release": "release",
    "Digest": "digest",
    "Outcome": "outcome",
    "From": "previous",
    "Actor": "actor",
    "Approved-by": "approved_by",
    "Reviewed-by": "reviewed_by",
    "Gate-verdict": "gate",
    "Canary": "canary",
    "Reason": "reason",
    "Lease-until": "lease_until",
    "Duration-s": "duration_s",
    "Caused-by": "caused_by",
    "Event-id": "id",
}


def now() -> datetime:
    """Return the time by this machine's clock, in whole seconds as git keeps it."""
    return datetime.now(UTC).replace(microsecond=0)


def lease(seconds: int) -> str:
    """Return when the lease of a pending event that starts now ends, in UTC."""
    return (now() + timedelta(seconds=seconds)).isoformat()


def new_id() -> str:
    """Return a unique id."""
    return uuid.uuid4().hex


def one_line(text: str) -> str:
    """Fold a text into one line, so that it cannot end a trailer or forge another one."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def subject_of(environment: str, event: Event) -> str:
    """Return the first line of an event's message, the only one that names the environment."""
    return f"{event.kind} {event.release or 'nothing'} in {environment}: {event.outcome}"


def message_of(environment: str, event: Event) -> str:
    """Return the message of an event's commit: a subject, and the trailers."""
    lines = [subject_of(environment, event), ""]
    for trailer, attribute in TRAILERS.items():
        value = one_line(getattr(event, attribute))
        if value:
            lines.append(f"{trailer}: {value}")
    return "\n".join(lines) + "\n"


def event_of(sha: str, commit: Commit) -> Event:
    """Read an event from its commit; `HistoryCorrupt` if it is not one."""
    # A hold of an environment that serves nothing names no release.
    values = {"release": "", "digest": ""}
    try:
        values |= _trailers(commit.message)
        time = commit.signed("committer").time.isoformat(timespec="seconds")
        return Event(**values, time=time, sha=sha)
    except (TypeError, ValueError, GitFailed) as error:
        raise HistoryCorrupt(
            f"the commit {sha[:12]} is not a release event",
            why=str(error),
            state="nothing was changed",
            next_step=f"git show {sha[:12]}; only the release machine writes to env/ branches",
        ) from None


def _trailers(message: str) -> dict[str, str]:
    """Return the fields of an event from its message; those of a later version are passed over."""
    _, _, text = message.partition("\n\n")
    values: dict[str, str] = {}
    for line in text.removesuffix("\n").split("\n"):
        key, colon, value = line.partition(": ")
        if not colon or " " in key:
            raise ValueError(f"the line {line[:100]!r} is no trailer")
        field = TRAILERS.get(key)
        if field in values:
            raise ValueError(f"it has two lines {key!r}")
        if field:
            values[field] = value.strip()
    return values
