"""A change under way: from the event that locks an environment to the one that ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .errors import HeadMoved, Locked, NotServing, RollbackFailed
from .git import Repository
from .ledger import FAILED, Event, Ledger
from .plan import Plan, refuse_a_lock
from .platforms import Platform
from .progress import Progress
from .records import Record
from .smoke import FILE_NAME as SMOKE_NAME
from .smoke import smoke

TRIES = 3


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
    bundles are read from it.

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
    sha: str = field(init=False)
    ledger: Ledger = field(init=False)

    def open(self) -> None:
        """Write the pending event; `Locked` when somebody else was faster."""
        environment = self.plan.environment.name
        with self.progress.step(f"lock {environment}"):
            for _ in range(TRIES):
                ledger = Ledger.open(self.repository)
                if self.plan.command == "promote":
                    history = ledger.history(environment)
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
        if self.plan.command == "promote":
            self.sha = ledger.append(name, self.event, self.files)
        else:
            self.sha, owed = ledger.append_owing(name, self.event, self.files)
            self._say_owed(owed)
        self.ledger = ledger

    def apply(self) -> None:
        """Bring the release to where it serves, and change over to it."""
        with self.progress.step(f"bring {self.plan.record.version} to the platform"):
            self._preflight(self.plan.record)
        with self.progress.step("change over, one instance after the other"):
            self.platform.apply(self.files, self.sha, self._guard)

    def verify(self) -> None:
        """Smoke-test every instance of the release."""
        with self.progress.step("verify /health, /version and /predict of every instance"):
            self._verify(self.plan.record)

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
                    self._preflight(before.record)
                    self.platform.apply(before.files, self.sha, self._guard)
                    self._verify(before.record)
        except NotServing as error:
            self._end(FAILED, why, self.files)
            raise RollbackFailed(
                f"release {self.plan.record.version} failed in {name}, and so did the way back",
                why=f"{why}\nthen: {error}",
                state=f"{name} is not verified; invoke status --env {name} shows what runs",
                next_step=f"invoke rollback --env {name} goes further back",
            ) from None
        return self._end(outcome, why, before.files)

    def close(self, outcome: str) -> Event:
        """Write the terminal event of a change that went well; it frees the lock."""
        return self._end(outcome, self.event.reason, self.files)

    def _preflight(self, record: Record) -> None:
        self.platform.preflight(record, lambda: self.ledger.bundle(record.version))

    def _verify(self, record: Record) -> None:
        verify(self.platform, record, self.ledger.bundle(record.version)[SMOKE_NAME])

    def _guard(self) -> None:
        expect_head(self.repository, self.plan.environment.name, self.sha)

    def _end(self, outcome: str, reason: str, files: Mapping[str, bytes]) -> Event:
        name = self.plan.environment.name
        event = replace(
            self.event,
            outcome=outcome,
            # What a server's log said is for whoever types the command; a history wants one line.
            reason=reason.partition("\n")[0],
            lease_until="",
            duration_s=f"{self.progress.seconds:.1f}",
            caused_by=self.sha,
        )
        with self.progress.step(f"record {outcome}"):
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
        self._say_owed(owed)
        return replace(event, sha=sha)

    def _say_owed(self, owed: str) -> None:
        if owed:
            self.progress.say(
                f"the push is owed, the remote did not take it: {owed.splitlines()[-1]}"
            )
