"""The checks that a promotion must pass before anything is touched, in order, one a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from . import completeness, snapshots
from .approvals import weigh
from .errors import (
    ApprovalMissing,
    CrashResidue,
    GateRefused,
    Held,
    Locked,
    PreconditionFailed,
    ReleaseError,
)
from .event import FAILED, ROLLED_BACK, VERIFIED, Event
from .git import GitFailed
from .ledger import Ledger
from .policy import MERGED_SINCE, Environment, Policy
from .objects import Objects
from .platforms.protocol import Observation
from .records import Record
from .signing import Signing, counted

PASSED = "passed"
# The kinds of event whose success says that a release serves.
DEPLOYING = ("promote", "rollback", "recover")


@dataclass(frozen=True)
class Candidate:
    """A release to be promoted to an environment, and what is known about both.

    Parameters
    ----------
    ledger : Ledger
    policy : Policy
    environment : Environment
    record : Record
    history : tuple of Event
        Those of the environment that count, the newest first.
    base : str or None
        The commit of the release that serves there.
    is_named : bool
        Whether the command names this version; otherwise it is the one that comes next, and may
        neither be older than what serves nor have been found bad there.
    now : datetime.datetime
    observe : callable or None
        Returns what another environment runs; None: no platform is asked.
    """

    ledger: Ledger
    policy: Policy
    environment: Environment
    record: Record
    history: tuple[Event, ...]
    base: str | None
    is_named: bool
    now: datetime
    observe: Callable[[Environment], Observation] | None

    @property
    def unchanged(self) -> str:
        """The state of things for an error."""
        return f"{self.environment.name} unchanged"


def check(candidate: Candidate) -> tuple[tuple[str, str], ...]:
    """Run every check and return each one's name and result; the first that refuses raises."""
    return tuple((name, run(candidate)) for name, run in CHECKS)


def refuse_a_lock(history: list[Event], environment: str) -> None:
    """Refuse while the newest event is pending: that is the environment's lock."""
    if not history or not history[0].is_pending:
        return
    holder = history[0]
    if holder.lease_has_run_out():
        raise CrashResidue(
            f"a {holder.kind} of {holder.release} in {environment} was killed before its end",
            why=f"{holder.actor} started it at {holder.time}, its lease ended {holder.lease_until}",
            state=f"{environment} may serve either release",
            next_step=f"invoke recover --env {environment}",
        )
    raise Locked(
        f"{environment} is locked by a {holder.kind} of {holder.release}",
        why=f"{holder.actor} took the lock at {holder.time}; it expires at {holder.lease_until}",
        state=f"{environment} unchanged by this command",
        next_step=f"{way_out(holder, environment)}; "
        f"invoke rollback --env {environment} never has to wait",
    )


def way_out(holder: Event, environment: str) -> str:
    """Return what to do about a pending event, whose command runs or was killed."""
    recover = f"invoke recover --env {environment}"
    if holder.lease_has_run_out():
        return recover
    return f"wait until it ends; if it was killed, after {holder.lease_until}: {recover}"


def refuse_a_freeze(policy: Policy, environment: Environment, now: datetime) -> None:
    """Refuse during a freeze window of this environment."""
    for freeze in policy.freezes:
        end = freeze.end(now) if environment.name in freeze.environments else None
        if end:
            raise Held(
                f"{environment.name} is frozen: {freeze.name}",
                why=f"until {end.isoformat(timespec='minutes')}, by [[freezes]] in release.toml",
                state=f"{environment.name} unchanged",
                next_step="wait until then; a rollback is never frozen",
            )


def require_completeness(candidate: Candidate) -> None:
    """Refuse a release that ``invoke build`` would not have made so, by the candidate's policy."""
    ledger, record = candidate.ledger, candidate.record
    release, files = ledger.release(record.version), ledger.bundle(record.version)
    if why := completeness.complaint(release, files, candidate.policy):
        raise GateRefused(
            f"release {record.version} was not released by invoke build",
            why=why,
            state=candidate.unchanged,
            next_step="commit, nox -s train, then invoke build --push",
        )


def known_bad(history: list[Event]) -> set[str]:
    """Return the releases that were rolled back from, or failed, and not verified since.

    Parameters
    ----------
    history : list of Event
        The newest first: the last verdict on a release counts.
    """
    is_bad: dict[str, bool] = {}
    for event in history:
        for release, bad in verdicts(event):
            is_bad.setdefault(release, bad)
    return {release for release, bad in is_bad.items() if bad} - {""}


def verdicts(event: Event) -> Iterator[tuple[str, bool]]:
    """Yield the releases that an event judges, each with whether it is bad."""
    if event.outcome == VERIFIED and event.kind in DEPLOYING:
        yield event.release, False
    if event.outcome in (FAILED, ROLLED_BACK):
        yield event.release, True
    if event.kind == "rollback":
        yield event.previous, True


def hold_of(history: list[Event]) -> Event | None:
    """Return the event that keeps releases out, or None; a rollback does so as `hold` does."""
    for event in history:
        if event.kind == "unhold":
            return None
        if event.kind in ("hold", "rollback"):
            return event
    return None


def _gate(candidate: Candidate) -> str:
    record = candidate.record
    damage = record.damage(candidate.ledger.bundle(record.version))
    if record.gate != PASSED or damage:
        raise GateRefused(
            f"release {record.version} has not passed the gate",
            why=damage or f"its verdict is {record.gate!r}",
            state=candidate.unchanged,
            next_step="nox -s train, then invoke build --push, on a commit that passes",
        )
    return f"{record.gate}; {len(record.artifacts) + len(record.evidence)} files are intact"


def _merged(candidate: Candidate) -> str:
    """Refuse a commit that is not on the default branch: its policy, too, was never reviewed."""
    ledger, commit = candidate.ledger, candidate.record.commit
    if candidate.policy.schema < MERGED_SINCE:
        return f"not asked by release.toml of schema {candidate.policy.schema}"
    if ledger.anchor and ledger.repository.is_ancestor(commit, ledger.anchor):
        return "on the default branch"
    if candidate.environment.unmerged:
        return "not yet, which this environment permits"
    next_step = (
        "merge it, then build the release of the merged commit; "
        "a first environment may have unmerged = true in release.toml"
    )
    if snapshots.is_pin(ledger.repository, commit, ledger.anchor):
        if candidate.environment != candidate.policy.environments[-1]:
            return "of the default branch, with a newer snapshot"
        next_step = "merge the branch of its snapshot by a merge commit, not squashed"
    raise PreconditionFailed(
        f"the commit of release {candidate.record.version} is not on the default branch",
        why=f"{commit[:12]} is not part of {(ledger.anchor or 'nothing')[:12]}, the newest there",
        state=candidate.unchanged,
        next_step=next_step,
    )


def _newer(candidate: Candidate) -> str:
    """Refuse a commit that what serves contains: an old job that runs again, or one too late.

    Whoever names the release means it; a job promotes what is next, and never goes back.
    """
    repository, record, base = candidate.ledger.repository, candidate.record, candidate.base
    if base is None:
        return "nothing serves yet"
    if base == record.commit:
        return "of the commit that serves"
    try:
        # A commit that is missing here is an error, and never the answer that it is no ancestor.
        is_older = not repository.run("rev-list", "--max-count=1", record.commit, f"^{base}")
    except GitFailed as error:
        raise PreconditionFailed(
            f"whether release {record.version} is newer than what serves cannot be told",
            why=str(error),
            state=candidate.unchanged,
            next_step="git fetch --unshallow, if this clone is shallow; or git fetch origin",
        ) from None
    if is_older and not candidate.is_named:
        name = candidate.environment.name
        raise PreconditionFailed(
            f"release {record.version} is older than the one that {name} serves",
            why=f"{base[:12]}, which serves, contains {record.commit[:12]}: this job ran late or "
            "again, or the environment before has gone back",
            state=candidate.unchanged,
            next_step="nothing, if the newer one is right; to go back: "
            f"invoke rollback --env {name}, or by its name: "
            f"invoke promote --env {name} --version {record.version}",
        )
    return "no, and named all the same" if is_older else "than what serves"


def _signature(candidate: Candidate) -> str:
    """Refuse a release whose tag the release job has not signed, where that is asked today."""
    ledger, version = candidate.ledger, candidate.record.version
    with Objects(ledger.repository) as objects:
        signing = Signing(ledger, candidate.policy, objects)
        complaint = signing.of_release(version, candidate.now)
        is_asked = signing.keys_at(candidate.now) is not None
    if complaint:
        raise PreconditionFailed(
            f"release {version} was not signed by the release job",
            why=complaint,
            state=candidate.unchanged,
            next_step="promote a release of a newer commit, which the release job has built",
        )
    return "by the release job" if is_asked else "none required"


def _order(candidate: Candidate) -> str:
    before, record = candidate.environment.after, candidate.record
    if before is None:
        return "the first environment"
    verified = _verified_in(candidate, before)
    if verified is None:
        raise PreconditionFailed(
            f"release {record.version} was not verified in {before}",
            why=f"{candidate.environment.name} comes after {before} in release.toml",
            state=candidate.unchanged,
            next_step=f"invoke promote --env {before} --version {record.version}",
        )
    if record.version in known_bad(_history(candidate, before)):
        raise PreconditionFailed(
            f"release {record.version} was found bad in {before}",
            why=f"it failed there or was rolled back from; invoke history --env {before}",
            state=candidate.unchanged,
            next_step="fix it, build a new release and promote that; or let it be verified in "
            f"{before} again: invoke promote --env {before} --version {record.version}",
        )
    return f"verified in {before} at {verified.time}"


def _soak(candidate: Candidate) -> str:
    minutes, before = candidate.environment.soak_minutes, candidate.environment.after
    if minutes is None or before is None:
        return "none required"
    verified = _verified_in(candidate, before)
    assert verified is not None, "the order was checked"
    history = _history(candidate, before)
    later = [event for event in history[: history.index(verified)] if event.outcome == VERIFIED]
    left = [event for event in later if event.release != candidate.record.version]
    since = datetime.fromisoformat(verified.time)
    until = datetime.fromisoformat(left[-1].time) if left else candidate.now
    # Whoever may push can date an event back. The platform has its own time: of this release, or of
    # another one, since which nothing else has served there.
    seen = _observed(candidate, before)
    told, is_other = "", False
    if seen.since:
        runs, at = seen.instances[0], datetime.fromisoformat(seen.since)
        is_other = runs.digest != candidate.record.digest
        if is_other or at > since:
            told = f"; by its servers {before} serves {runs.release} since {seen.since}"
        since, until = (since, min(until, at)) if is_other else (max(since, at), until)
    soaked = until - since
    if soaked < timedelta(minutes=minutes):
        short = timedelta(minutes=minutes) - soaked
        raise PreconditionFailed(
            f"release {candidate.record.version} has not served long enough in {before}",
            why=f"{_span(soaked)} of {minutes} min"
            + (f"; {left[-1].release} replaced it" if left else "")
            + told,
            state=candidate.unchanged,
            next_step=f"promote it to {before} again"
            if left or is_other
            else f"try again in {_span(short)}; soak_minutes in release.toml",
        )
    silence = seen.trouble.partition("\n")[0] or "its servers do not say since when they serve"
    by = "its servers and the ledger" if seen.since else f"the ledger alone: {silence}"
    return f"served {_span(soaked)} in {before}, {minutes} min are required; by {by}"


def _freeze(candidate: Candidate) -> str:
    refuse_a_freeze(candidate.policy, candidate.environment, candidate.now)
    return "none"


def _hold(candidate: Candidate) -> str:
    name, version = candidate.environment.name, candidate.record.version
    hold = hold_of(list(candidate.history))
    if hold:
        raise Held(
            f"{name} has been on hold since a {hold.kind} at {hold.time}",
            why=f"{hold.actor}: {hold.reason or 'no reason given'}",
            state=candidate.unchanged,
            next_step=f'invoke unhold --env {name} --reason "why releases may go on"',
        )
    if version in known_bad(list(candidate.history)) and not candidate.is_named:
        raise Held(
            f"release {version} was found bad in {name} before",
            why=f"it failed here or was rolled back from; invoke history --env {name}",
            state=candidate.unchanged,
            next_step=f"promote another release, or this one all the same with --version {version}",
        )
    return "none"


def _approval(candidate: Candidate) -> str:
    policy, name = candidate.environment.approval, candidate.environment.name
    if policy is None:
        return "none required"
    record = candidate.record
    approvers, complaints = weigh(
        *(candidate.ledger, name, record, policy, candidate.base, candidate.policy.schema)
    )
    if len(approvers) < policy.needed:
        short = f"{len(approvers)} of {policy.needed} approvals"
        raise ApprovalMissing(
            f"release {record.version} is not approved for {name}: {short}",
            why="\n".join(complaints) or f"there is no tag approval/{name}/{record.version}/...",
            state=candidate.unchanged,
            next_step=f"invoke approve --env {name} --version {record.version}",
        )
    return ", ".join(approvers)


def _verified_in(candidate: Candidate, environment: str) -> Event | None:
    """Return the newest event that has verified the release there, or None."""
    for event in _history(candidate, environment):
        is_it = (event.release, event.digest) == (candidate.record.version, candidate.record.digest)
        if is_it and event.outcome == VERIFIED and event.kind in DEPLOYING:
            return event
    return None


def _history(candidate: Candidate, environment: str) -> list[Event]:
    """Return the events of another environment that count, the newest first."""
    history = candidate.ledger.history(environment)
    return counted(candidate.ledger, candidate.policy, history)


def _observed(candidate: Candidate, environment: str) -> Observation:
    """Return what another environment runs; where that cannot be seen from here, why."""
    if candidate.observe is None:
        return Observation("", (), "its platform is asked at the promotion")
    try:
        return candidate.observe(candidate.policy.environment(environment))
    except ReleaseError as error:
        return Observation("", (), error.what)


def _span(time: timedelta) -> str:
    minutes = max(0, round(time.total_seconds() / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


CHECKS: tuple[tuple[str, Callable[[Candidate], str]], ...] = (
    ("gate", _gate),
    ("merged", _merged),
    ("newer", _newer),
    ("signature", _signature),
    ("order", _order),
    ("soak", _soak),
    ("freeze", _freeze),
    ("hold", _hold),
    ("approval", _approval),
)
