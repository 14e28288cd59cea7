"""A distribution is a few counts that a hand can check."""

import numpy as np
import pandas as pd
import pytest

from toolkit.data.distribution import SHARES, measure_categories, measure_numbers


def test_numbers_are_counted_in_tenths() -> None:
    found = measure_numbers(np.arange(1000.0), None)
    assert (found.rows, found.nulls, found.mean) == (1000, 0, 499.5)
    assert found.sd == pytest.approx(1000 / 12**0.5, rel=1e-3)
    assert found.edges == tuple(np.arange(105.0, 1000, 100))
    assert found.counts == (106, *8 * (100,), 94)
    assert found.quantiles == tuple(np.arange(5.0, 1000, 10))


def test_nulls_are_counted_and_otherwise_left_out() -> None:
    found = measure_numbers(np.array([np.nan, 2.0, np.nan, 4.0]), None)
    assert (found.rows, found.nulls, found.mean, found.sd) == (2, 2, 3.0, 1.0)


def test_another_table_is_counted_in_the_same_bins() -> None:
    reference = measure_numbers(np.arange(1000.0), None)
    found = measure_numbers(np.full(50, 2000.0), reference)
    assert (found.edges, found.start, found.width) == (
        *(reference.edges, reference.start, reference.width),
    )
    assert found.counts == (*9 * (0,), 50)
    assert found.bars == (*23 * (0,), 50)


def test_flags_keep_their_two_values_apart() -> None:
    found = measure_numbers(np.array([0.0] * 700 + [1.0] * 300), None, whole=True)
    assert (found.edges, found.counts) == ((0.0, 1.0), (700, 300, 0))
    assert (found.start, found.width, found.bars) == (0.0, 1.0, (700, 300))


def test_a_bar_of_whole_numbers_holds_as_many_of_them_as_any_other() -> None:
    found = measure_numbers(np.repeat(np.arange(100.0), 3), None, whole=True)
    assert found.width == 5.0
    assert set(found.bars[1:-1]) == {15}


def test_a_constant_has_one_bar() -> None:
    found = measure_numbers(np.full(10, 7.0), None)
    assert (found.sd, found.edges, found.counts, found.bars) == (0.0, (7.0,), (10, 0), (10,))


def test_no_value_at_all_is_a_distribution_too() -> None:
    found = measure_numbers(np.full(3, np.nan), None)
    assert (found.rows, found.nulls, found.quantiles, sum(found.counts)) == (0, 3, (), 0)


def test_quantiles_are_at_the_middles_of_equal_parts() -> None:
    assert (SHARES[0], SHARES[-1], len(SHARES)) == (0.005, 0.995, 100)


def test_categories_are_counted_by_name() -> None:
    found = measure_categories(pd.Series(["b", "a", None, "b"], dtype="str"))
    assert (found.rows, found.nulls, found.counts) == (3, 1, {"a": 1, "b": 2})
