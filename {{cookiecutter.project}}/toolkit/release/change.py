"""A running change: from the event that locks an environment to the one that ends it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from . import notice
from .canary.picture import picture
from .analysis import Analysis, analyse, conclude
from .checks import refuse_a_lock
from .errors import (
    HeadMoved,
    Interrupted,
    Locked,
    NotServing,
    OutcomeUnknown,
    PreconditionFailed,
    PushFailed,
    ReleaseFailed,
    RollbackFailed,
    Unreachable,
)
from .event import ABORTED, FAILED, Event, new_id
from .files import write_file
from .git import NETWORK_TIMEOUT_S, REMOTE, GitFailed, Push, Repository
from .ledger import CANARY, Ledger
from .plan import Plan, Serving
from .platforms.protocol import STABLE, Platform
from .policy import CanaryPolicy
from .progress import Progress
from .records import Record
from .smoke import FILE_NAME as SMOKE_NAME
from .smoke import smoke

PICTURE = "canary.svg"
TRIES = 3
# Promotions that start at the same time may each be faster once; a rollback outlasts them.
ROLLBACK_TRIES = 50
# To end the servers of a canary, measure others and undo it all, as a multiple of the first canary.
AS_LONG = 3
# Before the push of a terminal event is tried again.
PAUSES_S = (0.5, 2.0)


def expect_head(repository: Repository, environment: str, head: str) -> Ledger:
    """Return the ledger, or `Locked` when another command has written the newest event."""
    ledger = Ledger.open(repository)
    if ledger.head(environment) != head:
        newest = ledger.newest(environment)
        assert newest, "a history only grows"
        raise Locked(
            f"{environment} was taken over by a {newest.kind} of {newest.release}",
            why=f"{newest.actor} started it at {newest.time}",
            state=f"that {newest.kind} decides what {environment} serves",
            next_step=f"invoke history --env {environment}",
        )
    return ledger


def verify(platform: Platform, record: Record, cases: bytes) -> None:
    """Test every running server, and the environment's own address, against a release.

    `NotServing` names the first that fails.
    """
    observation = platform.observe()
    if observation.trouble or not observation.instances:
        raise NotServing(observation.trouble or "nothing runs")
    for instance in observation.instances:
        if instance.digest != record.digest or instance.state != "ready":
            raise NotServing(f"{instance.address} runs {instance.release}, {instance.state}")
        if instance.track != STABLE:
            raise NotServing(f"{instance.address} is a server of a canary")
        smoke(instance.address, record, cases, platform.ask)
    try:
        smoke(observation.endpoint, record, cases, platform.ask)
    except ReleaseFailed as error:
        # Each server has just answered as it must: here somebody else answers, or between them.
        raise NotServing(str(error)) from None


def as_before(plan: Plan) -> str:
    """Return the sentence that an environment serves the same as before this plan."""
    return f"{plan.environment.name} serves {plan.before.version or 'nothing'}, as before"


@contextmanager
def on_this_machine() -> Iterator[None]:
    """Turn an error of the system, such as a full disk, into `NotServing`."""
    try:
        yield
    except OSError as error:
        raise NotServing(str(error)) from None


@dataclass
class Change:
    """Holds an environment's lock from `open` until the terminal event.

    `open` sets `sha`, the pending event's commit, and `ledger`, the state of git at that moment,
    from which bundles are read. `work` sets `analysis`, where there was a canary. `touched` says
    whether the platform was changed yet: what was never changed need not be restored. `push` is
    that of a rollback's pending event while a slow remote has not accepted it, and `owed` says why
    the remote lacks the terminal event, or nothing.

    Parameters
    ----------
    repository : Repository
    plan : Plan
    platform : Platform
    progress : Progress
    event : Event
        The pending event; the terminal one is made from it.
    files : mapping of str to bytes
        The desired state.
    """

    repository: Repository
    plan: Plan
    platform: Platform
    progress: Progress
    event: Event
    files: Mapping[str, bytes]
    sha: str = field(init=False, default="")
    ledger: Ledger = field(init=False)
    analysis: Analysis | None = field(init=False, default=None)
    touched: bool = field(init=False, default=False)
    push: Push | None = field(init=False, default=None)
    owed: str = field(init=False, default="")

    def open(self) -> None:
        """Write the pending event; `Locked` when another command was faster."""
        with self._step("lock"):
            try:
                self._open()
            except (GitFailed, OSError) as error:
                raise self._unwritten(
                    f"the {self.plan.command} of {self.plan.environment.name} could not start",
                    str(error),
                    as_before(self.plan),
                ) from None

    def _open(self) -> None:
        environment = self.plan.environment.name
        is_rollback = self.plan.command == "rollback"
        for _ in range(ROLLBACK_TRIES if is_rollback else TRIES):
            ledger = Ledger.open(self.repository)
            if not is_rollback:
                history = ledger.history(environment)
                if self.plan.command != "recover":
                    refuse_a_lock(history, environment)
                if tuple(history) != self.plan.history:
                    break
            try:
                self._lock(ledger)
            except HeadMoved:
                continue
            return
        raise Locked(
            f"{environment} changed while this {self.plan.command} was being planned",
            why="another command has written to its history",
            state=f"{environment} unchanged by this command",
            next_step=f"invoke history --env {environment}, then try again",
        )

    def _lock(self, ledger: Ledger) -> None:
        """Write the pending event; a promotion, or an agent, needs it at the remote."""
        name, owed = self.plan.environment.name, ""
        if self.plan.command in ("promote", "drill") or self.plan.environment.agent:
            self.sha = ledger.append(name, self.event, self.files)
        elif self.plan.command == "rollback":
            self.sha, owed, self.push = ledger.append_going_on(name, self.event, self.files)
        else:
            self.sha, owed = ledger.append_owing(name, self.event, self.files)
        self._say_owed(owed)
        self.ledger = ledger

    def find_lock(self) -> bool:
        """Return whether the lock is held, though `open` did not finish."""
        if not self.sha:
            lock = self._lock_now()
            if lock:
                self.ledger = Ledger.open(self.repository)
                self.sha = lock.sha
        return bool(self.sha)

    def _lock_now(self) -> Event | None:
        """Return this change's pending event if it is the newest event: then the lock is held."""
        newest = Ledger.open(self.repository).newest(self.plan.environment.name)
        return newest if newest and newest.id == self.event.id else None

    def _unwritten(self, what: str, why: str, state: str) -> PreconditionFailed:
        """Return the error for an event that could not be written, likely for lack of space."""
        next_step = "free disk space, or make .git writable, and try again"
        if self._lock_now():
            state += f"; locked until {self.event.lease_until}"
            recover = f"invoke recover --env {self.plan.environment.name}"
            next_step = f"free disk space, and when the lock has expired: {recover}"
        return PreconditionFailed(what, why=why, state=state, next_step=next_step)

    @contextmanager
    def explaining_interrupts(self) -> Iterator[None]:
        """Turn Ctrl-C into `Interrupted` with the state of things, where nothing is undone."""
        try:
            yield
        except KeyboardInterrupt:
            name, plan = self.plan.environment.name, self.plan
            if self._lock_now():
                state = f"{name} may serve either release; locked until {self.event.lease_until}"
                next_step = f"when the lock has expired: invoke recover --env {name}"
            else:
                state = f"{name} is not locked by this command"
                next_step = f"invoke status --env {name}"
            raise Interrupted(
                f"the {plan.command} to {plan.record.version} was interrupted at its end",
                state=state,
                next_step=next_step,
            ) from None

    def work(self) -> None:
        """Carry out the plan's steps between the lock and the record, in their order."""
        with self._explaining_silence():
            self._work()

    def _work(self) -> None:
        actions: dict[str, Callable[[], None]] = {
            "preflight": lambda: self._preflight(self.plan.record),
            "canary": self._run_canary,
            "apply": lambda: self._apply(self.files),
            "verify": lambda: self._verify(self.plan.record),
        }
        for step in self.plan.steps:
            if step.name in actions:
                with self._step(step.name), on_this_machine():
                    actions[step.name]()

    @contextmanager
    def _explaining_silence(self) -> Iterator[None]:
        """Keep the lock where the platform does not answer: nobody knows what to undo."""
        try:
            yield
        except Unreachable as error:
            name, version = self.plan.environment.name, self.plan.record.version
            raise OutcomeUnknown(
                f"the outcome of the {self.plan.command} to {version} in {name} is unknown",
                why=str(error),
                state=f"{name} may serve either release; locked until {self.event.lease_until}",
                next_step=f"when it answers again: invoke status --env {name}; then invoke "
                "rollback, which takes over the lock, or after its end invoke recover",
            ) from None

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Announce a step of the plan with its number."""
        steps = self.plan.steps
        number = [step.name for step in steps].index(name)
        with self.progress.step(f"{number + 1}/{len(steps)} {steps[number].text}"):
            yield

    def _run_canary(self) -> None:
        """Let some servers run the release, verify them, and measure both sides.

        A release that is slower on them has to be slower on others too, if the lease leaves time.
        """
        canary, before = self.plan.environment.canary, self.plan.before
        assert canary and before.record, "the plan has a canary only where both are"
        began = time.monotonic()
        self._preflight(before.record)
        self.analysis = self._measured(canary)
        if self.analysis.is_slower and self._leaves(AS_LONG * (time.monotonic() - began)):
            self.progress.say(f"canary {self.analysis}: is it the servers? once more, with others")
            self._apply(before.files)
            self.analysis = replace(self._measured(canary.again), first=self.analysis)
        self.progress.say(f"canary {self.analysis}")
        self._report(self.analysis)
        conclude(self.analysis)

    def _measured(self, canary: CanaryPolicy) -> Analysis:
        """Start a canary and its control, and compare them."""
        record, before = self.plan.record, self.plan.before
        cases = self.ledger.bundle(record.version)[SMOKE_NAME]
        self.touched = True
        self.platform.canary(
            *(self.files, before.files, canary.instances),
            *(self.sha, self._guard, self.progress.say),
        )
        for instance in self.platform.observe().instances:
            if instance.release == record.version:
                smoke(instance.address, record, cases, self.platform.ask)
        return analyse(
            *(self.platform, record, before.version, cases, canary, self.progress, self._guard)
        )

    def _leaves(self, seconds: float) -> bool:
        """Return whether the lease of this change lasts so much longer."""
        left = datetime.fromisoformat(self.event.lease_until) - datetime.now(UTC)
        return left.total_seconds() >= seconds

    def _report(self, analysis: Analysis) -> None:
        """Write the measurements and their picture beside the other reports."""
        document = analysis.to_json()
        reports = self.repository.root / "reports"
        try:
            write_file(reports / CANARY, document)
            write_file(reports / PICTURE, picture(json.loads(document)).encode())
            self.progress.say(f"see {reports / PICTURE}")
        except OSError as error:
            # The event holds the same: a full disk here is no reason to undo a release.
            self.progress.say(f"the canary's report could not be written: {error}")

    def undo(self, outcome: str, why: str) -> Event:
        """Restore what served before, verify it, and record the outcome."""
        with self.explaining_interrupts(), self._explaining_silence():
            return self._undo(outcome, why)

    def _undo(self, outcome: str, why: str) -> Event:
        before = self.plan.before
        name = self.plan.environment.name
        ended: Event | None = None
        if self.plan.environment.agent:
            # An agent deploys what the branch holds, so the branch has to go back first.
            ended = self._end(outcome, why, before.files)
            self.sha = ended.sha
        try:
            with self.progress.step(f"undo: restore {before.version or 'the empty environment'}"):
                if self._is_disturbed(before):
                    self.deploy(before)
        except NotServing as error:
            # Without a verdict on the release, git goes on to name the one that should serve: a
            # machine that is in order again can be made to serve it.
            is_to_return = outcome == ABORTED and before.is_verified and not before.damaged
            if not ended and is_to_return:
                self._end(ABORTED, why, before.files)
            elif not ended:
                self._end(FAILED, why, self.files)
            raise RollbackFailed(
                f"release {self.plan.record.version} failed in {name}, and could not be undone",
                why=f"{why}\nthen: {error}",
                state=f"{name} is not verified; invoke status --env {name} shows what runs",
                next_step=f"fix the machine, then invoke deploy --env {name}"
                if is_to_return
                else f"invoke rollback --env {name} goes further back",
            ) from None
        return ended or self._end(outcome, why, before.files)

    def _is_disturbed(self, before: Serving) -> bool:
        """Return whether there is anything to restore, which a full disk would not permit."""
        if self.touched or self.plan.command == "recover" or self.plan.environment.agent:
            return True
        try:
            if before.record:
                self._verify(before.record)
        except NotServing:
            return True
        return False

    def deploy(self, state: Serving) -> None:
        """Make the platform serve a state, and verify it; an empty state ends all servers."""
        if state.damaged:
            raise NotServing(f"the record of {state.damaged} is damaged: it cannot be restored")
        if not state.is_verified:
            raise NotServing(f"{state.version} was never verified here in this state")
        with on_this_machine(), self._explaining_silence():
            if state.record is None:
                self.platform.stop(self.sha, self._guard)
                return
            self._preflight(state.record)
            self._apply(state.files)
            self._verify(state.record)

    def close(self, outcome: str, reason: str = "", seconds: float | None = None) -> Event:
        """Write the terminal event of a change that succeeded; it releases the lock.

        Raises as `require_pushed`.
        """
        with self.explaining_interrupts():
            return self.require_pushed(
                self._end(outcome, reason or self.event.reason, self.files, seconds)
            )

    def require_pushed(self, event: Event) -> Event:
        """Return the terminal event; in CI raise `PushFailed` while the remote lacks it.

        A job's clone may be gone with the job, and the event with it.
        """
        if not self.owed or not os.environ.get("CI"):
            return event
        name, until = self.plan.environment.name, self.event.lease_until
        raise PushFailed(
            f"the {event.kind} of {event.release} in {name} has ended, {event.outcome}, and "
            f"{REMOTE} does not have that event",
            why=self.owed,
            state=f"it is in this clone alone; at {REMOTE} {name} may be locked until {until}",
            next_step=f"invoke recover --env {name} in this clone; "
            f"where that is gone with its job, in any other after {until}",
        )

    def _apply(self, files: Mapping[str, bytes]) -> None:
        self.touched = True
        self.platform.apply(files, self.sha, self._guard, self.progress.say)

    def _preflight(self, record: Record) -> None:
        self.platform.preflight(record, lambda: self.ledger.bundle(record.version))

    def _verify(self, record: Record) -> None:
        verify(self.platform, record, self.ledger.bundle(record.version)[SMOKE_NAME])

    def _guard(self) -> None:
        expect_head(self.repository, self.plan.environment.name, self.sha)

    def _end(
        self,
        outcome: str,
        reason: str,
        files: Mapping[str, bytes],
        seconds: float | None = None,
    ) -> Event:
        name = self.plan.environment.name
        event = replace(
            self.event,
            outcome=outcome,
            # The command prints a server's log; the history keeps one line.
            reason=reason.partition("\n")[0],
            lease_until="",
            id=new_id(),
            canary=str(self.analysis or ""),
            duration_s=f"{self.progress.seconds if seconds is None else seconds:.1f}",
            caused_by=self.sha,
        )
        if self.analysis:
            files = {**files, CANARY: self.analysis.to_json()}
        with self._step("record"):
            try:
                sha, owed = self._write_end(event, files)
            except (GitFailed, OSError) as error:
                raise self._unwritten(
                    f"the outcome of the {self.plan.command} of {name} could not be recorded",
                    str(error),
                    f"{self.plan.record.version} in {name}: {outcome}",
                ) from None
        self.progress.say(f"recorded as {outcome}")
        self.owed = self._catch_up(owed)
        self._say_owed(self.owed)
        notice.notify(name, event, self.progress)
        return replace(event, sha=sha)

    def _write_end(self, event: Event, files: Mapping[str, bytes]) -> tuple[str, str]:
        """Write the terminal event; after a refusal, check again whether the lock is still held."""
        name = self.plan.environment.name
        sha = "" if self.push else self._push_end(event, files)
        if sha:
            return sha, ""
        for _ in range(TRIES):
            ledger = expect_head(self.repository, name, self.sha)
            try:
                return ledger.append_owing(name, event, files)
            except HeadMoved as error:
                why = str(error)
        raise Locked(
            f"{name} was taken over at the last moment",
            why=why,
            state=f"the command that took over decides what {name} serves",
            next_step=f"invoke history --env {name}",
        )

    def _push_end(self, event: Event, files: Mapping[str, bytes]) -> str:
        """Return the terminal event's commit; empty where the remote does not accept it.

        One that refuses may accept a moment later; one that has cost a time-out is left alone.
        """
        for pause_s in PAUSES_S:
            self.repository.listen_again()
            ledger = expect_head(self.repository, self.plan.environment.name, self.sha)
            try:
                return ledger.append(self.plan.environment.name, event, files)
            except HeadMoved:
                break
            except PushFailed:
                if self.repository.is_lost:
                    break
                time.sleep(pause_s)
        self.repository.listen_again()
        return ""

    def _catch_up(self, owed: str) -> str:
        """Wait for the push that was still under way, and push what came since; return why not."""
        if not self.push:
            return owed
        try:
            with self.progress.step(f"wait for {REMOTE}, which is slow to accept the push"):
                if not self.push.has_ended(NETWORK_TIMEOUT_S):
                    return owed
                self.repository.listen_again()
                Ledger.open(self.repository).pay(self.plan.environment.name)
        except (GitFailed, HeadMoved) as error:
            return str(error)
        except PushFailed as error:
            return error.why
        return ""

    def _say_owed(self, owed: str) -> None:
        if owed:
            lines = owed.replace("\n", "\n    ")
            self.progress.say(f"the push is owed, the remote did not accept it: {lines}")
