"""Compares the predictions of a new release with those of the one before: a warning, no verdict.

A better model may well predict otherwise. Its promoter should know by how much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

# A difference of at least NOTICED_GAP is reported if chance explains it no more often than CHANCE.
NOTICED_GAP = 0.1
CHANCE = 0.001


def numbers_in(answer: Any) -> Iterator[float]:
    """Yield the fractional numbers of an answer: probabilities, not labels."""
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
        # Equal values belong to one step of both distributions.
        if number + 1 == len(steps) or steps[number + 1][0] != value:
            distance = max(distance, abs(height))
    return distance


def warning(baseline: Sequence[float], canary: Sequence[float]) -> str:
    """Return that the distribution of the answers has changed, or an empty text."""
    distance = gap(baseline, canary)
    if not distance:
        return ""
    size = len(baseline) * len(canary) / (len(baseline) + len(canary))
    # Smirnov's limit of D's distribution, its first term.
    by_chance = 2 * math.exp(-2 * size * distance**2)
    if distance < NOTICED_GAP or by_chance > CHANCE:
        return ""
    return f"the distribution of the answers differs by {distance:.0%} of the customers"
