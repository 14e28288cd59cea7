"""The engine: the one place that decides and acts. Read `promote` from top to bottom."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from . import audit, notice
from .change import TRIES, Change, as_before, expect_head, on_this_machine, verify
from .checks import hold_of, refuse_a_lock
from .errors import (
    CanaryInconclusive,
    HeadMoved,
    HistoryCorrupt,
    Interrupted,
    Locked,
    NotServing,
    NotVerified,
    OutcomeUnknown,
    PreconditionFailed,
    PushFailed,
    ReleaseFailed,
    RolledBack,
    Undecided,
    Unreachable,
)
from .event import ABORTED, FAILED, NOTED, PENDING, ROLLED_BACK, VERIFIED, Event, lease, new_id
from .forge.review import reviewer
from .git import REMOTE, Repository
from .ledger import Ledger
from .plan import (
    Plan,
    Serving,
    held_against,
    known_good,
    plan_promotion,
    plan_rollback,
    serving,
    verified_state,
)
from .platforms import platform_of
from .platforms.protocol import Observation, Unseen
from .policy import Environment, Policy
from .policy_file import at_commit
from .progress import Progress
from .records import FILE_NAME, Record
from .signing import counted, require_key
from .smoke import FILE_NAME as SMOKE_NAME


@dataclass(frozen=True)
class Machine:
    """The release machine of one repository.

    Parameters
    ----------
    repository : Repository
    policy : Policy
    """

    repository: Repository
    policy: Policy

    def policy_of(self, record: Record) -> Policy:
        """Return today's policy, with the command that serves a release as of its own commit.

        Another toolkit may have changed the command since: what was built before knows its own.
        """
        read = partial(self.repository.read, "cat-file", "blob")
        return replace(self.policy, serve=at_commit(read, record.commit, self.policy).serve)

    def plan_promotion(self, environment: Environment, version: str | None) -> Plan:
        """Plan a promotion, or refuse it; nothing is written."""
        platform = platform_of(environment, self.policy)
        self.repository.require_writing()
        ledger = Ledger.open(self.repository)
        _require_remote_for_agent(ledger, environment)
        require_key(ledger, self.policy)
        plan = plan_promotion(ledger, self.policy, environment, version, self.observe)
        platform.locate()
        drift = ""
        if plan.nothing_to_do:
            drift = self._drift(environment, plan.before)
        if drift:
            raise PreconditionFailed(
                f"{environment.name} should serve {plan.record.version} already, but does not",
                why=drift,
                state=f"{environment.name} unchanged",
                next_step=f"invoke deploy --env {environment.name}",
            )
        if plan.nothing_to_do:
            return plan
        # Before the question for confirmation, and for a promotion only: a rollback never waits.
        bundle = ledger.bundle(plan.record.version)
        platform.examine(self._render(environment, plan.record, bundle, new_id()))
        warning = platform.warning(plan.record, bundle)
        return replace(plan, warnings=(warning,) if warning else ())

    def plan_rollback(self, environment: Environment, version: str | None) -> Plan:
        """Plan a rollback, or refuse it; nothing is written."""
        platform = platform_of(environment, self.policy)
        self.repository.require_writing()
        ledger = Ledger.open(self.repository)
        _require_remote_for_agent(ledger, environment)
        require_key(ledger, self.policy)
        platform.locate()
        return plan_rollback(ledger, self.policy, environment, version, platform)

    def promote(self, plan: Plan, progress: Progress) -> Event:
        """Carry out a promotion and return its verified event.

        Raises
        ------
        RolledBack
            The release does not serve as it must; what served before serves again.
        RollbackFailed
            The release does not serve, and what served before could not be restored.
        CanaryInconclusive
            The canary ended without a verdict; what served before serves again.
        Interrupted
            Ctrl-C or SIGTERM; what served before serves again.
        OutcomeUnknown
            The platform does not answer; the lock stays.
        """
        ledger, event = Ledger.open(self.repository), new_id()
        bundle = ledger.bundle(plan.record.version)
        manifests = self._render(plan.environment, plan.record, bundle, event)
        files = {FILE_NAME: plan.record.to_json()} | manifests
        change = self.change(plan, progress, files, event=event)
        try:
            change.open()
            change.work()
        except NotServing as error:
            # The machine's fault is not the release's, which may be promoted again.
            is_bad = isinstance(error, ReleaseFailed)
            change.undo(ROLLED_BACK if is_bad else ABORTED, str(error))
            raise RolledBack(
                f"release {plan.record.version} failed in {plan.environment.name}, rolled back",
                why=str(error),
                state=as_before(plan),
                next_step="fix it, build a new release and promote that"
                if is_bad
                else "fix the machine, and promote the release again",
            ) from None
        except Undecided as error:
            # A release without a verdict is not known to be bad: it may be promoted again, too.
            change.undo(ABORTED, str(error))
            raise CanaryInconclusive(
                f"the canary of {plan.record.version} has no verdict, so it was rolled back",
                why=str(error),
                state=as_before(plan),
                next_step=f"invoke promote --env {plan.environment.name} --version "
                f"{plan.record.version}, with more traffic or with more windows in release.toml",
            ) from None
        except KeyboardInterrupt:
            raise self.interrupted(change) from None
        return change.close(VERIFIED)

    def rollback(self, plan: Plan, progress: Progress, reason: str) -> Event:
        """Carry out a rollback and return its verified event; a running promotion is preempted.

        Raises
        ------
        NotVerified
            The target does not serve as it must; what served before goes on.
        OutcomeUnknown
            The platform does not answer; the lock stays.
        """
        ledger = Ledger.open(self.repository)
        _, state = verified_state(ledger, plan.history, plan.record)
        change = self.change(plan, progress, state, reason)
        try:
            change.open()
            change.work()
        except NotServing as error:
            is_bad = isinstance(error, ReleaseFailed)
            change.undo(FAILED if is_bad else ABORTED, str(error))
            raise NotVerified(
                f"the rollback of {plan.environment.name} to {plan.record.version} failed",
                why=str(error),
                state=as_before(plan),
                next_step=f"invoke rollback --env {plan.environment.name} goes further back"
                if is_bad
                else _back_again(plan),
            ) from None
        except KeyboardInterrupt:
            raise self.interrupted(change) from None
        return change.close(VERIFIED)

    def recover(self, environment: Environment, progress: Progress) -> Event:
        """Finish or undo the change of a killed command, or push events that a command still owes.

        A promotion whose release serves and passes the smoke test is recorded as verified, any
        other is undone. A rollback is completed.
        """
        ledger = Ledger.open(self.repository)
        history = ledger.history(environment.name)
        if not history or not history[0].is_pending:
            return self._pay(ledger, environment, progress)
        if not history[0].lease_has_run_out():
            refuse_a_lock(history, environment.name)
        unsettled = list(itertools.takewhile(lambda event: event.is_pending, history))
        # A recovery may have been killed too: what counts is the command that it recovered.
        killed = next(event for event in unsettled if event.kind != "recover")
        require_key(ledger, self.policy)
        counting = counted(ledger, self.policy, history)
        settled = next((event.sha for event in history if not event.is_pending), None)
        begun = serving(ledger, killed.sha)
        record = _record_of(begun, environment)
        before = held_against(ledger, counting, serving(ledger, settled))
        # A killed promotion is not carried on, only looked at; any other command is completed.
        # Whoever may push can write such an event by hand: it is undone, whatever it says.
        is_ours = killed in counting
        is_completed = is_ours and killed.kind != "promote"
        if is_completed and not held_against(ledger, counting, begun).is_verified:
            raise _never_verified(environment, begun)
        plan = Plan("recover", environment, record, before, tuple(history), begun=killed.kind)
        reason = f"after a {killed.kind} that was killed; it started at {killed.time}"
        change = self.change(plan, progress, begun.files, reason)
        with change.explaining_interrupts():
            change.open()
            if not is_ours:
                why = "it counts for nothing: invoke audit says why"
                return change.require_pushed(change.undo(ABORTED, why))
            try:
                change.work()
            except NotServing as error:
                return change.require_pushed(change.undo(ABORTED, str(error)))
            return change.close(VERIFIED)

    def _pay(self, ledger: Ledger, environment: Environment, progress: Progress) -> Event:
        """Push the events that the remote lacks, and return the newest."""
        name = environment.name
        owed = ledger.owed(name)
        if not owed:
            raise PreconditionFailed(
                f"there is nothing to recover in {name}",
                state=f"{name} unchanged",
                next_step=f"invoke status --env {name}",
            )
        with progress.step(f"push {owed} events of {name} that {REMOTE} lacks"):
            try:
                ledger.pay(name)
            except HeadMoved as error:
                raise _moved(environment, error, "recover") from None
        return ledger.history(name)[0]

    def deploy(self, environment: Environment, progress: Progress) -> Record:
        """Make the platform serve the state in git, as after a reboot; writes no event.

        Only what was verified there, by a promotion that breaks no rule of the audit.
        """
        ledger, head = self._unlocked(environment)
        current = serving(ledger, head)
        record = _record_of(current, environment)
        counting = counted(ledger, self.policy, ledger.history(environment.name))
        if not held_against(ledger, counting, current).is_verified:
            raise _never_verified(environment, current)
        with audit.doubting(ledger, self.policy, environment.name) as doubts_of:
            found = doubts_of(head)
        if found:
            raise HistoryCorrupt(
                f"what {environment.name} should serve by git is not to be trusted",
                why="\n".join(found),
                state=f"{environment.name} unchanged",
                next_step=f"invoke rollback --env {environment.name}, then invoke audit",
            )
        platform = platform_of(environment, self.policy)
        platform.locate()
        try:
            with progress.step(f"stage {record.version} on the platform"), on_this_machine():
                platform.preflight(record, lambda: ledger.bundle(record.version))
            with progress.step("rolling update, one instance at a time"), on_this_machine():
                guard = partial(self._still, environment, head)
                platform.apply(current.files, head, guard, progress.say)
            with progress.step("verify /health, /version and /predict of every instance"):
                verify(platform, record, ledger.bundle(record.version)[SMOKE_NAME])
        except NotServing as error:
            raise NotVerified(
                f"{environment.name} does not serve {record.version}, which it should by git",
                why=str(error),
                state=f"invoke status --env {environment.name} shows what runs",
                next_step=f"invoke rollback --env {environment.name}",
            ) from None
        except Unreachable as error:
            raise OutcomeUnknown(
                f"whether {environment.name} serves {record.version} is unknown",
                why=str(error),
                state=f"{environment.name} may be in the middle of a rolling update to it",
                next_step=f"when it answers again: invoke deploy --env {environment.name}",
            ) from None
        return record

    def stop(self, environment: Environment) -> None:
        """End an environment's servers; its desired state in git stays."""
        _, head = self._unlocked(environment)
        platform = platform_of(environment, self.policy)
        platform.locate()
        platform.stop(head, lambda: self._still(environment, head))

    def observe(self, environment: Environment) -> Observation:
        """Return what an environment runs; that it cannot be reached is an observation too."""
        try:
            return platform_of(environment, self.policy).observe()
        except Unreachable as error:
            return Unseen("", (), str(error))

    def changed(self, environment: Environment, desired: Serving) -> str:
        """Return what was changed by hand in the desired state, or an empty text.

        `Unreachable` where the platform does not say.
        """
        if desired.record is None:
            return ""
        return platform_of(environment, self.policy).changed(desired.files)

    def _drift(self, environment: Environment, desired: Serving) -> str:
        """Return how an environment differs from its desired state; refuse where nobody can see."""
        try:
            seen = platform_of(environment, self.policy).observe()
            if isinstance(seen, Unseen):
                raise Unreachable(seen.trouble)
            return seen.drift(desired.version) or self.changed(environment, desired)
        except Unreachable as error:
            raise PreconditionFailed(
                f"whether {environment.name} serves {desired.version}, as it should, is not known",
                why=str(error),
                state=f"{environment.name} unchanged",
                next_step=f"when it answers again: invoke status --env {environment.name}",
            ) from None

    def hold(self, environment: Environment, reason: str, progress: Progress) -> Event | None:
        """Keep releases out of an environment; return None if it is on hold already."""
        if self.is_held(environment):
            return None
        return self.note("hold", environment, reason, progress)

    def unhold(self, environment: Environment, reason: str, progress: Progress) -> Event | None:
        """Let releases in again; return None if it is not on hold."""
        if not self.is_held(environment):
            return None
        return self.note("unhold", environment, reason, progress)

    def note(
        self,
        kind: str,
        environment: Environment,
        reason: str,
        progress: Progress,
        record: Record | None = None,
        seconds: float | None = None,
    ) -> Event:
        """Write an event that does not change what serves."""
        self.repository.require_writing()
        require_key(Ledger.open(self.repository), self.policy)
        for _ in range(TRIES):
            ledger = Ledger.open(self.repository)
            refuse_a_lock(ledger.history(environment.name), environment.name)
            current = serving(ledger, ledger.head(environment.name))
            subject = record or current.record
            event = Event(
                kind=kind,
                release=subject.version if subject else "",
                digest=subject.digest if subject else "",
                outcome=NOTED,
                previous=current.version if record else "",
                actor=self.repository.actor(),
                reason=reason,
                duration_s="" if seconds is None else f"{seconds:.1f}",
            )
            try:
                sha = ledger.append(environment.name, event, current.files)
            except HeadMoved as error:
                refusal = _moved(environment, error, kind)
                continue
            notice.notify(environment.name, event, progress)
            return replace(event, sha=sha)
        raise refusal

    def is_held(self, environment: Environment) -> bool:
        """Return whether a hold or a rollback keeps releases out."""
        ledger = Ledger.open(self.repository)
        history = ledger.history(environment.name)
        return hold_of(counted(ledger, self.policy, history)) is not None

    def unready(self, environment: Environment, records: Sequence[Record]) -> dict[str, str]:
        """Return why each release could not start at once in an environment, or an empty text."""
        platform = platform_of(environment, self.policy)
        platform.locate()
        return {record.version: platform.unready(record) for record in records}

    def interrupted(self, change: Change) -> Interrupted:
        """Undo a change, and return the error that says so."""
        if change.find_lock():
            change.undo(ABORTED, "interrupted")
        plan = change.plan
        return Interrupted(
            f"the {plan.command} to {plan.record.version} was interrupted",
            state=as_before(plan),
            next_step=f"invoke {plan.command} --env {plan.environment.name}",
        )

    def change(
        self,
        plan: Plan,
        progress: Progress,
        files: Mapping[str, bytes],
        reason: str = "",
        event: str = "",
    ) -> Change:
        """Return the change that carries out a plan; nothing is written yet."""
        self.repository.require_writing()
        platform = platform_of(plan.environment, self.policy)
        # Each platform object checks its place anew, while nothing is written yet.
        platform.locate()
        pending = Event(
            kind=plan.command,
            release=plan.record.version,
            digest=plan.record.digest,
            outcome=PENDING,
            previous=plan.before.version,
            actor=self.repository.actor(),
            approved_by=plan.approved_by,
            reviewed_by=reviewer() if plan.command == "promote" else "",
            gate=plan.record.gate,
            reason=reason,
            lease_until=lease(self.policy.lease_s),
            id=event or new_id(),
        )
        return Change(self.repository, plan, platform, progress, pending, files)

    def _render(
        self, environment: Environment, record: Record, bundle: Mapping[str, bytes], event: str
    ) -> dict[str, bytes]:
        platform = platform_of(environment, self.policy_of(record))
        return platform.render(record, lambda: bundle, event)

    def _unlocked(self, environment: Environment) -> tuple[Ledger, str]:
        """Return the ledger and the newest event; refuse a lock, and an empty history."""
        ledger = Ledger.open(self.repository)
        refuse_a_lock(ledger.history(environment.name), environment.name)
        head = ledger.head(environment.name)
        if head is None:
            raise _never_released(environment)
        return ledger, head

    def _still(self, environment: Environment, head: str) -> None:
        expect_head(self.repository, environment.name, head)


def _require_remote_for_agent(ledger: Ledger, environment: Environment) -> None:
    """Refuse where an agent deploys what the remote's branch holds, and that cannot be written."""
    if not environment.agent or (ledger.remote is not None and not ledger.unreachable):
        return
    raise PushFailed(
        f"{environment.agent} cannot get the new state of {environment.name}",
        why=ledger.unreachable
        or f"it reads env/{environment.name} at {REMOTE}, which does not exist",
        state=f"{environment.name} unchanged",
        next_step=f"try again when {REMOTE} is back; if that cannot wait, suspend "
        f"{environment.agent} and remove gitops from [environments.{environment.name}]",
    )


def _back_again(plan: Plan) -> str:
    """Return what to do after a rollback that the machine has prevented."""
    again = f"fix the machine, then invoke rollback --env {plan.environment.name}"
    further = [
        release
        for release in known_good(list(plan.history), plan.before.version)
        if release != plan.record.version
    ]
    return f"{again}; or go further back with --version {further[0]}" if further else again


def _moved(environment: Environment, error: HeadMoved, command: str) -> Locked:
    return Locked(
        f"{environment.name} was changed at the same moment",
        why=str(error),
        state=f"{environment.name} unchanged by this command",
        next_step=f"invoke {command} --env {environment.name}",
    )


def _record_of(current: Serving, environment: Environment) -> Record:
    if current.record is None:
        raise _never_released(environment)
    return current.record


def _never_verified(environment: Environment, state: Serving) -> HistoryCorrupt:
    return HistoryCorrupt(
        f"{state.version} was never verified in {environment.name} in the state that git has",
        why="an event that was not verified keeps it: its command failed, or nobody has run it",
        state=f"{environment.name} unchanged",
        next_step=f"invoke rollback --env {environment.name}; invoke audit names the event",
    )


def _never_released(environment: Environment) -> PreconditionFailed:
    return PreconditionFailed(
        f"{environment.name} has no release to serve",
        why="no promotion to it was ever verified",
        state=f"{environment.name} unchanged",
        next_step=f"invoke promote --env {environment.name}",
    )
