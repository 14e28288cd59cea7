"""Tells people who wait what is being done, for how long, and what came of it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Quicker steps need no time beside them.
LONG_S = 1.0


def say(sentence: str) -> None:
    """Print one line for people: reports and results go elsewhere."""
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a step, and say how long it took if that was long."""
    began = time.monotonic()
    say(name)
    yield
    seconds = time.monotonic() - began
    if seconds >= LONG_S:
        say(f"  took {seconds:.0f} s")
