"""Exact tests for small numbers, without assumptions about a distribution."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction

# A weight this far below that of the mode changes no sum, and the next one would soon be zero.
NEGLIGIBLE = 1e-300


def binomial_at_least(k: int, n: int, p: float) -> float:
    """Return the probability of k or more of n, each with probability p < 1.

    Examples
    --------
    >>> round(binomial_at_least(2, 3, 0.5), 12)
    0.5
    """
    odds = p / (1 - p)
    mode = min(n, int((n + 1) * p))
    return _at_least(k, range(n + 1), mode, lambda i: (n - i) / (i + 1) * odds)


def binomial_at_most(k: int, n: int, p: float) -> float:
    """Return the probability of k or fewer of n, each with probability 0 < p < 1."""
    return binomial_at_least(n - k, n, 1 - p)


def fisher_more(k: int, n: int, other_k: int, other_n: int) -> float:
    """Return Fisher's one-sided p: k of n or more, if both sides had the same rate.

    Examples
    --------
    A lady says rightly of three of four cups that their milk came first.

    >>> round(fisher_more(3, 4, 1, 4), 4)
    0.2429
    """
    both = k + other_k
    support = range(max(0, both - other_n), min(both, n) + 1)
    mode = min(support[-1], (both + 1) * (n + 1) // (n + other_n + 2))
    return _at_least(
        k,
        support,
        mode,
        lambda i: (n - i) * (both - i) / ((i + 1) * (other_n - both + i + 1)),
    )


def _at_least(k: int, support: range, mode: int, ratio: Callable[[int], float]) -> float:
    """Return the probability of k or more, from the ratios P(i + 1) / P(i).

    Weights are relative to the mode's and end where they no longer count: no factorial that
    overflows, no 1 - 0.999... that loses its digits, and as many steps as there are deviations.
    """
    weights = {mode: 1.0}
    weight = 1.0
    for i in range(mode, support[-1]):
        weight *= ratio(i)
        if weight < NEGLIGIBLE:
            break
        weights[i + 1] = weight
    weight = 1.0
    for i in range(mode - 1, support[0] - 1, -1):
        weight /= ratio(i)
        if weight < NEGLIGIBLE:
            break
        weights[i] = weight
    reached = math.fsum(weight for i, weight in weights.items() if i >= k)
    return reached / math.fsum(weights.values())


def sign_flip(differences: Sequence[Fraction]) -> float:
    """Return the share of all sign patterns whose mean is at least the mean that was seen.

    If windows are independent, and neither side is the larger one, each sign is a toss of a coin.
    What requests have in common within a window does no harm.

    Examples
    --------
    Of the 8 patterns of 1, 2, 3 only the one without a minus reaches 2.

    >>> sign_flip([Fraction(1), Fraction(2), Fraction(3)])
    0.125
    """
    scale = math.lcm(*(difference.denominator for difference in differences))
    whole = [int(difference * scale) for difference in differences]
    # A subset's signs, flipped, take off twice its sum: the mean stays or grows where that is not
    # positive. Subsets are counted in two halves, 2 * 2^10 sums and not 2^20 for 20 windows.
    # Counting equal sums (dynamic programming) would save nothing: windows have different numbers
    # of requests, so their shares have hardly a sum in common. Whole numbers make ties exact.
    half = len(whole) // 2
    ordered = sorted(_subset_sums(whole[half:]))
    count = sum(bisect_right(ordered, -one) for one in _subset_sums(whole[:half]))
    return float(count / 2 ** len(whole))


def _subset_sums(values: Sequence[int]) -> list[int]:
    sums = [0]
    for value in values:
        sums += [one + value for one in sums]
    return sums
