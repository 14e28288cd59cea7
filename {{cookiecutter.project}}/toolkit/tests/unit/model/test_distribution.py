"""A distribution is a few counts that can be checked by hand."""

import numpy as np
import pandas as pd
import pytest

from toolkit.data.distribution import PROBABILITIES, measure_categories, measure_numbers


def test_numbers_are_counted_in_tenths() -> None:
    measured = measure_numbers(np.arange(1000.0), None)
    assert (measured.rows, measured.nulls, measured.mean) == (1000, 0, 499.5)
    assert measured.sd == pytest.approx(1000 / 12**0.5, rel=1e-3)
    assert measured.edges == tuple(np.arange(105.0, 1000, 100))
    assert measured.counts == (106, *8 * (100,), 94)
    assert measured.quantiles == tuple(np.arange(5.0, 1000, 10))


def test_nulls_are_counted_and_otherwise_ignored() -> None:
    measured = measure_numbers(np.array([np.nan, 2.0, np.nan, 4.0]), None)
    assert (measured.rows, measured.nulls, measured.mean, measured.sd) == (2, 2, 3.0, 1.0)


def test_another_table_is_counted_in_the_same_bins() -> None:
    reference = measure_numbers(np.arange(1000.0), None)
    measured = measure_numbers(np.full(50, 2000.0), reference)
    assert (measured.edges, measured.start, measured.width) == (
        *(reference.edges, reference.start, reference.width),
    )
    assert measured.counts == (*9 * (0,), 50)
    assert measured.bars == (*23 * (0,), 50)


def test_the_two_values_of_a_flag_have_bins_of_their_own() -> None:
    measured = measure_numbers(np.array([0.0] * 700 + [1.0] * 300), None, whole=True)
    assert (measured.edges, measured.counts) == ((0.0, 1.0), (700, 300, 0))
    assert (measured.start, measured.width, measured.bars) == (0.0, 1.0, (700, 300))


def test_all_bars_of_integers_cover_the_same_number_of_them() -> None:
    measured = measure_numbers(np.repeat(np.arange(100.0), 3), None, whole=True)
    assert measured.width == 5.0
    assert set(measured.bars[1:-1]) == {15}


def test_a_constant_has_one_bar() -> None:
    measured = measure_numbers(np.full(10, 7.0), None)
    assert (measured.sd, measured.edges, measured.counts, measured.bars) == (
        0.0,
        (7.0,),
        (10, 0),
        (10,),
    )


def test_nulls_alone_have_a_distribution() -> None:
    measured = measure_numbers(np.full(3, np.nan), None)
    assert (measured.rows, measured.nulls, measured.quantiles, sum(measured.counts)) == (
        0,
        3,
        (),
        0,
    )


def test_quantiles_are_at_the_midpoints_of_equal_parts() -> None:
    assert (PROBABILITIES[0], PROBABILITIES[-1], len(PROBABILITIES)) == (0.005, 0.995, 100)


def test_categories_are_counted_by_name() -> None:
    measured = measure_categories(pd.Series(["b", "a", None, "b"], dtype="str"))
    assert (measured.rows, measured.nulls, measured.counts) == (3, 1, {"a": 1, "b": 2})
