"""Thousands of tables written in random formats are read back to the same values, or refused."""

from pathlib import Path

import pytest

from toolkit.tests import random_tables

TABLES, BLOCK = 5000, 100


@pytest.mark.full
@pytest.mark.parametrize("first", range(0, TABLES, BLOCK))
def test_random_tables_are_read_back_or_refused(tmp_path: Path, first: int) -> None:
    seeds = range(first, first + BLOCK)
    read = [random_tables.is_read_back(tmp_path, seed) for seed in seeds]
    assert sum(read) >= random_tables.MIN_READ * BLOCK
