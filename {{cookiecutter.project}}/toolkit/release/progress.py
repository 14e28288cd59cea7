"""The progress of a command for people: steps with elapsed times, on standard error."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Returns to the beginning of the line, and clears it.
CLEAR = "\r\x1b[2K"
WIDTH = 70


class Progress:
    """Prints one line a step; standard output stays free for ``--json``."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._passing = False

    @property
    def seconds(self) -> float:
        """Seconds since the command started."""
        return time.monotonic() - self.started

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step, and its failure."""
        self.say(name)
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self.say(f"  failed after {time.monotonic() - started:.1f} s: {name}")
            raise

    def say(self, text: str) -> None:
        """Print one line with the time since the start."""
        if self._passing:
            print(CLEAR, end="", file=sys.stderr)
            self._passing = False
        print(f"{self.seconds:6.1f}s  {text}", file=sys.stderr, flush=True)

    def pass_by(self, text: str) -> None:
        """Show a line until the next one, on a terminal only."""
        if sys.stderr.isatty() and not os.environ.get("CI"):
            print(f"{CLEAR}         {text[:WIDTH]}", end="", file=sys.stderr, flush=True)
            self._passing = True
