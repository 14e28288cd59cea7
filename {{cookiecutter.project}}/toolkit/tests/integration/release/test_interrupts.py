"""A real command is ended during a change, as by a terminal or a cancelled CI job."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from toolkit.tests.command_line import CommandLine
from toolkit.tests.workshop import Workshop

INTERRUPTED = 130


@pytest.fixture(autouse=True)
def on_a_terminal() -> Iterator[None]:
    """Start commands as a terminal does: under nohup they would inherit that SIGHUP is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_22_a_command_ended_during_a_change_restores_what_served(
    workshop: Workshop, number: signal.Signals
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"never ready")
    workshop.promote(first, workshop.staging)
    invoke = CommandLine.of(workshop)
    run = invoke.start("promote", "--env", "staging", "--version", second.version, "--yes")
    assert run.stderr is not None
    for line in run.stderr:
        if "/5 rolling update" in line:
            run.send_signal(number)
            break
    output = run.communicate(timeout=60)[1]
    assert run.returncode == INTERRUPTED, output
    assert f"error: the promote to {second.version} was interrupted" in output
    assert f"state: staging serves {first.version}, as before" in output
    assert "Traceback" not in output
    (status,) = invoke.json("status", "--env", "staging", "--exit-code")
    assert (status["release"], status["drift"]) == (first.version, "")
    assert status["newest"]["outcome"] == "aborted"
    assert {one["release"] for one in status["observation"]["instances"]} == {first.version}
