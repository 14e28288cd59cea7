"""Three things hold in every order of commands that hypothesis finds, on real git.

What an environment serves has passed its gate; the last known good release is never a bad one; and
history only grows.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from toolkit.release import engine
from toolkit.release.audit import audit
from toolkit.release.change import Change
from toolkit.release.checks import known_bad
from toolkit.release.engine import Machine
from toolkit.release.errors import ReleaseError
from toolkit.release.git import Repository
from toolkit.release.plan import known_good
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop

ENVIRONMENTS = st.sampled_from(["staging", "prod"])
MODELS = st.sampled_from([b"good", b"wrong predictions", b"never ready", b"wrong version"])
# The call before which a command is killed.
DEATHS = st.sampled_from(["work", "deploy", "close", "undo"])


class Killed(BaseException):
    """Stands in for SIGKILL: no handler sees it."""


class Story(RuleBasedStateMachine):
    """A team that builds, promotes, rolls back, is killed, and loses its remote."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = Path(tempfile.mkdtemp())
        self.platforms = {"staging": InMemoryPlatform(), "prod": InMemoryPlatform()}
        self.patch = mock.patch.object(
            engine, "platform_of", lambda environment, _: self.platforms[environment.name]
        )
        self.patch.start()
        self.remote = self.scratch / "remote.git"
        self.shop = Workshop.open(self.scratch / "clone", self.remote)
        self.releases: list[Record] = []
        self.heads: dict[str, str] = {}

    def teardown(self) -> None:
        self.patch.stop()
        assert audit(self.shop.ledger(), self.shop.machine.policy).findings == []
        for platform in self.platforms.values():
            platform.close()
        shutil.rmtree(self.scratch)

    def command(self, act: Callable[[Workshop], object], expired: bool = False) -> None:
        """Run a command, which may be refused or killed."""
        machine = self.shop.machine
        policy = replace(machine.policy, lease_s=-60) if expired else machine.policy
        fresh = Machine(Repository(self.shop.folder), policy)
        try:
            act(replace(self.shop, machine=fresh))
        except (ReleaseError, Killed):
            pass

    @rule(model=MODELS, gate=st.sampled_from(["passed", "passed", "failed"]))
    def build(self, model: bytes, gate: str) -> None:
        self.command(lambda shop: self.releases.append(shop.release(model, gate)))

    @precondition(lambda self: self.releases)
    @rule(name=ENVIRONMENTS, age=st.integers(0, 3))
    def promote(self, name: str, age: int) -> None:
        release = self.releases[-1 - age % len(self.releases)]
        self.command(lambda shop: shop.promote(release, shop.machine.policy.environment(name)))

    @rule(name=ENVIRONMENTS)
    def roll_back(self, name: str) -> None:
        self.command(lambda shop: shop.rollback(shop.machine.policy.environment(name)))

    @rule(name=ENVIRONMENTS)
    def let_in(self, name: str) -> None:
        self.command(lambda shop: shop.unhold(shop.machine.policy.environment(name)))

    @precondition(lambda self: self.releases)
    @rule(name=ENVIRONMENTS, death=DEATHS, back=st.booleans())
    def die(self, name: str, death: str, back: bool) -> None:
        def act(shop: Workshop) -> None:
            environment = shop.machine.policy.environment(name)
            if back:
                shop.rollback(environment)
            else:
                shop.promote(self.releases[-1], environment)

        def killed(change: Change, *arguments: object) -> None:
            raise Killed

        with mock.patch.object(Change, death, killed):
            self.command(act, expired=True)

    @rule(name=ENVIRONMENTS)
    def recover(self, name: str) -> None:
        environment = self.shop.machine.policy.environment(name)
        self.command(lambda shop: shop.machine.recover(environment, Progress()))

    @rule()
    def lose_the_remote(self) -> None:
        self.remote.rename(self.scratch / "gone.git")
        try:
            self.command(lambda shop: shop.rollback(shop.staging))
        finally:
            (self.scratch / "gone.git").rename(self.remote)

    @invariant()
    def what_serves_has_passed_its_gate(self) -> None:
        for name, platform in self.platforms.items():
            assert platform.release is None or platform.release.gate == "passed", name

    @invariant()
    def the_last_known_good_is_never_bad(self) -> None:
        for name in self.platforms:
            history = self.shop.ledger().history(name)
            current = history[0].release if history else ""
            assert not set(known_good(history, current)) & known_bad(history)

    @invariant()
    def history_only_grows(self) -> None:
        for name in self.platforms:
            head = self.shop.ledger().head(name)
            if name in self.heads:
                assert head
                assert self.shop.machine.repository.is_ancestor(self.heads[name], head)
            if head:
                self.heads[name] = head

    @invariant()
    def without_a_lock_git_says_what_serves(self) -> None:
        for name, platform in self.platforms.items():
            history = self.shop.ledger().history(name)
            if history and not history[0].is_pending and history[0].outcome != "failed":
                desired = self.shop.ledger().desired(history[0].sha)
                serves = platform.release.to_json() if platform.release else None
                assert desired.get("release.json") == serves, name


def tell(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_short_stories_keep_what_must_hold() -> None:
    tell(examples=6, steps=12)


@pytest.mark.endurance
def test_long_stories_keep_what_must_hold() -> None:
    tell(examples=60, steps=40)
