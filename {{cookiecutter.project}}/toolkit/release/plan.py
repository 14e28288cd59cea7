"""What a command would do, decided before it does anything: a value to print and to test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .checks import Candidate, check, known_bad, refuse_a_lock
from .errors import (
    ArtifactGone,
    ConfigurationError,
    HistoryCorrupt,
    NoRollbackTarget,
    PreconditionFailed,
)
from .event import FAILED, NOTED, VERIFIED, Event
from .git import REMOTE
from .ledger import Ledger
from .platforms.protocol import Platform
from .policy import Environment, Policy
from .records import FILE_NAME, Record, parse


@dataclass(frozen=True)
class Serving:
    """What git says an environment serves.

    Parameters
    ----------
    record : Record or None
        None before the first release.
    files : dict of str to bytes
        The desired state: the record and the platform's manifests.
    damaged : str
        The release whose record here cannot be trusted, or empty: it cannot be brought back.
    """

    record: Record | None
    files: dict[str, bytes]
    damaged: str = ""

    @property
    def version(self) -> str:
        """The release's version, or an empty string."""
        return self.record.version if self.record else self.damaged


@dataclass(frozen=True)
class Step:
    """One step of a change: what the engine does, and what a person reads.

    Parameters
    ----------
    name : str
        lock, preflight, canary, apply, verify or record.
    text : str
    """

    name: str
    text: str


@dataclass(frozen=True)
class Plan:
    """One change of one environment.

    Parameters
    ----------
    command : str
        promote, rollback, recover or drill.
    environment : Environment
    record : Record
        The release that will serve.
    before : Serving
        What serves until then.
    history : tuple of Event
        What the plan was made from, the newest first.
    checks : tuple of (str, str)
        What was asked before, and what was found.
    nothing_to_do : bool
        Whether the release serves here already.
    begun : str
        Of a recovery: the command that died.
    warnings : tuple of str
        What whoever types the command should know, though it does not stand in its way.
    """

    command: str
    environment: Environment
    record: Record
    before: Serving
    history: tuple[Event, ...]
    checks: tuple[tuple[str, str], ...] = ()
    nothing_to_do: bool = False
    begun: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """What will be done, in order; there is a canary only beside what serves already."""
        name, version = self.environment.name, self.record.version
        canary = self.environment.canary if self.command == "promote" else None
        steps = [
            Step("lock", f"lock {name}: write the pending event"),
            Step("preflight", f"bring {version} to the platform"),
            Step("apply", "change over, one instance after the other"),
            Step("verify", "verify /health, /version and /predict of every instance"),
            Step("record", "record the outcome, which frees the lock"),
        ]
        if canary and self.before.record:
            servers = self.environment.instances
            share = f"{canary.instances} of {servers} servers"
            if not servers:
                share = f"{canary.instances} more beside the others"
            least = f"{canary.windows} windows of {canary.window_s} s"
            steps.insert(2, Step("canary", f"canary on {share}, {least} and more if in doubt"))
        if self.begun == "promote":
            # Whoever died did what it could: either that serves, or it is undone.
            steps = [step for step in steps if step.name not in ("preflight", "apply")]
        return tuple(steps)

    @property
    def approved_by(self) -> str:
        """Who approved it, or empty where nobody had to."""
        return dict(self.checks).get("approval", "") if self.environment.approval else ""

    def told(self) -> dict[str, Any]:
        """Return what a machine may want to know of this plan, without any file's content."""
        return {
            "command": self.command,
            "environment": self.environment.name,
            "record": self.record,
            "before": self.before.version,
            "checks": dict(self.checks),
            "warnings": self.warnings,
            "steps": [step.text for step in self.steps],
            "nothing_to_do": self.nothing_to_do,
        }

    def __str__(self) -> str:
        name = self.environment.name
        if self.nothing_to_do:
            return f"{name} serves {self.record.version} already: nothing to do"
        lines = [
            f"{self.command} {name}: {self.before.version or 'nothing'} -> {self.record.version}",
            f"  commit    {self.record.commit}",
            f"  digest    {self.record.digest}",
            f"  model     sha256 {self.record.model_sha256}",
            f"  platform  {self.environment.platform}, {self.environment.place}",
        ]
        lines += [f"  {check:<9} {found}" for check, found in self.checks]
        lines += [f"  warning   {warning}" for warning in self.warnings]
        lines += [f"  {number}. {step.text}" for number, step in enumerate(self.steps, 1)]
        return "\n".join(lines)


def serving(ledger: Ledger, event: str | None) -> Serving:
    """Read what an environment was meant to serve after an event; None: before the first."""
    files = ledger.desired(event) if event else {}
    if not files:
        return Serving(None, {})
    return Serving(parse(files.get(FILE_NAME, b""), f"the event {event}"), files)


def chosen_release(ledger: Ledger, environment: Environment, version: str | None) -> Record:
    """Return the release that a command is about.

    Parameters
    ----------
    version : str or None
        None means the release of HEAD in the first environment, and what the environment before
        serves in every other one.
    """
    unchanged = f"{environment.name} unchanged"
    if version is not None:
        return ledger.record(version)
    if environment.after:
        record = serving(ledger, ledger.head(environment.after)).record
        if record is None:
            raise PreconditionFailed(
                f"{environment.after} serves no release",
                why=f"a release reaches {environment.name} through {environment.after}",
                state=unchanged,
                next_step=f"invoke promote --env {environment.after}",
            )
        return record
    built = ledger.versions_of(ledger.repository.head())
    if len(built) > 1:
        raise ConfigurationError(
            f"{len(built)} releases were built from HEAD",
            why=", ".join(sorted(built)),
            state=unchanged,
            next_step=f"invoke promote --env {environment.name} --version ONE_OF_THEM",
        )
    if not built:
        raise PreconditionFailed(
            "no release was built from HEAD",
            state=unchanged,
            next_step="nox -s train, then invoke build; or name an older one with --version",
        )
    return ledger.record(built[0])


def plan_promotion(
    ledger: Ledger, policy: Policy, environment: Environment, version: str | None
) -> Plan:
    """Choose the release, and ask every check whether it may come here."""
    name = environment.name
    history = ledger.history(name)
    refuse_a_lock(history, name)
    ledger.require_remote(f"{name} unchanged")
    record = chosen_release(ledger, environment, version)
    before = serving(ledger, ledger.head(name))
    changes = [event for event in history if event.outcome != NOTED]
    if before.version == record.version and changes[0].outcome != FAILED:
        return Plan("promote", environment, record, before, tuple(history), nothing_to_do=True)
    candidate = Candidate(
        *(ledger, policy, environment, record, tuple(history)),
        is_named=version is not None,
        now=datetime.now(UTC),
    )
    return Plan("promote", environment, record, before, tuple(history), check(candidate))


def plan_rollback(
    ledger: Ledger, environment: Environment, version: str | None, platform: Platform
) -> Plan:
    """Choose where to go back to: no gate, no approval and no lock stands in the way.

    Parameters
    ----------
    version : str or None
        None means the last known good release that can be had.
    platform : Platform
        Knows which can be had.
    """
    history, strange = ledger.readable_history(environment.name)
    if ledger.unreachable and not history:
        raise PreconditionFailed(
            f"nothing is known here of {environment.name}",
            why=f"its history is at {REMOTE}, which could not be read: {ledger.unreachable}",
            state=f"{environment.name} unchanged",
            next_step="roll back from the clone on the machine that serves, or when it is back",
        )
    before = _served(ledger, environment, history)
    candidates = known_good(history, before.version)
    if version is not None:
        if version not in {event.release for event in history if event.outcome == VERIFIED}:
            raise NoRollbackTarget(
                f"release {version} never served in {environment.name} and was verified",
                state=f"{environment.name} unchanged",
                next_step=f"invoke history --env {environment.name}",
            )
        candidates = [version, *(other for other in candidates if other != version)]
    gone: list[str] = []
    next_step = "git fetch --tags, or promote a new release"
    for candidate in candidates:
        try:
            record = ledger.record(candidate)
            platform.require(record, ledger.bundle(candidate))
            verified_state(ledger, history, record)
        except (ArtifactGone, ConfigurationError, HistoryCorrupt) as error:
            gone.append(f"{candidate} cannot be had: {error.why or error.what}")
            continue
        if version in (None, candidate):
            return Plan(
                *("rollback", environment, record, before, tuple(history)),
                checks=_last_drill(history),
                warnings=tuple(strange + gone),
            )
        # Another one was named: whether this one will do is not for a machine to say.
        next_step = f"invoke rollback --env {environment.name} --version {candidate}"
        break
    if gone:
        raise ArtifactGone(
            f"{environment.name} cannot go back to {version or 'any release'}",
            why="\n".join(gone),
            state=f"{environment.name} unchanged",
            next_step=next_step,
        )
    raise NoRollbackTarget(
        f"{environment.name} has nothing to go back to",
        why="no other release was verified here and never rolled back from",
        state=f"{environment.name} unchanged",
        next_step=f"invoke history --env {environment.name}; then promote a release that is good",
    )


def verified_state(ledger: Ledger, history: Sequence[Event], record: Record) -> dict[str, bytes]:
    """Return the state in which a release was verified: a rollback brings back just that."""
    why = "it was never verified"
    for event in history:
        if event.release == record.version and event.outcome == VERIFIED:
            try:
                state = serving(ledger, event.sha)
            except HistoryCorrupt as error:
                why = f"{error.what}: {error.why}"
                continue
            if state.record == record:
                return state.files
            why = f"the event {event.sha} holds another record than its tag"
    raise HistoryCorrupt(
        f"no verified state of release {record.version} can be read",
        why=why,
        state="nothing was changed",
        next_step="git fsck; or choose another release",
    )


def _served(ledger: Ledger, environment: Environment, history: list[Event]) -> Serving:
    """Return what serves; a damaged record keeps nobody from going back to a good one."""
    head = ledger.head(environment.name)
    try:
        return serving(ledger, head)
    except HistoryCorrupt:
        assert head and history, "there is no damage where nothing is"
        return Serving(None, ledger.desired(head), damaged=history[0].release)


def known_good(history: list[Event], current: str) -> list[str]:
    """Return the releases that a rollback may go to, the best first.

    The newest verified one comes first; the current one, every one that was ever rolled back from,
    and every one that failed here are not among them. So a second rollback goes further back.
    """
    bad = known_bad(history) | {current, ""}
    good = [event.release for event in history if event.outcome == VERIFIED]
    return [release for release in dict.fromkeys(good) if release not in bad]


def _last_drill(history: list[Event]) -> tuple[tuple[str, str], ...]:
    """Return how long a rollback took when it was practised last, as a plan tells it."""
    for event in history:
        if event.kind == "drill" and event.duration_s:
            return (("drill", f"{event.duration_s} s when it was practised, {event.time}"),)
    return (("drill", "never practised: invoke drill"),)
