"""What a command would do, decided before it does anything: a value to print and to test."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import (
    ApprovalMissing,
    ArtifactGone,
    ConfigurationError,
    CrashResidue,
    GateRefused,
    HistoryCorrupt,
    Locked,
    NoRollbackTarget,
    PreconditionFailed,
)
from .ledger import FAILED, ROLLED_BACK, VERIFIED, Event, Ledger
from .platforms import Platform
from .policy import Environment
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
    """

    record: Record | None
    files: dict[str, bytes]

    @property
    def version(self) -> str:
        """The release's version, or an empty string."""
        return self.record.version if self.record else ""


@dataclass(frozen=True)
class Plan:
    """One change of one environment.

    Parameters
    ----------
    command : str
        promote or rollback.
    environment : Environment
    record : Record
        The release that will serve.
    before : Serving
        What serves until then.
    history : tuple of Event
        What the plan was made from, the newest first.
    approved_by : str
    nothing_to_do : bool
        Whether the release serves here already.
    warnings : tuple of str
        What whoever types the command should know, though it does not stand in its way.
    """

    command: str
    environment: Environment
    record: Record
    before: Serving
    history: tuple[Event, ...]
    approved_by: str = ""
    nothing_to_do: bool = False
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        name = self.environment.name
        if self.nothing_to_do:
            return f"{name} serves {self.record.version} already: nothing to do"
        lines = [
            f"{self.command} {name}: {self.before.version or 'nothing'} -> {self.record.version}",
            f"  commit    {self.record.commit}",
            f"  digest    {self.record.digest}",
            f"  model     sha256 {self.record.model_sha256}",
            f"  platform  {self.environment.platform}, {self.environment.instances} instances on "
            f"{self.environment.host}:{self.environment.port}",
        ]
        if self.command == "promote":
            lines.append(f"  gate      {self.record.gate}")
            lines.append(f"  approved  {self.approved_by or 'no approval needed'}")
        lines += [f"  warning   {warning}" for warning in self.warnings]
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


def plan_promotion(ledger: Ledger, environment: Environment, version: str | None) -> Plan:
    """Check what a promotion wants: lock, release, gate, order, approval."""
    name = environment.name
    unchanged = f"{name} unchanged"
    history = ledger.history(name)
    refuse_a_lock(history, name)
    ledger.require_remote(unchanged)
    record = chosen_release(ledger, environment, version)
    before = serving(ledger, ledger.head(name))
    if before.version == record.version and history[0].outcome != FAILED:
        return Plan("promote", environment, record, before, tuple(history), nothing_to_do=True)
    damage = record.damage(ledger.bundle(record.version))
    if record.gate != "passed" or damage:
        raise GateRefused(
            f"release {record.version} has no passed gate",
            why=damage or f"its verdict is {record.gate!r}",
            state=unchanged,
            next_step="nox -s train and invoke build on a commit that passes",
        )
    if environment.after and not _was_verified(ledger.history(environment.after), record):
        raise PreconditionFailed(
            f"release {record.version} was not verified in {environment.after}",
            why=f"{name} comes after {environment.after} in release.toml",
            state=unchanged,
            next_step=f"invoke promote --env {environment.after} --version {record.version}",
        )
    approved_by = ledger.approval(name, record) if environment.approval else ""
    if approved_by is None:
        raise ApprovalMissing(
            f"nobody has approved release {record.version} for {name}",
            why=f"no tag approval/{name}/{record.version} names its digest {record.digest}",
            state=unchanged,
            next_step=f"invoke approve --env {name} --version {record.version}",
        )
    return Plan("promote", environment, record, before, tuple(history), approved_by)


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
    history = ledger.history(environment.name)
    before = serving(ledger, ledger.head(environment.name))
    candidates = known_good(history, before.version)
    if version is not None:
        if version not in {event.release for event in history if event.outcome == VERIFIED}:
            raise NoRollbackTarget(
                f"release {version} never served in {environment.name} and was verified",
                state=f"{environment.name} unchanged",
                next_step=f"invoke history --env {environment.name}",
            )
        candidates = [version, *(other for other in candidates if other != version)]
    gone = []
    next_step = "git fetch --tags, or promote a new release"
    for candidate in candidates:
        try:
            record = ledger.record(candidate)
            platform.require(record, ledger.bundle(candidate))
        except (ArtifactGone, ConfigurationError, HistoryCorrupt) as error:
            gone.append(f"{candidate} cannot be had: {error.why or error.what}")
            continue
        if version in (None, candidate):
            events = tuple(history)
            return Plan("rollback", environment, record, before, events, warnings=tuple(gone))
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


def known_good(history: list[Event], current: str) -> list[str]:
    """Return the releases that a rollback may go to, the best first.

    The newest verified one comes first; the current one, every one that was ever rolled back from,
    and every one that failed here are not among them. So a second rollback goes further back.
    """
    bad = {current, ""}
    for event in history:
        if event.kind == "rollback":
            bad.add(event.previous)
        if event.outcome in (FAILED, ROLLED_BACK):
            bad.add(event.release)
    good = [event.release for event in history if event.outcome == VERIFIED]
    return [release for release in dict.fromkeys(good) if release not in bad]


def refuse_a_lock(history: list[Event], environment: str) -> None:
    """Refuse while the newest event is pending: that is the environment's lock."""
    if not history or not history[0].is_pending:
        return
    holder = history[0]
    if holder.lease_has_run_out():
        raise CrashResidue(
            f"a {holder.kind} of {holder.release} in {environment} died half-way",
            why=f"{holder.actor} began it at {holder.time}, its lease ended {holder.lease_until}",
            state=f"{environment} may serve either release",
            next_step=f"invoke recover --env {environment}",
        )
    raise Locked(
        f"{environment} is locked by a {holder.kind} of {holder.release}",
        why=f"{holder.actor} holds it since {holder.time}, at most until {holder.lease_until}",
        state=f"{environment} unchanged by this command",
        next_step=f"wait and try again; invoke rollback --env {environment} goes first, always",
    )


def _was_verified(history: list[Event], record: Record) -> bool:
    return any(
        event.outcome == VERIFIED
        and event.release == record.version
        and event.digest == record.digest
        for event in history
    )
