"""A change under way: from the event that locks an environment to the one that ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from . import notice
from .canary.trial import Trial, conclude, try_out
from .checks import refuse_a_lock
from .errors import HeadMoved, Locked, NotServing, RollbackFailed
from .git import Repository
from .event import FAILED, Event, new_id
from .ledger import CANARY, Ledger
from .plan import Plan, Serving
from .platforms import Platform
from .progress import Progress
from .records import Record
from .smoke import FILE_NAME as SMOKE_NAME
from .smoke import smoke

TRIES = 3
# Promotions that begin at the same moment may each be faster once; a rollback outlasts them.
ROLLBACK_TRIES = 50


def expect_head(repository: Repository, environment: str, head: str) -> Ledger:
    """Return the ledger, or `Locked` when another command has written the newest event."""
    ledger = Ledger.open(repository)
    if ledger.head(environment) != head:
        newest = ledger.history(environment)[0]
        raise Locked(
            f"{environment} was taken over by a {newest.kind} of {newest.release}",
            why=f"{newest.actor} began it at {newest.time}",
            state=f"what {newest.actor} began decides what {environment} serves",
            next_step=f"invoke history --env {environment}",
        )
    return ledger


def verify(platform: Platform, record: Record, cases: bytes) -> None:
    """Hold every running server, and the environment's own address, against a release.

    `NotServing` names the first that is not what it should be.
    """
    observation = platform.observe()
    if observation.trouble or not observation.instances:
        raise NotServing(observation.trouble or "nothing runs")
    for instance in observation.instances:
        if instance.digest != record.digest or instance.state != "ready":
            raise NotServing(f"{instance.address} runs {instance.release}, {instance.state}")
        smoke(instance.address, record, cases, platform.ask)
    smoke(observation.endpoint, record, cases)


@dataclass
class Change:
    """Holds an environment's lock from `open` until the terminal event.

    `open` sets `sha`, the pending event's commit, and `ledger`, what git said at that moment: the
    bundles are read from it. `work` sets `trial`, where there was a canary.

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
    trial: Trial | None = field(init=False, default=None)

    def open(self) -> None:
        """Write the pending event; `Locked` when somebody else was faster."""
        with self._step("lock"):
            self._open()

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
            why="another command wrote to its history first",
            state=f"{environment} unchanged by this command",
            next_step=f"invoke history --env {environment}, then try again",
        )

    def _lock(self, ledger: Ledger) -> None:
        """Write the pending event; only a promotion needs the remote's word for it."""
        name = self.plan.environment.name
        if self.plan.command in ("promote", "drill"):
            self.sha = ledger.append(name, self.event, self.files)
        else:
            self.sha, owed = ledger.append_owing(name, self.event, self.files)
            self._say_owed(owed)
        self.ledger = ledger

    def find_lock(self) -> bool:
        """Tell whether the lock is held, though `open` did not come to its end."""
        if not self.sha:
            self.ledger = Ledger.open(self.repository)
            history = self.ledger.history(self.plan.environment.name)
            if history and history[0].id == self.event.id:
                self.sha = history[0].sha
        return bool(self.sha)

    def work(self) -> None:
        """Carry out the plan's steps between the lock and the record, in their order."""
        doing: dict[str, Callable[[], None]] = {
            "preflight": lambda: self._preflight(self.plan.record),
            "canary": self._try_out,
            "apply": lambda: self.platform.apply(self.files, self.sha, self._guard),
            "verify": lambda: self._verify(self.plan.record),
        }
        for step in self.plan.steps:
            if step.name in doing:
                with self._step(step.name):
                    doing[step.name]()

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Announce a step of the plan with its number there."""
        steps = self.plan.steps
        number = [step.name for step in steps].index(name)
        with self.progress.step(f"{number + 1}/{len(steps)} {steps[number].text}"):
            yield

    def _try_out(self) -> None:
        """Let some servers run the release, prove those, and watch both sides."""
        canary, before = self.plan.environment.canary, self.plan.before
        assert canary and before.record, "the plan has a canary only where both are"
        record, cases = self.plan.record, self.ledger.bundle(self.plan.record.version)[SMOKE_NAME]
        self._preflight(before.record)
        self.platform.canary(self.files, before.files, canary.instances, self.sha, self._guard)
        for instance in self.platform.observe().instances:
            if instance.release == record.version:
                smoke(instance.address, record, cases, self.platform.ask)
        self.trial = try_out(
            *(self.platform, record, before.version, cases, canary, self.progress, self._guard)
        )
        self.progress.say(f"canary {self.trial}")
        conclude(self.trial)

    def undo(self, outcome: str, why: str) -> Event:
        """Bring back what served before, verify it, and write down how this ended."""
        before = self.plan.before
        name = self.plan.environment.name
        try:
            with self.progress.step(
                f"undo: bring back {before.version or 'the empty environment'}"
            ):
                if before.record is None:
                    self.platform.stop(self.sha, self._guard)
                else:
                    self.bring(before)
        except NotServing as error:
            self._end(FAILED, why, self.files)
            raise RollbackFailed(
                f"release {self.plan.record.version} failed in {name}, and so did the way back",
                why=f"{why}\nthen: {error}",
                state=f"{name} is not verified; invoke status --env {name} shows what runs",
                next_step=f"invoke rollback --env {name} goes further back",
            ) from None
        return self._end(outcome, why, before.files)

    def bring(self, state: Serving) -> None:
        """Make the platform serve a state, and prove it."""
        assert state.record, "an empty environment is stopped, not brought"
        self._preflight(state.record)
        self.platform.apply(state.files, self.sha, self._guard)
        self._verify(state.record)

    def close(self, outcome: str, reason: str = "", seconds: float | None = None) -> Event:
        """Write the terminal event of a change that went well; it frees the lock."""
        return self._end(outcome, reason or self.event.reason, self.files, seconds)

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
            # What a server's log said is for whoever types the command; a history wants one line.
            reason=reason.partition("\n")[0],
            lease_until="",
            id=new_id(),
            canary=str(self.trial or ""),
            duration_s=f"{self.progress.seconds if seconds is None else seconds:.1f}",
            caused_by=self.sha,
        )
        if self.trial:
            files = {**files, CANARY: self.trial.to_json()}
        with self._step("record"):
            ledger = expect_head(self.repository, name, self.sha)
            try:
                sha, owed = ledger.append_owing(name, event, files)
            except HeadMoved as error:
                raise Locked(
                    f"{name} was taken over in the last moment",
                    why=str(error),
                    state=f"whoever took over decides what {name} serves",
                    next_step=f"invoke history --env {name}",
                ) from None
        self.progress.say(f"recorded as {outcome}")
        self._say_owed(owed)
        notice.tell(name, event, self.progress)
        return replace(event, sha=sha)

    def _say_owed(self, owed: str) -> None:
        if owed:
            self.progress.say(
                f"the push is owed, the remote did not take it: {owed.splitlines()[-1]}"
            )
