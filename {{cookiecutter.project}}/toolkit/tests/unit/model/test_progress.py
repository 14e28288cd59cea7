"""A terminal shows one line that renews itself; a log has a line for each step."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

CROSS_VALIDATION = """
from toolkit.data.progress import say, step
with step("cross-validation 2 of 3"):
    for fold in range(1, 6):
        with step(f"fold {fold} of 5"):
            pass
    say("the threshold is 0.4")
say("gate: passed")
"""

LINES = [
    "cross-validation 2 of 3",
    *(f"cross-validation 2 of 3: fold {fold} of 5" for fold in range(1, 6)),
    "the threshold is 0.4",
    "gate: passed",
]


def environment(**changes: str) -> dict[str, str]:
    kept = {key: os.environ[key] for key in os.environ if key not in ("CI", "NO_COLOR", "COLUMNS")}
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm"} | changes


def in_a_log(code: str, **changes: str) -> list[str]:
    """Run a program whose standard error is a pipe, and return its lines."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def on_a_terminal(code: str, **changes: str) -> str:
    """Run a program whose standard error is a terminal, and return everything it was sent."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", code], env=environment(**changes), stderr=theirs
    )
    os.close(theirs)
    sent = b""
    try:
        while part := os.read(ours, 4096):
            sent += part
    except OSError:  # Linux says so when the other end has closed.
        pass
    finally:
        os.close(ours)
        program.wait()
    return sent.decode()


def displayed(sent: str) -> list[str]:
    """Return the lines that stay on the screen: an erased line leaves nothing."""
    return [line.rpartition("\r\x1b[2K")[2] for line in sent.split("\r\n")]


def test_a_terminal_shows_each_step_in_one_line_that_renews_itself() -> None:
    sent = on_a_terminal(CROSS_VALIDATION)
    assert "\r\x1b[2K\x1b[2mcross-validation 2 of 3: fold 4 of 5\x1b[0m" in sent
    assert sent.count("\r\n") == 2
    assert displayed(sent) == ["the threshold is 0.4", "gate: passed", ""]


def test_a_step_stays_in_sight_while_it_says_something() -> None:
    sent = on_a_terminal(CROSS_VALIDATION)
    after = sent.partition("the threshold is 0.4\r\n")[2]
    assert after.startswith("\r\x1b[2K\x1b[2mcross-validation 2 of 3\x1b[0m")


def test_a_log_has_a_line_for_each_step() -> None:
    assert in_a_log(CROSS_VALIDATION) == LINES


@pytest.mark.parametrize("changes", [{"CI": "true"}, {"TERM": "dumb"}])
def test_ci_and_a_terminal_that_erases_nothing_have_plain_lines(changes: dict[str, str]) -> None:
    sent = on_a_terminal(CROSS_VALIDATION, **changes)
    assert sent.split("\r\n") == [*LINES, ""]


def test_no_color_has_no_colour_and_still_one_line() -> None:
    sent = on_a_terminal(CROSS_VALIDATION, NO_COLOR="1")
    assert "\r\x1b[2Kcross-validation 2 of 3: fold 4 of 5" in sent
    assert "\x1b[" not in sent.replace("\x1b[2K", "")
    assert displayed(sent) == ["the threshold is 0.4", "gate: passed", ""]


def test_a_line_is_cut_to_the_width_of_the_terminal() -> None:
    sent = on_a_terminal(CROSS_VALIDATION, COLUMNS="30", NO_COLOR="1")
    assert "\r\x1b[2Kcross-validation 2 of 3: fold\r\x1b[2K" in sent


def test_a_step_that_fails_leaves_the_line_to_the_error() -> None:
    code = "from toolkit.data.progress import step\nwith step('training'):\n    exit('it failed')"
    assert displayed(on_a_terminal(code)) == ["it failed", ""]


@pytest.mark.parametrize("run", [lambda code: displayed(on_a_terminal(code))[:-1], in_a_log])
def test_only_an_outermost_step_that_takes_long_says_how_long(run: object) -> None:
    code = CROSS_VALIDATION.replace(
        "from toolkit.data.progress import say, step",
        "from toolkit.data import progress\n"
        "from toolkit.data.progress import say, step\n"
        "clock = iter(range(0, 70, 5))\n"
        "progress.time = type('Clock', (), {'monotonic': lambda: next(clock)})",
    )
    assert callable(run)
    lines = run(code)
    assert [line for line in lines if line.endswith(" s")] == ["cross-validation 2 of 3: 55 s"]
