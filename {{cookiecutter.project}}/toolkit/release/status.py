"""The status of an environment: what it serves, what it should serve, and its history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from .checks import hold_of, way_out
from .engine import Machine
from .errors import NotServing, ReleaseError, Unreachable
from .event import Event
from .git import REMOTE
from .ledger import Ledger
from .plan import Serving, held_against, known_good, serving
from .platforms.protocol import Observation, Unseen
from .policy import Environment
from .records import Record
from .signing import counted

UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Status:
    """The state of one environment, in git and on its platform.

    Parameters
    ----------
    environment : str
    release : str
        The release that should serve, by git, or empty.
    newest : Event or None
        The newest event.
    observation : Observation or None
        What runs; None where the platform cannot be reached.
    drift : str
        How the two differ, or empty.
    unseen : str
        Why it cannot be seen what runs, or whether somebody has changed it, and what to do; or
        empty. Nobody knows then whether the two differ.
    hold : Event or None
        The event that keeps releases out, or None.
    owed : int
        How many events the remote lacks, as far as this clone knows.
    is_verified : bool
        Whether what should serve was verified there; what was not is never deployed.
    lacks : int
        How many objects that a rollback may need are not in this partial clone.
    targets : mapping of str to str
        The releases that a rollback may choose, as many as are kept, the best first, each with why
        it could not start now, or an empty text.
    """

    environment: str
    release: str
    newest: Event | None
    observation: Observation | None
    drift: str
    unseen: str = ""
    hold: Event | None = None
    owed: int = 0
    is_verified: bool = True
    lacks: int = 0
    targets: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.newest is None:
            return f"{self.environment:<10} no release yet"
        lines = [
            f"{self.environment:<10} {self.release or 'nothing'}",
            f"{'':<10} {describe(self.newest)}",
        ]
        if self.observation and self.observation.instances:
            ready = sum(instance.state == "ready" for instance in self.observation.instances)
            lines.append(
                f"{'':<10} {ready} of {len(self.observation.instances)} instances ready on "
                f"{self.observation.endpoint}"
            )
        if self.hold:
            lines.append(
                f"{'':<10} on hold since a {self.hold.kind} at {self.hold.time}; "
                f"next: invoke unhold --env {self.environment}"
            )
        if self.owed:
            lines.append(
                f"{'':<10} push owed: {REMOTE} lacks {self.owed} of its events; "
                f"next: invoke recover --env {self.environment}"
            )
        if self.lacks:
            lines.append(
                f"{'':<10} a rollback may not find its release: this partial clone lacks "
                f"{self.lacks} objects; next: invoke status, when {REMOTE} answers, fetches them"
            )
        for target, why in self.targets.items():
            if why:
                lines.append(f"{'':<10} rollback to {target} could not start now: {why}")
        if self.unseen:
            lines.append(f"{'':<10} cannot be seen: {self.unseen}")
        if self.newest.is_pending:
            lines.append(f"{'':<10} locked; next: {way_out(self.newest, self.environment)}")
        if self.drift:
            is_deployable = self.is_verified and not self.newest.is_pending
            what_next = f"; next: invoke deploy --env {self.environment}" if is_deployable else ""
            lines.append(f"{'':<10} drift: {self.drift}{what_next}")
        if not self.is_verified:
            lines.append(
                f"{'':<10} {self.release} was never verified there in this state; "
                f"next: invoke rollback --env {self.environment}"
            )
        return "\n".join(lines)


def look(machine: Machine, ledger: Ledger, environment: Environment) -> Status:
    """Compare the desired state in git with what runs."""
    history = ledger.history(environment.name)
    counting = counted(ledger, machine.policy, history)
    desired = serving(ledger, ledger.head(environment.name))
    is_locked = bool(history) and history[0].is_pending
    observation, drift, unseen = _compare(machine, environment, desired)
    return Status(
        environment=environment.name,
        release=desired.version,
        newest=history[0] if history else None,
        observation=observation,
        drift=drift,
        unseen=unseen if desired.version else "",
        hold=hold_of(counting),
        owed=ledger.owed(environment.name),
        is_verified=is_locked or held_against(ledger, counting, desired).is_verified,
        lacks=ledger.lacks(),
        targets=_targets(machine, ledger, environment, known_good(counting, desired.version)),
    )


def _compare(
    machine: Machine, environment: Environment, desired: Serving
) -> tuple[Observation | None, str, str]:
    """Return what runs, how it differs from the desired state, and why that cannot be seen."""
    try:
        observation = machine.observe(environment)
    except ReleaseError as error:
        # Such as another cluster, or a missing program.
        return None, "", f"{error.what}: {error.why}; next: {error.next_step}"
    again = f"next, when it answers: invoke status --env {environment.name}"
    if isinstance(observation, Unseen):
        return None, "", f"{observation.trouble}; {again}"
    seen, unseen = [observation.drift(desired.version)], ""
    try:
        if observation.instances:
            seen.append(machine.changed(environment, desired))
    except Unreachable as error:
        unseen = f"{error}; {again}"
    except ReleaseError as error:
        seen.append(error.why)
    return observation, "; ".join(one for one in seen if one), unseen


def _targets(
    machine: Machine, ledger: Ledger, environment: Environment, releases: list[str]
) -> dict[str, str]:
    """Return why each of the first releases could not start now, or an empty text."""
    found: dict[str, str] = {}
    records: list[Record] = []
    for release in releases[: machine.policy.keep]:
        try:
            records.append(ledger.record(release))
            found[release] = ""
        except ReleaseError as error:
            found[release] = error.why or error.what
    try:
        return found | (machine.unready(environment, records) if records else {})
    except (NotServing, Unreachable, ReleaseError, OSError):
        return {}  # The platform cannot be asked, of which the drift tells.


def story(history: list[Event]) -> list[Event]:
    """Return one event for each change, the newest first.

    A pending event with a known outcome is left out; one that was preempted or killed is
    unfinished, unless it is the newest: that one is the lock.
    """
    concluded = {event.caused_by for event in history}
    changes = [event for event in history if not (event.is_pending and event.sha in concluded)]
    return changes[:1] + [
        replace(event, outcome=UNFINISHED) if event.is_pending else event for event in changes[1:]
    ]


def describe(event: Event) -> str:
    """Return one event as one line."""
    when = datetime.fromisoformat(event.time).astimezone(UTC)
    line = f"{when:%Y-%m-%d %H:%M:%S}Z  {event.kind:<8}  {event.release or 'nothing':<21}  "
    details = [_name(event.actor)]
    if event.approved_by:
        approvers = ", ".join(_name(one) for one in event.approved_by.split(", "))
        details.append(f"approved by {approvers}")
    if event.previous:
        details.append(f"from {event.previous}")
    if event.duration_s:
        details.append(f"in {event.duration_s} s")
    if event.reviewed_by:
        details.append(f"reviewed by {event.reviewed_by}")
    if event.canary:
        details.append(f"canary {event.canary}")
    if event.reason:
        details.append(f"because: {event.reason}")
    return line + f"{event.outcome:<11}  " + ", ".join(details)


def _name(person: str) -> str:
    """Return the name in ``Name <email>``; the history in git, and ``--json``, have both."""
    return person.partition(" <")[0]
