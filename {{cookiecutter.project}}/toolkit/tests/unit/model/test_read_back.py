"""A table written in any format is read back to the same values, or refused."""

from decimal import Decimal
from pathlib import Path

import pytest

from toolkit.errors import DataError
from toolkit.tests import random_tables
from toolkit.tests.random_tables import RandomTable

TABLES = 60


def test_random_tables_are_read_back_or_refused(tmp_path: Path) -> None:
    read = [random_tables.is_read_back(tmp_path, seed) for seed in range(TABLES)]
    assert sum(read) >= random_tables.MIN_READ * TABLES


def test_a_value_that_was_read_as_another_is_seen(tmp_path: Path) -> None:
    rows = range(random_tables.ROWS)
    labels = ["yes" if row % 3 else "no" for row in rows]
    path = tmp_path / "table.csv"
    lines = [f"K{row},{row % 70},{label}" for row, label in zip(rows, labels, strict=True)]
    path.write_text("\n".join(["customer,spend,left", *lines]), encoding="utf-8")
    columns, read = random_tables.adopted(path)
    values = {"customer": [f"K{row}" for row in rows], "left": labels}
    for spend, expected in (
        ([Decimal(row % 70) for row in rows], []),
        ([Decimal(0), Decimal(1000)], ["spend, row 1: 1.0, not Decimal('1000')"]),
    ):
        written = RandomTable(path, {**values, "spend": spend})
        assert random_tables.differences(written, columns, read) == expected


@pytest.mark.parametrize("seed", [2306, 4879])
def test_a_word_that_stands_more_often_than_the_numbers_makes_no_categories_of_them(
    tmp_path: Path, seed: int
) -> None:
    written = random_tables.write(tmp_path, seed)
    with pytest.raises(
        DataError, match="many different values are numbers, but not '(no data|12o.50)'"
    ):
        random_tables.adopted(written.path)
