"""What a person sees while a command works: steps with elapsed times, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Prints one line a step; standard output stays free for ``--json``."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self.started

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step, and say so if it failed."""
        self.say(name)
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self.say(f"  failed after {time.monotonic() - began:.1f} s: {name}")
            raise

    def say(self, text: str) -> None:
        """Print one line with the time since the beginning."""
        print(f"{self.seconds:6.1f}s  {text}", file=sys.stderr, flush=True)
