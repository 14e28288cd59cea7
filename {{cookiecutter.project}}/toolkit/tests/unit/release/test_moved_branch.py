"""The branch has moved when a command pushes: it tries again, three times, never by force."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.release.errors import Locked
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.release.status import look
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop

# Another push holds the branch for so many moments; each refused push is counted.
BUSY = """#!/bin/sh
echo x >> pushes
if [ $(wc -l < pushes) -le {times} ]; then : > refs/heads/env/staging.lock
else rm -f refs/heads/env/staging.lock; fi
"""


@pytest.fixture
def busy(shared_workshop: Workshop, tmp_path: Path) -> Callable[[int], Path]:
    """Return a function that makes the remote's branch busy, and returns its count of pushes."""

    def busy(times: int) -> Path:
        remote = tmp_path / "remote.git"
        (remote / "pushes").unlink(missing_ok=True)
        hook = remote / "hooks" / "pre-receive"
        hook.write_text(BUSY.format(times=times), encoding="utf-8")
        hook.chmod(0o755)
        return remote / "pushes"

    return busy


def count(pushes: Path) -> int:
    return len(pushes.read_text(encoding="utf-8").split())


def test_46_a_push_refused_in_passing_is_tried_again(
    shared_workshop: Workshop, busy: Callable[[int], Path]
) -> None:
    first, second = shared_workshop.release(b"one"), shared_workshop.release(b"two")
    shared_workshop.promote(first, shared_workshop.staging)
    pushes = busy(2)
    assert shared_workshop.promote(second, shared_workshop.staging).outcome == "verified"
    assert count(pushes) == 4, "two in vain, one for the lock, one for the outcome"


@pytest.mark.parametrize("command", ["promote", "hold"])
def test_46_after_three_refusals_a_command_gives_up_and_nothing_has_changed(
    shared_workshop: Workshop, platform: InMemoryPlatform, busy: Callable[[int], Path], command: str
) -> None:
    first, second = shared_workshop.release(b"one"), shared_workshop.release(b"two")
    shared_workshop.promote(first, shared_workshop.staging)
    before = shared_workshop.ledger().head("staging")
    pushes = busy(99)
    with pytest.raises(Locked) as refusal:
        if command == "promote":
            shared_workshop.promote(second, shared_workshop.staging)
        else:
            shared_workshop.hold(shared_workshop.staging, "a test output so")
    assert refusal.value.exit_code == 13
    assert refusal.value.state == "staging unchanged by this command"
    assert count(pushes) == 3
    assert shared_workshop.ledger().head("staging") == before
    assert platform.release == first


def test_46_an_outcome_refused_in_passing_is_written_all_the_same(
    shared_workshop: Workshop, platform: InMemoryPlatform, busy: Callable[[int], Path]
) -> None:
    first, second = shared_workshop.release(b"one"), shared_workshop.release(b"two")
    shared_workshop.promote(first, shared_workshop.staging)

    def be_busy(record: Record) -> None:
        busy(2)

    platform.before_apply = be_busy
    assert shared_workshop.promote(second, shared_workshop.staging).outcome == "verified"
    seen = look(shared_workshop.machine, shared_workshop.ledger(), shared_workshop.staging)
    assert (seen.release, seen.owed) == (second.version, 0)


def test_46_a_hold_that_came_between_plan_and_push_is_seen(shared_workshop: Workshop) -> None:
    release = shared_workshop.release()
    plan = shared_workshop.machine.plan_promotion(shared_workshop.staging, release.version)
    shared_workshop.hold(shared_workshop.staging, "the sale begins")
    with pytest.raises(Locked, match="changed while this promote was being planned"):
        shared_workshop.machine.promote(plan, Progress())
    assert [event.kind for event in shared_workshop.ledger().history("staging")] == ["hold"]


def test_46_nothing_is_ever_forced(
    shared_workshop: Workshop,
    busy: Callable[[int], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
    first, second = shared_workshop.release(b"one"), shared_workshop.release(b"two")
    for release in (first, second):
        shared_workshop.promote(release, shared_workshop.staging)
    busy(2)
    shared_workshop.rollback(shared_workshop.staging)
    events = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    commands = [event["argv"] for event in events if event["event"] == "start"]
    pushes = [command for command in commands if "push" in command]
    assert len(pushes) >= 8
    for command in pushes:
        forced = [word for word in command if word.startswith(("+", "--force", "-f", "--mirror"))]
        assert not forced, command
