"""A table written in any format is read back to the same values, or refused."""

from decimal import Decimal
from pathlib import Path

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
