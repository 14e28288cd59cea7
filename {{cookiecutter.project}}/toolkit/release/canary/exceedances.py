"""Latencies above a threshold that both sides share: how two tails are compared."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .exact_tests import sign_flip


@dataclass(frozen=True)
class Exceedances:
    """How often each side was above a common threshold, with the baseline slowed down by a margin.

    Parameters
    ----------
    margin : float
        The baseline's latencies were multiplied by 1 + margin.
    threshold_ms : float
        5 % of the baseline's slowed-down latencies and the canary's together are above it.
    baseline, canary : tuple of Fraction
        The share of each side's requests that was above it, one a window.
    """

    margin: float
    threshold_ms: float
    baseline: tuple[Fraction, ...]
    canary: tuple[Fraction, ...]

    @property
    def differences(self) -> tuple[Fraction, ...]:
        """The canary's share less the baseline's, one a window."""
        pairs = zip(self.canary, self.baseline, strict=True)
        return tuple(canary - baseline for canary, baseline in pairs)

    @property
    def p_slower(self) -> float:
        """The probability of so heavy a tail if the canary were slower by just the margin."""
        return sign_flip(self.differences)

    @property
    def p_within(self) -> float:
        """The probability of so light a tail if the canary were slower by just the margin."""
        return sign_flip([-difference for difference in self.differences])


def compare(
    baseline: Sequence[Sequence[float]], canary: Sequence[Sequence[float]], margin: float
) -> Exceedances:
    """Compare latencies in milliseconds, one sequence a window, none of them empty."""
    slowed = [[(1 + margin) * latency for latency in window] for window in baseline]
    pool = sorted(latency for window in (*slowed, *canary) for latency in window)
    top = max(1, len(pool) // 20)
    threshold = pool[-top]
    # A clock of whole milliseconds puts many on the threshold itself. They count in part, so that
    # the top is 5 % all the same: left out or included, they could outweigh it.
    above_it = len(pool) - bisect_right(pool, threshold)
    on_it = Fraction(top - above_it, pool.count(threshold))

    def share(window: Sequence[float]) -> Fraction:
        above = sum(latency > threshold for latency in window)
        return (above + on_it * window.count(threshold)) / len(window)

    return Exceedances(margin, threshold, tuple(map(share, slowed)), tuple(map(share, canary)))


def p95(latencies: Sequence[float]) -> float:
    """Return the smallest latency that 95 % of them are not above."""
    # In whole numbers, because 0.95 * n is not exact.
    return sorted(latencies)[(95 * len(latencies) + 99) // 100 - 1]
