"""A command that is killed after any of its steps loses nothing: `recover` ends the change.

The command is the real ``invoke``, in a process of its own, killed by SIGKILL (failure cases
18 to 21).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.release.errors import CrashResidue, Locked
from toolkit.release.plan import known_good
from toolkit.release.platforms.protocol import STABLE
from toolkit.release.policy import CanaryPolicy
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.release.status import look
from toolkit.tests.workshop import Workshop

ROOT = Path(__file__).parents[4]
STEPS = {"promote": 5, "rollback": 5}
KILLS = 200
LEASE_S = 1
PATIENCE_S = 10


@pytest.fixture
def shop(workshop: Workshop) -> Workshop:
    """Three releases, two of them promoted to staging, and a policy that the command reads."""
    workshop.write_policy(lease_s=LEASE_S)
    for release in (workshop.release(b"one"), workshop.release(b"two")):
        workshop.promote(release, workshop.staging)
    return workshop


def begin(shop: Workshop, *command: str) -> subprocess.Popen[str]:
    """Start a command as a person types it."""
    invoke = [sys.executable, "-m", "invoke", "--search-root", str(ROOT)]
    return subprocess.Popen(
        [*invoke, *command],
        cwd=shop.folder,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def kill_after(process: subprocess.Popen[str], step: int, delay_s: float = 0.0) -> None:
    """Kill a command when it announces the step after this one, or has ended."""
    assert process.stderr
    for line in process.stderr:
        if f" {step + 1}/" in line or "recorded as" in line:
            time.sleep(delay_s)
            break
    os.kill(process.pid, signal.SIGKILL)
    process.stderr.read()
    process.wait()
    # A push that it had started outlives it, and ends by itself.
    deadline = time.monotonic() + PATIENCE_S
    while group_lives(process.pid):
        assert time.monotonic() < deadline, "a child of the killed command does not end"
        time.sleep(0.01)


def group_lives(leader: int) -> bool:
    """Return whether a process group still has a process."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def recover(shop: Workshop) -> None:
    """Wait for the end of the lease, and recover until nothing is pending."""
    deadline = time.monotonic() + 10 * LEASE_S
    while shop.ledger().history("staging")[0].is_pending:
        assert time.monotonic() < deadline, "the lock is still there"
        try:
            shop.machine.recover(shop.staging, Progress())
        except Locked:
            time.sleep(0.1)


def settled(shop: Workshop) -> str:
    """Return the release that staging serves, without a lock and without drift."""
    history = shop.ledger().history("staging")
    assert not history[0].is_pending
    seen = look(shop.machine, shop.ledger(), shop.staging)
    assert not seen.drift, seen
    return seen.release


@pytest.mark.parametrize("step", range(1, STEPS["promote"] + 1))
def test_18_a_promotion_killed_after_any_step_is_ended(shop: Workshop, step: int) -> None:
    before, third = settled(shop), shop.release(b"three")
    heads = len(shop.ledger().history("staging"))
    kill_after(
        begin(shop, "promote", "--env", "staging", "--version", third.version, "--yes"), step
    )
    is_ended = not shop.ledger().history("staging")[0].is_pending
    last = STEPS["promote"]
    # In the last step the kill may come before or after the event was written.
    assert step == last - 1 or is_ended is (step == last)
    if not is_ended:
        time.sleep(LEASE_S + 1)
        with pytest.raises(CrashResidue) as residue:
            shop.machine.plan_promotion(shop.staging, third.version)
        assert residue.value.exit_code == 51
    recover(shop)
    # Killed before the servers were changed it is undone, afterwards it is completed.
    assert settled(shop) == (third.version if step >= 3 else before)
    assert len(shop.ledger().history("staging")) == heads + (2 if is_ended else 3)
    shop.promote(shop.release(b"four"), shop.staging)


@pytest.mark.parametrize("delay_s", [0.2, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("way_out", ["recover", "rollback"])
def test_18_a_promotion_killed_in_its_canary_leaves_no_server_of_it(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, delay_s: float, way_out: str
) -> None:
    before, third = settled(shop), shop.release(b"three")
    canary = CanaryPolicy(windows=10, looks=1, window_s=1)
    policy = shop.machine.policy
    staging = replace(shop.staging, canary=canary)
    policy = replace(policy, environments=(staging, shop.prod))
    trying = replace(shop, machine=replace(shop.machine, policy=policy))
    trying.write_policy(lease_s=60)
    promotion = begin(shop, "promote", "--env", "staging", "--version", third.version, "--yes")
    kill_after(promotion, 2, delay_s)
    assert shop.ledger().history("staging")[0].is_pending
    monkeypatch.setattr("toolkit.release.event.Event.lease_has_run_out", lambda self: True)
    if way_out == "recover":
        shop.machine.recover(shop.staging, Progress())
    else:
        shop.rollback(shop.staging)
    assert settled(shop) == before
    servers = shop.machine.observe(shop.staging).instances
    assert [one.track for one in servers] == [STABLE] * shop.staging.instances


@pytest.mark.parametrize("step", range(1, STEPS["rollback"] + 1))
def test_19_a_rollback_killed_after_any_step_is_carried_out(shop: Workshop, step: int) -> None:
    history = shop.ledger().history("staging")
    (target,) = known_good(history, history[0].release)
    kill_after(begin(shop, "rollback", "--env", "staging"), step)
    recover(shop)
    assert settled(shop) == target


def test_20_a_recovery_that_is_killed_is_recovered(shop: Workshop) -> None:
    history = shop.ledger().history("staging")
    (target,) = known_good(history, history[0].release)
    kill_after(begin(shop, "rollback", "--env", "staging"), 2)
    time.sleep(LEASE_S + 1)
    kill_after(begin(shop, "recover", "--env", "staging"), 2)
    recover(shop)
    assert settled(shop) == target


@pytest.mark.endurance
def test_two_hundred_kills_in_random_order_lose_nothing(shop: Workshop) -> None:
    rng = random.Random(20)
    releases: list[Record] = []
    for number in range(KILLS):
        command = rng.choice(("promote", "promote", "rollback"))
        history = shop.ledger().history("staging")
        if command == "rollback" and not known_good(history, settled(shop)):
            command = "promote"
        if command == "promote":
            releases.append(shop.release(b"model %d" % number))
            shop.unhold(shop.staging)
            arguments = ["promote", "--env", "staging", "--version", releases[-1].version, "--yes"]
        else:
            arguments = ["rollback", "--env", "staging"]
        grown = shop.ledger().head("staging")
        kill_after(begin(shop, *arguments), rng.randrange(6), rng.uniform(0, 0.3))
        recover(shop)
        settled(shop)
        head = shop.ledger().head("staging")
        assert grown and head
        assert shop.machine.repository.is_ancestor(grown, head), "history only grows"


@pytest.fixture(autouse=True)
def no_ci_of_the_test_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep a command from taking itself for a job of the CI that runs these tests."""
    for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    yield
