"""Progress of a run on standard error: a line that renews itself on a terminal, lines elsewhere."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Shorter steps have no duration beside them.
LONG_S = 1.0
# A log gets a line about a long step so often.
LOGGED_S = 30.0
# Back to the beginning of the line, and erase it.
CLEAR = "\r\x1b[2K"
DIM, PLAIN = "\x1b[2m", "\x1b[0m"

# The names of the steps that are running, the outermost first.
_running: list[str] = []


def say(sentence: str) -> None:
    """Print a line for people; reports and results go elsewhere."""
    if _is_terminal():
        sys.stderr.write(CLEAR)
    print(sentence, file=sys.stderr, flush=True)
    _show()


@contextmanager
def step(name: str) -> Iterator[None]:
    """Show what is running, after the steps that it is part of: ``cross-validation: fold 4 of 5``.

    On a terminal it is one line, which the next step overwrites. In a log, or with CI set, each
    step is a line. An outermost step that takes long stays, with its duration.
    """
    began = time.monotonic()
    _running.append(name)
    if _is_terminal():
        _show()
    else:
        say(": ".join(_running))
    try:
        yield
    finally:
        _running.pop()
        if _is_terminal():
            sys.stderr.write(CLEAR)
            _show()
    seconds = time.monotonic() - began
    if seconds >= LONG_S and not _running:
        say(f"{name}: {seconds:.0f} s")


@contextmanager
def counting(name: str) -> Iterator[Callable[[str], None]]:
    """Show a step, and how far it is: ``scoring: 1,250,000 customers``.

    Yields a function that takes the rest of the line: a terminal shows it each time, a log twice a
    minute.
    """
    with step(name):
        place, told = len(_running) - 1, time.monotonic()

        def show(text: str) -> None:
            nonlocal told
            _running[place] = f"{name}: {text}"
            if _is_terminal():
                _show()
            elif time.monotonic() - told >= LOGGED_S:
                told = time.monotonic()
                say(_running[place])

        yield show


def _show() -> None:
    if not _running or not _is_terminal():
        return
    text = ": ".join(_running)[: shutil.get_terminal_size().columns - 1]
    if not os.environ.get("NO_COLOR"):
        text = f"{DIM}{text}{PLAIN}"
    print(f"{CLEAR}{text}", end="", file=sys.stderr, flush=True)


def _is_terminal() -> bool:
    terminal = os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")
    return terminal and sys.stderr.isatty()
