"""The plan of a command, made before it changes anything: a value to print and to test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeGuard

from . import audit, rules
from .checks import Candidate, check, known_bad, refuse_a_lock, require_completeness, way_out
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
from .platforms.protocol import Observation, Platform
from .policy import Environment, Policy
from .policy_file import at_commit, deciding_commit
from .records import FILE_NAME, Record, parse
from .signing import counted

# The version of the commit that is checked out: a job promotes its own, whatever others did since.
OF_HEAD = "HEAD"


@dataclass(frozen=True)
class Serving:
    """The state that an environment should serve, by git.

    Parameters
    ----------
    record : Record or None
        None before the first release.
    files : dict of str to bytes
        The desired state: the record and the platform's manifests.
    damaged : str
        The release whose record cannot be trusted, or empty: it cannot be restored.
    is_verified : bool
        Whether an event says that this state was verified there. No other is ever restored:
        anybody who may push can write an event that failed, and keeps a state of theirs.
    """

    record: Record | None
    files: dict[str, bytes]
    damaged: str = ""
    is_verified: bool = True

    @property
    def version(self) -> str:
        """The release's version, or an empty string."""
        return self.record.version if self.record else self.damaged


@dataclass(frozen=True)
class Step:
    """One step of a change.

    Parameters
    ----------
    name : str
        lock, preflight, canary, apply, verify or record.
    text : str
        For people.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Plan:
    """A planned change of one environment.

    Parameters
    ----------
    command : str
        promote, rollback, recover or drill.
    environment : Environment
    record : Record
        The release that will serve.
    before : Serving
        The state until then.
    history : tuple of Event
        The history that the plan was made from, the newest first; of a rollback, which waits for
        nobody, only the events that count.
    checks : tuple of (str, str)
        Each check that was run, and its result.
    nothing_to_do : bool
        Whether the release serves here already.
    begun : str
        Of a recovery: the command that was killed.
    warnings : tuple of str
        What the user should know before going on.
    rules : tuple of str
        What has changed, since the release that serves, of what decides about one.
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
    rules: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, in order; there is a canary only if another release serves already."""
        name, version = self.environment.name, self.record.version
        canary = self.environment.canary if self.command == "promote" else None
        steps = [
            Step("lock", f"lock {name}: write the pending event"),
            Step("preflight", f"stage {version} on the platform"),
            Step("apply", "rolling update, one instance at a time"),
            Step("verify", "verify /health, /version and /predict of every instance"),
            Step("record", "record the outcome, which releases the lock"),
        ]
        if canary and self.before.record:
            servers = self.environment.instances
            share = f"{canary.instances} of {servers} servers"
            if not servers:
                share = f"{canary.instances} additional server{'s' * (canary.instances > 1)}"
            least = f"{canary.windows} windows of {canary.window_s} s"
            text = f"canary on {share}, beside a control; {least}, or more if in doubt"
            steps.insert(2, Step("canary", text))
        if self.begun == "promote":
            # The killed command did what it could: either that serves, or it is undone.
            steps = [step for step in steps if step.name not in ("preflight", "apply")]
        return tuple(steps)

    @property
    def approved_by(self) -> str:
        """Who approved it, or empty where no approval is required."""
        return dict(self.checks).get("approval", "") if self.environment.approval else ""

    def summary(self) -> dict[str, Any]:
        """Return the plan for ``--json``, without the content of any file."""
        return {
            "command": self.command,
            "environment": self.environment.name,
            "record": self.record,
            "before": self.before.version,
            "checks": dict(self.checks),
            "warnings": self.warnings,
            "rules": self.rules,
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
        lines += rules.section(self.rules)
        lines += [f"  warning   {warning}" for warning in self.warnings]
        lines += [f"  {number}. {step.text}" for number, step in enumerate(self.steps, 1)]
        return "\n".join(lines)


def serving(ledger: Ledger, event: str | None) -> Serving:
    """Read the state that an environment should serve after an event; None: before the first."""
    files = ledger.desired(event) if event else {}
    if not files:
        return Serving(None, {})
    return Serving(parse(files.get(FILE_NAME, b""), f"the event {event}"), files)


def chosen_release(ledger: Ledger, environment: Environment, version: str | None) -> Record:
    """Return the release that a command will promote or approve.

    Parameters
    ----------
    version : str or None
        None means the release of HEAD in the first environment, and in every other one the release
        that the environment before it serves; `OF_HEAD` that of HEAD in any.
    """
    if is_named(version):
        return ledger.record(version)
    if version == OF_HEAD or not environment.after:
        return _release_of_head(ledger, environment)
    record = serving(ledger, ledger.head(environment.after)).record
    if record is None:
        raise PreconditionFailed(
            f"{environment.after} serves no release",
            why=f"a release reaches {environment.name} through {environment.after}",
            state=f"{environment.name} unchanged",
            next_step=f"invoke promote --env {environment.after}",
        )
    return record


def is_named(version: str | None) -> TypeGuard[str]:
    """Whether a command names one release, which then may be older than what serves."""
    return version not in (None, OF_HEAD)


def _release_of_head(ledger: Ledger, environment: Environment) -> Record:
    unchanged = f"{environment.name} unchanged"
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
            next_step="nox -s train, then invoke build --push; or an older release with --version",
        )
    return ledger.record(built[0])


def plan_promotion(
    ledger: Ledger,
    policy: Policy,
    environment: Environment,
    version: str | None,
    observe: Callable[[Environment], Observation],
) -> Plan:
    """Choose the release, and run every check on it; ``observe`` returns what another runs."""
    name = environment.name
    history = ledger.history(name)
    refuse_a_lock(history, name)
    ledger.require_remote(f"{name} unchanged")
    record = chosen_release(ledger, environment, version)
    counting = counted(ledger, policy, history)
    before = held_against(ledger, counting, serving(ledger, ledger.head(name)))
    changes = [event for event in history if event.outcome != NOTED]
    is_there = before.is_verified and before.version == record.version
    if is_there and changes[0].outcome != FAILED:
        return Plan("promote", environment, record, before, tuple(history), nothing_to_do=True)
    candidate = Candidate(
        *(ledger, policy, environment, record, tuple(counting), base_of(before)),
        is_named=is_named(version),
        now=datetime.now(UTC),
        observe=observe,
    )
    found = check_by_all(candidate)
    changed: tuple[str, ...] = ()
    if before.record:
        changed = rules.changes(ledger.repository, before.record.commit, record.commit)
    return Plan("promote", environment, record, before, tuple(history), found, rules=changed)


def check_by_all(candidate: Candidate) -> tuple[tuple[str, str], ...]:
    """Run every check by the policy of this working tree, and by the one that was merged.

    The audit asks for what the release's own commit wanted; what is wanted since then is newer.
    """
    found = check(candidate)
    ledger, record = candidate.ledger, candidate.record
    anchor = ledger.anchor
    is_merged = anchor is not None and ledger.repository.is_ancestor(record.commit, anchor)
    read = partial(ledger.repository.read, "cat-file", "blob")
    commit = deciding_commit(record, anchor, is_merged)
    merged = at_commit(read, commit, candidate.policy)
    # Older releases keep the form of their time.
    require_completeness(replace(candidate, policy=merged))
    names = {one.name: one for one in merged.environments}
    environment = names.get(candidate.environment.name)
    if environment and merged is not candidate.policy:
        check(replace(candidate, policy=merged, environment=environment))
    return found


def base_of(before: Serving) -> str | None:
    """Return the commit of the release that serves, or None."""
    return before.record.commit if before.record else None


def plan_rollback(
    ledger: Ledger,
    policy: Policy,
    environment: Environment,
    version: str | None,
    platform: Platform,
) -> Plan:
    """Choose the target of a rollback, which neither a gate, an approval nor a lock prevents.

    Parameters
    ----------
    version : str or None
        None means the last known good release that is still available, and whose promotion breaks
        no rule of the audit: anybody may have written the event that calls it verified. Whoever
        names a release decides that for themselves.
    platform : Platform
        Knows which releases are available.
    """
    history, unreadable = ledger.readable_history(environment.name)
    if ledger.unreachable and not history:
        raise PreconditionFailed(
            f"this clone has no history of {environment.name}",
            why=f"it is at {REMOTE}, which could not be read: {ledger.unreachable}",
            state=f"{environment.name} unchanged",
            next_step="roll back from a clone with its history, or when the remote is back",
        )
    counting = counted(ledger, policy, history)
    head = ledger.head(environment.name)
    before = _state_after(ledger, head, history[0].release if history else "", counting)
    lock = history[0] if history and history[0].is_pending else None
    candidates = known_good(counting, before.version)
    if lock:
        candidates = list(dict.fromkeys([*candidates, *_last_resort(history, counting, before)]))
    if version is not None:
        if version not in {event.release for event in counting if event.outcome == VERIFIED}:
            raise NoRollbackTarget(
                f"release {version} was never verified in {environment.name}",
                state=f"{environment.name} unchanged",
                next_step=f"invoke history --env {environment.name}",
            )
        candidates = [version, *(other for other in candidates if other != version)]
    gone: list[str] = []
    named = ""
    next_step = "git fetch --tags, or promote a new release"
    locked = f"; locked until {lock.lease_until}" if lock else ""
    if lock:
        next_step = f"git fetch --tags; or {way_out(lock, environment.name)}"
    with audit.doubting(ledger, policy, environment.name) as doubts_of:
        for candidate in candidates:
            try:
                record = ledger.record(candidate)
                platform.require(record, ledger.bundle(candidate))
                event, _ = verified_state(ledger, counting, record)
            except (ArtifactGone, ConfigurationError, HistoryCorrupt) as error:
                gone.append(f"{candidate} is not available: {error.why or error.what}")
                continue
            doubts = [] if ledger.unreachable else doubts_of(event)
            if doubts:
                doubtful = f"{candidate} is not to be trusted: {'; '.join(doubts)}"
                gone.append(doubtful)
                if version is None:
                    named = (
                        named or f"invoke rollback --env {environment.name} --version {candidate}"
                    )
                    continue
            if version in (None, candidate):
                if lock and candidate == before.version:
                    # The way back that was killed is gone once more, from where it began.
                    ended = next((one for one in history if not one.is_pending), None)
                    sha, release = (ended.sha, ended.release) if ended else (None, "")
                    before = _state_after(ledger, sha, release, counting)
                return Plan(
                    *("rollback", environment, record, before, tuple(counting)),
                    checks=_last_drill(counting),
                    warnings=tuple(unreadable + gone),
                )
            # Another release was named: whether this one will do is for people to decide.
            next_step = f"invoke rollback --env {environment.name} --version {candidate}"
            break
    if gone:
        raise ArtifactGone(
            f"{environment.name} cannot be rolled back to {version or 'any release'}",
            why="\n".join(gone),
            state=f"{environment.name} unchanged{locked}",
            next_step=f"invoke audit; if you trust it all the same: {named}"
            if named
            else next_step,
        )
    raise NoRollbackTarget(
        f"{environment.name} has no release to roll back to",
        why="no other release was verified here and not found bad since",
        state=f"{environment.name} unchanged{locked}",
        next_step=way_out(lock, environment.name)
        if lock
        else f"invoke history --env {environment.name}; then a good release: "
        f"invoke promote --env {environment.name}",
    )


def verified_state(
    ledger: Ledger, history: Sequence[Event], record: Record
) -> tuple[str, dict[str, bytes]]:
    """Return the newest event that verified a release, and its state, which a rollback restores."""
    why = "it was never verified"
    for event in history:
        if event.release == record.version and event.outcome == VERIFIED:
            try:
                state = serving(ledger, event.sha)
            except HistoryCorrupt as error:
                why = f"{error.what}: {error.why}"
                continue
            if state.record == record:
                return event.sha, state.files
            why = f"the event {event.sha} has another record than the release's tag"
    raise HistoryCorrupt(
        f"no verified state of release {record.version} can be read",
        why=why,
        state="nothing was changed",
        next_step="git fsck; or choose another release",
    )


def held_against(ledger: Ledger, history: Sequence[Event], state: Serving) -> Serving:
    """Return a state, and whether an event of its environment says that it was verified."""
    found = state.record is None or any(
        event.release == state.version
        and event.outcome == VERIFIED
        and ledger.desired(event.sha) == state.files
        for event in history
    )
    return replace(state, is_verified=found)


def _state_after(ledger: Ledger, sha: str | None, release: str, counting: list[Event]) -> Serving:
    """Return the state after an event of a release; a damaged record prevents no rollback."""
    try:
        return held_against(ledger, counting, serving(ledger, sha))
    except HistoryCorrupt:
        assert sha and release, "there is no damage where nothing is"
        return Serving(None, ledger.desired(sha), damaged=release)


def _last_resort(history: list[Event], counting: list[Event], before: Serving) -> Iterator[str]:
    """Yield what a rollback may choose while a command runs or was killed, if nothing else is left.

    After a promotion that is what was verified last, and serves on or may do so, whatever was said
    of it before; after any other command the release that it was bringing back.
    """
    begun = next((event for event in history if event.kind != "recover"), history[0])
    verified = [event.release for event in counting if event.outcome == VERIFIED]
    if begun.kind == "promote":
        yield from verified[:1]
    elif before.version in verified:
        yield before.version


def known_good(history: list[Event], current: str) -> list[str]:
    """Return the releases that a rollback may choose, the best first.

    The newest verified release comes first. The current release, every release that was ever rolled
    back from, and every one that failed here are excluded. So a second rollback goes further back.
    """
    bad = known_bad(history) | {current, ""}
    good = [event.release for event in history if event.outcome == VERIFIED]
    return [release for release in dict.fromkeys(good) if release not in bad]


def _last_drill(history: list[Event]) -> tuple[tuple[str, str], ...]:
    """Return how long the last rollback drill took, as a line of the plan."""
    for event in history:
        if event.kind == "drill" and event.duration_s:
            return (("drill", f"{event.duration_s} s in the last drill, {event.time}"),)
    return (("drill", "never practised; see invoke drill"),)
