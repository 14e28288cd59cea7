"""The canary's exact tests, compared with counts by hand."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.release.canary.exact_tests import (
    binomial_at_least,
    binomial_at_most,
    fisher_more,
    sign_flip,
)


def test_binomial_tails_are_those_counted_by_hand() -> None:
    assert binomial_at_least(2, 3, 0.5) == pytest.approx(4 / 8)
    assert binomial_at_least(1, 2, 0.1) == pytest.approx(1 - 0.81)
    assert binomial_at_most(1, 3, 0.5) == pytest.approx(4 / 8)
    assert binomial_at_least(0, 0, 0.001) == 1


def test_a_binomial_tail_of_a_million_requests_is_neither_lost_nor_overflows() -> None:
    assert binomial_at_least(1, 10**6, 0.001) == 1
    assert binomial_at_least(1000, 10**6, 0.001) == pytest.approx(0.5, abs=0.01)
    assert binomial_at_least(500_000, 10**6, 0.001) == 0


@pytest.mark.parametrize(("n", "k"), [(60, 8), (100, 12), (200, 19), (500, 38), (1000, 68)])
def test_p95_above_the_slo_is_rejected_from_so_many_slow_requests_on(n: int, k: int) -> None:
    assert binomial_at_least(k, n, 0.05) <= 0.01 < binomial_at_least(k - 1, n, 0.05)


@pytest.mark.parametrize(("n", "k"), [(59, 0), (93, 1), (124, 2), (153, 3), (181, 4)])
def test_p95_within_the_slo_is_shown_from_wilks_numbers_on(n: int, k: int) -> None:
    assert binomial_at_most(k, n, 0.05) <= 0.05 < binomial_at_most(k, n - 1, 0.05)


def test_fishers_test_is_the_lady_tasting_tea() -> None:
    assert fisher_more(3, 4, 1, 4) == pytest.approx(17 / 70)
    assert fisher_more(4, 4, 0, 4) == pytest.approx(1 / 70)
    assert fisher_more(0, 4, 0, 4) == 1


def test_sign_flips_are_counted_by_hand_and_ties_count() -> None:
    assert sign_flip([Fraction(n) for n in (1, 2, 3)]) == 1 / 8
    # 1, 1, -1: as seen, with the two of one size exchanged (twice), and all three up.
    assert sign_flip([Fraction(1, 10), Fraction(1, 10), Fraction(-1, 10)]) == 4 / 8
    assert sign_flip([Fraction(0)] * 5) == 1


def test_sign_flips_of_forty_windows_are_exact() -> None:
    assert sign_flip([Fraction(1, 7 + n) for n in range(20)]) == 2**-20
    assert sign_flip([Fraction(1)] * 19 + [Fraction(-1)]) == (1 + 20) / 2**20


shares = st.builds(Fraction, st.integers(-9, 9), st.integers(1, 9))


@given(st.lists(shares, max_size=10))
@settings(derandomize=True, database=None, deadline=None, max_examples=30)
def test_sign_flips_are_those_of_brute_force(differences: list[Fraction]) -> None:
    patterns = list(itertools.product((-1, 1), repeat=len(differences)))
    seen = sum(differences)
    reached = sum(
        sum(sign * one for sign, one in zip(pattern, differences, strict=True)) >= seen
        for pattern in patterns
    )
    assert sign_flip(differences) == reached / len(patterns)
