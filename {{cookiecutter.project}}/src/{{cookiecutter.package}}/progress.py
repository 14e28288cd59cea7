"""Tells people who wait what is being done, and what came of it."""

import sys


def say(sentence: str) -> None:
    """Print one line for people: reports and results go elsewhere."""
    print(sentence, file=sys.stderr, flush=True)
