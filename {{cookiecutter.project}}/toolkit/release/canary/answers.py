"""Whether a new release answers otherwise than the one before: a warning, not a verdict.

A better model may well answer otherwise. Who promotes it should know by how much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

# A gap this large is told, if chance makes one like it no more often than this.
NOTICED_GAP = 0.1
CHANCE = 0.001


def numbers_in(answer: Any) -> Iterator[float]:
    """Yield the fractional numbers of an answer: what a model is unsure about, not its labels."""
    if isinstance(answer, float):
        yield answer
    elif isinstance(answer, dict):
        for value in answer.values():
            yield from numbers_in(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from numbers_in(value)


def gap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest distance of two empirical distributions, Kolmogorov and Smirnov's D."""
    if not one or not other:
        return 0.0
    steps = sorted(
        [(value, 1 / len(one)) for value in one] + [(value, -1 / len(other)) for value in other]
    )
    distance = height = 0.0
    for number, (value, step) in enumerate(steps):
        height += step
        # Between equal values the distributions have not both made their step yet.
        if number + 1 == len(steps) or steps[number + 1][0] != value:
            distance = max(distance, abs(height))
    return distance


def warning(baseline: Sequence[float], canary: Sequence[float]) -> str:
    """Say that the answers are distributed otherwise, or return an empty text."""
    distance = gap(baseline, canary)
    if not distance:
        return ""
    size = len(baseline) * len(canary) / (len(baseline) + len(canary))
    # Smirnov's limit of D's distribution, its first term.
    by_chance = 2 * math.exp(-2 * size * distance**2)
    if distance < NOTICED_GAP or by_chance > CHANCE:
        return ""
    return f"the answers are distributed otherwise, by {distance:.0%} of the customers"
