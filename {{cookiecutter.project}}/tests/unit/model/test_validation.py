"""Every rule of the contract has a table that breaks it, and is named with column and line."""

from pathlib import Path

import pytest

from {{ cookiecutter.package }} import contract as contracts
from {{ cookiecutter.package }} import dataset as tables
from {{ cookiecutter.package }}.validation import validate
from tests import customers
from tests.customers import HEADER, Row


def found(folder: Path, rows: list[Row], header: list[str] | None = None) -> list[str]:
    """Return the findings in these rows as sentences."""
    contract = contracts.load(customers.write(folder, rows, header))
    return [str(finding) for finding in validate(tables.read_text(contract), contract)]


@pytest.fixture
def rows() -> list[Row]:
    return customers.make(200)


def test_a_sound_table_has_no_finding(tmp_path: Path, rows: list[Row]) -> None:
    assert found(tmp_path, rows) == []


@pytest.mark.parametrize(
    ("column", "value", "finding"),
    [
        ("age", "17", "age: range: 17.0; allowed: 18 to 99 (1 row, line 5)"),
        ("monthly_spend", "501", "monthly_spend: range: 501.0; allowed: 0 to 500 (1 row, line 5)"),
        ("tenure_months", "-1", "tenure_months: range: -1.0; allowed: at least 0 (1 row, line 5)"),
        ("age", "forty", "age: type: forty; allowed: integer (1 row, line 5)"),
        ("age", "40.5", "age: type: 40.5; allowed: integer (1 row, line 5)"),
        ("monthly_spend", "inf", "monthly_spend: type: inf; allowed: number (1 row, line 5)"),
        ("monthly_spend", "nan", "monthly_spend: type: nan; allowed: number (1 row, line 5)"),
        ("plan type", "gold", "plan type: category: gold; allowed: basic, full (1 row, line 5)"),
        ("left", "maybe", "left: category: maybe; allowed: no, yes (1 row, line 5)"),
        ("left", "", "left: nulls: 0.50%; allowed: 0.00% (1 row, line 5)"),
        ("name", "", "name: nulls: 0.50%; allowed: 0.00% (1 row, line 5)"),
        ("tenure_months", " ", "tenure_months: nulls: 0.50%; allowed: 0.00% (1 row, line 5)"),
    ],
)
def test_one_wrong_field_is_found(
    tmp_path: Path, rows: list[Row], column: str, value: str, finding: str
) -> None:
    rows[3][column] = value
    assert found(tmp_path, rows) == [finding]


def test_an_id_that_is_there_twice_is_found_at_its_second_place(
    tmp_path: Path, rows: list[Row]
) -> None:
    rows[3]["name"] = rows[0]["name"]
    assert found(tmp_path, rows) == [
        "name: unique: customer 0; allowed: each value once (1 row, line 5)"
    ]


def test_nulls_are_accepted_up_to_their_rate(tmp_path: Path, rows: list[Row]) -> None:
    rows[0]["monthly_spend"] = rows[1]["monthly_spend"] = ""
    assert found(tmp_path, rows) == []


def test_two_percent_of_nulls_are_too_many(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows[:4]:
        row["monthly_spend"] = ""
    assert found(tmp_path, rows) == [
        "monthly_spend: nulls: 2.00%; allowed: 1.00% (4 rows, first lines 2, 3, 4, 5)"
    ]


def test_a_renamed_column_is_missing_and_unknown(tmp_path: Path, rows: list[Row]) -> None:
    renamed = [row | {"spend": row["monthly_spend"]} for row in rows]
    header = ["spend" if name == "monthly_spend" else name for name in HEADER]
    assert sorted(found(tmp_path, renamed, header)) == [
        "monthly_spend: schema: missing; allowed: in the contract",
        "spend: schema: in the file; allowed: not in the contract",
    ]


def test_columns_out_of_order_are_found(tmp_path: Path, rows: list[Row]) -> None:
    findings = found(tmp_path, rows, [HEADER[1], HEADER[0], *HEADER[2:]])
    assert "age: schema: out of order; allowed: the contract's order" in findings


def test_a_column_that_is_there_twice_is_found(tmp_path: Path, rows: list[Row]) -> None:
    assert found(tmp_path, rows, [*HEADER, "age"]) == ["age: schema: 2 times; allowed: once"]


@pytest.mark.parametrize(
    ("count", "finding"),
    [(49, "rows: 49; allowed: at least 50"), (5001, "rows: 5001; allowed: at most 5000")],
)
def test_too_few_and_too_many_rows_are_found(tmp_path: Path, count: int, finding: str) -> None:
    assert finding in found(tmp_path, customers.make(count))


def test_a_table_without_rows_is_found(tmp_path: Path) -> None:
    assert found(tmp_path, []) == ["rows: 0; allowed: at least 50"]


def test_everything_that_is_wrong_is_found_at_once(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["age"] = "7"
    rows[10]["left"] = "maybe"
    rows[11]["plan type"] = "gold"
    rows[12]["name"] = rows[13]["name"]
    assert found(tmp_path, rows) == [
        "name: unique: customer 13; allowed: each value once (1 row, line 15)",
        "age: range: 7.0; allowed: 18 to 99 (200 rows, first lines 2, 3, 4, 5, 6)",
        "plan type: category: gold; allowed: basic, full (1 row, line 13)",
        "left: category: maybe; allowed: no, yes (1 row, line 12)",
    ]
