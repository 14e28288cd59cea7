"""A real command is ended half-way, as a terminal or a cancelled CI job does it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from toolkit.tests.door import Door
from toolkit.tests.workshop import Workshop

INTERRUPTED = 130


@pytest.fixture(autouse=True)
def on_a_terminal() -> Iterator[None]:
    """Begin commands as a terminal does: whoever tests under nohup hands on its deafness."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_22_a_command_that_is_ended_half_way_brings_back_what_served(
    workshop: Workshop, number: signal.Signals
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"never ready")
    workshop.promote(first, workshop.staging)
    door = Door.of(workshop)
    run = door.start("promote", "--env", "staging", "--version", second.version, "--yes")
    assert run.stderr is not None
    for line in run.stderr:
        if "/5 change over" in line:
            run.send_signal(number)
            break
    said = run.communicate(timeout=60)[1]
    assert run.returncode == INTERRUPTED, said
    assert f"error: the promote to {second.version} was interrupted" in said
    assert f"state: staging serves {first.version}, as before" in said
    assert "Traceback" not in said
    (status,) = door.ask("status", "--env", "staging", "--exit-code")
    assert (status["release"], status["drift"]) == (first.version, "")
    assert status["newest"]["outcome"] == "aborted"
    assert {one["release"] for one in status["observation"]["instances"]} == {first.version}
