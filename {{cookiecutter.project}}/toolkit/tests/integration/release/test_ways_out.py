"""From whatever a killed command leaves, the printed "next" lines lead to a verified state.

Every command is killed before each thing that it does to git or to the platform, in histories of
several kinds. Then somebody types one command after the other, as the answers say.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from toolkit.release import engine, status
from toolkit.release.engine import Machine
from toolkit.release.errors import NotServing, ReleaseError
from toolkit.release.event import Event
from toolkit.release.git import Repository
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.release.status import look
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop

# What a command does that others can see.
IN_GIT = ("swap_reference", "set_reference", "push")
ON_PLATFORM = ("preflight", "apply", "stop")
COMMAND = re.compile(r"invoke (promote|deploy|recover|rollback|unhold|status)\b([^;,]*)")
STARTS = ("promote", "deploy", "recover", "rollback", "status")
# Nobody has the patience for more.
COMMANDS = 6


class Killed(BaseException):
    """Stands in for SIGKILL: no handler sees it."""


@dataclass
class Killer:
    """Lets a command do so many things, and then kills it."""

    left: int

    def strike(self) -> None:
        """Kill the command if its time has come."""
        self.left -= 1
        if self.left < 0:
            raise Killed


@dataclass
class Clock:
    """Says whether leases have ended."""

    has_passed: bool = False


@dataclass(frozen=True)
class Shop:
    """A workshop, its platform, and the time."""

    workshop: Workshop
    platform: InMemoryPlatform
    clock: Clock
    named: dict[str, Record] = field(default_factory=dict)

    def make(self, name: str) -> Record:
        """Return a release by its name, made where it is not there yet."""
        if name not in self.named:
            self.named[name] = self.workshop.release(name.encode())
        return self.named[name]

    def type(self, command: str, version: str | None = None) -> None:
        """Carry out one command."""
        machine, staging = self.workshop.machine, self.workshop.staging
        if command == "promote":
            plan = machine.plan_promotion(staging, version)
            if not plan.nothing_to_do:
                machine.promote(plan, Progress())
        elif command == "rollback":
            machine.rollback(machine.plan_rollback(staging, version), Progress(), "a test")
        elif command == "recover":
            machine.recover(staging, Progress())
        elif command == "deploy":
            machine.deploy(staging, Progress())
        elif command == "unhold":
            self.workshop.unhold(staging)

    def is_verified(self) -> bool:
        """Return whether staging serves what it should, which was verified, and has no lock."""
        seen = look(self.workshop.machine, self.workshop.ledger(), self.workshop.staging)
        is_locked = seen.newest is not None and seen.newest.is_pending
        return seen.is_verified and not (is_locked or seen.drift or seen.unseen)

    def sign(self) -> tuple[object, ...]:
        """Return what tells two states apart: the history, and what runs."""
        history = self.workshop.ledger().history("staging")
        runs = self.platform.release.version if self.platform.release else ""
        return runs, *((one.kind, one.release, one.outcome) for one in history)

    def status(self) -> str:
        """Return what `invoke status` says."""
        return str(look(self.workshop.machine, self.workshop.ledger(), self.workshop.staging))


def nothing(shop: Shop) -> None:
    """No release was promoted yet."""


def one(shop: Shop) -> None:
    shop.type("promote", shop.make("A").version)


def two(shop: Shop) -> None:
    one(shop)
    shop.type("promote", shop.make("B").version)


def rolled_back(shop: Shop) -> None:
    """B was found bad, A serves."""
    two(shop)
    shop.type("rollback")
    shop.type("unhold")


def back_to_what_was_bad(shop: Shop) -> None:
    """A and B were rolled back from; B was verified after that, and serves."""
    two(shop)
    shop.type("rollback")
    shop.type("rollback", shop.named["B"].version)
    shop.type("unhold")


def promoted_again(shop: Shop) -> None:
    """B was rolled back from, was verified again, and serves."""
    rolled_back(shop)
    shop.type("promote", shop.named["B"].version)


def a_rollback_failed(shop: Shop) -> None:
    """The only release to go back to does not start any more; B serves as before."""
    two(shop)
    with breaking(shop, "A"), pytest.raises(ReleaseError):
        shop.type("rollback")
    shop.type("unhold")


@contextmanager
def breaking(shop: Shop, name: str) -> Iterator[None]:
    """Let a release not start."""

    def refuse(record: Record) -> None:
        if record == shop.named[name]:
            raise NotServing("it does not start")

    shop.platform.before_apply = refuse
    yield
    shop.platform.before_apply = lambda record: None


HISTORIES = [
    nothing,
    one,
    two,
    rolled_back,
    back_to_what_was_bad,
    promoted_again,
    a_rollback_failed,
]


def killed(shop: Shop, things: int, command: str, version: str | None) -> bool:
    """Carry out a command that dies after so many things; return whether it has died."""
    killer = Killer(things)

    def lethal(call: Callable[..., Any]) -> Callable[..., Any]:
        def then(*arguments: Any, **options: Any) -> Any:
            killer.strike()
            return call(*arguments, **options)

        return then

    with pytest.MonkeyPatch.context() as patch:
        for name in IN_GIT:
            patch.setattr(Repository, name, lethal(getattr(Repository, name)))
        for name in ON_PLATFORM:
            patch.setattr(shop.platform, name, lethal(getattr(shop.platform, name)))
        try:
            shop.type(command, version)
        except Killed:
            return True
        except ReleaseError:
            # It refuses, or its release failed: there was nothing left to die of.
            return False
    return False


def follow(shop: Shop, start: str, pick: int, known: set[tuple[object, ...]]) -> bool:
    """Type commands as the answers say until staging is verified, the first or the last that one
    names; return whether some answer left a choice. What led there before is not typed again.
    """
    typed: list[str] = []
    way: set[tuple[object, ...]] = set()
    command, version, is_choice = start, None, False
    while not shop.is_verified():
        assert len(typed) < COMMANDS, "\n".join(typed)
        place = (shop.sign(), shop.clock.has_passed, command, version, pick)
        if place in known:
            break
        way.add(place)
        said = shop.status()
        try:
            shop.type(command, version)
        except ReleaseError as error:
            said = str(error).rpartition("next:")[2]
        typed.append(f"{command} {version or ''}: {said}")
        shop.clock.has_passed |= "wait" in said
        found = COMMAND.findall(said)
        is_choice |= len(found) > 1
        assert found or shop.is_verified(), "\n".join(typed)
        command, options = found[pick] if found else (command, "")
        version = (re.findall(r"--version (\S+)", options) or [None])[0]
    known |= way
    return is_choice


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let every lease end when the test says so."""
    clock = Clock()
    monkeypatch.setattr(Event, "lease_has_run_out", lambda self: clock.has_passed)
    return clock


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryPlatform]:
    """The one platform of the workshop and of its copies."""
    platform = InMemoryPlatform()
    for module in (engine, status):
        monkeypatch.setattr(module, "platform_of", lambda *_: platform, raising=False)
    yield platform
    platform.close()


@contextmanager
def copied(shop: Shop, folder: Path) -> Iterator[Shop]:
    """Return a copy of the repository, and bring the platform back afterwards."""
    platform = shop.platform
    kept = platform.release, platform.since, dict(platform.bundles)
    handler = platform.handler
    answers = handler.record, handler.model
    shutil.copytree(shop.workshop.folder, folder)
    machine = Machine(Repository(folder), replace(shop.workshop.machine.policy, root=folder))
    shop.clock.has_passed = False
    try:
        yield Shop(Workshop(folder, machine), platform, shop.clock, dict(shop.named))
    finally:
        shutil.rmtree(folder)
        platform.release, platform.since, platform.bundles = kept
        handler.record, handler.model = answers


def commands(shop: Shop) -> list[tuple[str, str | None]]:
    """Return what may be killed: a promotion, and each rollback that is possible."""
    history = shop.workshop.ledger().history("staging")
    verified = {event.release for event in history if event.outcome == "verified"}
    serves = shop.platform.release.version if shop.platform.release else ""
    return [
        ("promote", None),
        ("rollback", None),
        *(("rollback", version) for version in sorted(verified - {serves})),
    ]


@pytest.mark.parametrize("history", HISTORIES)
def test_21_every_killed_command_has_a_way_out_that_is_printed(
    tmp_path: Path, platform: InMemoryPlatform, clock: Clock, history: Callable[[Shop], None]
) -> None:
    shop = Shop(Workshop.open(tmp_path / "clone", None), platform, clock)
    history(shop)
    assert shop.is_verified()
    shop.make("next")
    seen = set()
    for command, version in commands(shop):
        for things in range(100):
            with copied(shop, tmp_path / "killed") as dead:
                if not killed(dead, things, command, version):
                    break
                if dead.sign() in seen:
                    continue
                seen.add(dead.sign())
                known: set[tuple[object, ...]] = set()
                for start in STARTS:
                    with copied(dead, tmp_path / "copy") as copy:
                        is_choice = follow(copy, start, 0, known)
                    if is_choice:
                        with copied(dead, tmp_path / "copy") as copy:
                            follow(copy, start, -1, known)
    assert len(seen) > 2, "a command died before it had locked anything, and after that"
