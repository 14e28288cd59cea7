"""An event: one entry of an environment's history, and its form in a commit's message."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .errors import HistoryCorrupt

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

# git prints these between fields and between trailers; no name or reason may contain them.
FIELD, TRAILER = "\x1f", "\x1e"
# The format in which `git log -z` prints an event's commit.
LAYOUT = FIELD.join(("%H", "%cI", f"%(trailers:only,unfold,separator={TRAILER})"))


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


def lease(seconds: int) -> str:
    """Return when the lease of a pending event that starts now ends, in UTC."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


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


def sha_of(entry: str) -> str:
    """Return the commit of an entry that `LAYOUT` has printed."""
    return entry.partition(FIELD)[0]


def event_of(entry: str) -> Event:
    """Parse a commit in the format of `LAYOUT`; `HistoryCorrupt` if it is not an event."""
    sha, when, trailers = entry.split(FIELD, 2)
    # A hold of an environment that serves nothing names no release.
    values = {"release": "", "digest": ""}
    for trailer in trailers.split(TRAILER):
        key, _, value = trailer.partition(": ")
        if key in TRAILERS:
            values[TRAILERS[key]] = value.strip()
    try:
        return Event(**values, time=when, sha=sha)
    except TypeError as error:
        raise HistoryCorrupt(
            f"the commit {sha[:12]} is not a release event",
            why=str(error),
            state="nothing was changed",
            next_step=f"git show {sha[:12]}; only the release machine writes to env/ branches",
        ) from None
