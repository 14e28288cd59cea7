"""Every rule of the contract has a table that violates it; the finding has column and line."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from toolkit.data import contract as contracts
from toolkit.data import table
from toolkit.data.validation import validate
from toolkit.errors import ConfigurationError
from toolkit.tests import customers
from toolkit.tests.customers import HEADER, Row


def findings_in(folder: Path, rows: list[Row], header: list[str] | None = None) -> list[str]:
    """Return the findings in these rows as sentences."""
    contract = contracts.load(customers.write(folder, rows, header))
    return [str(finding) for finding in validate(table.read(contract), contract)]


def findings_under(folder: Path, rows: list[Row], old: str, new: str) -> list[str]:
    """Return the findings under a contract with one text replaced, on the 24th of November."""
    path = customers.write(folder, rows, [*HEADER, "since"] if "since" in rows[0] else HEADER)
    assert old in customers.CONTRACT
    path.write_text(customers.CONTRACT.replace(old, new, 1), encoding="utf-8")
    contract = contracts.load(path)
    now = datetime(2026, 11, 24, tzinfo=UTC)
    return [str(finding) for finding in validate(table.read(contract), contract, now)]


@pytest.fixture
def rows() -> list[Row]:
    return customers.make(200)


def test_a_valid_table_has_no_finding(tmp_path: Path, rows: list[Row]) -> None:
    assert findings_in(tmp_path, rows) == []


@pytest.mark.parametrize(
    ("column", "value", "finding"),
    [
        ("age", "17", "age: range: 17; expected: 18 to 99 (0.50%: 1 row, line 5)"),
        (
            "monthly_spend",
            "501",
            "monthly_spend: range: 501; expected: 0 to 500 (0.50%: 1 row, line 5)",
        ),
        (
            "tenure_months",
            "-1",
            "tenure_months: range: -1; expected: at least 0 (0.50%: 1 row, line 5)",
        ),
        ("age", "forty", "age: type: forty; expected: integer (0.50%: 1 row, line 5)"),
        ("age", "40.5", "age: type: 40.5; expected: integer (0.50%: 1 row, line 5)"),
        (
            "monthly_spend",
            "inf",
            "monthly_spend: type: inf; expected: number (0.50%: 1 row, line 5)",
        ),
        (
            "monthly_spend",
            "nan",
            "monthly_spend: type: nan; expected: number (0.50%: 1 row, line 5)",
        ),
        (
            "plan type",
            "gold",
            "plan type: category: gold; expected: one of basic, full (0.50%: 1 row, line 5)",
        ),
        ("left", "maybe", "left: category: maybe; expected: one of no, yes (0.50%: 1 row, line 5)"),
        ("left", "", "left: nulls: 0.50%; expected: at most 0.00% (0.50%: 1 row, line 5)"),
        ("name", "", "name: nulls: 0.50%; expected: at most 0.00% (0.50%: 1 row, line 5)"),
        (
            "tenure_months",
            " ",
            "tenure_months: nulls: 0.50%; expected: at most 0.00% (0.50%: 1 row, line 5)",
        ),
    ],
)
def test_one_invalid_field_is_found(
    tmp_path: Path, rows: list[Row], column: str, value: str, finding: str
) -> None:
    rows[3][column] = value
    assert findings_in(tmp_path, rows) == [finding]


def test_a_duplicate_id_is_found_at_its_second_place(tmp_path: Path, rows: list[Row]) -> None:
    rows[3]["name"] = rows[0]["name"]
    assert findings_in(tmp_path, rows) == [
        "name: unique: customer 0; expected: no duplicates (0.50%: 1 row, line 5)"
    ]


def test_nulls_are_accepted_up_to_their_rate(tmp_path: Path, rows: list[Row]) -> None:
    rows[0]["monthly_spend"] = rows[1]["monthly_spend"] = ""
    assert findings_in(tmp_path, rows) == []


def test_two_percent_of_nulls_are_too_many(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows[:4]:
        row["monthly_spend"] = ""
    assert findings_in(tmp_path, rows) == [
        "monthly_spend: nulls: 2.00%; expected: at most 1.00% "
        "(2.00%: 4 rows, first lines 2, 3, 4, 5)"
    ]


def test_a_renamed_column_is_missing_and_unknown(tmp_path: Path, rows: list[Row]) -> None:
    renamed = [row | {"spend": row["monthly_spend"]} for row in rows]
    header = ["spend" if name == "monthly_spend" else name for name in HEADER]
    assert sorted(findings_in(tmp_path, renamed, header)) == [
        "monthly_spend: schema: no such column; expected: one",
        "spend: schema: unknown column; expected: only columns of the contract",
    ]


def test_two_swapped_columns_are_both_named(tmp_path: Path, rows: list[Row]) -> None:
    assert findings_in(tmp_path, rows, [HEADER[1], HEADER[0], *HEADER[2:]]) == [
        "age: order: in the place of name; expected: the contract's order",
        "name: order: in the place of age; expected: the contract's order",
    ]


def test_the_order_is_free_where_the_contract_says_so(tmp_path: Path, rows: list[Row]) -> None:
    path = customers.write(tmp_path, rows, HEADER[::-1])
    path.write_text(f"ordered = false\n{customers.CONTRACT}", encoding="utf-8")
    contract = contracts.load(path)
    assert validate(table.read(contract), contract) == []


def test_a_duplicate_column_is_found(tmp_path: Path, rows: list[Row]) -> None:
    assert findings_in(tmp_path, rows, [*HEADER, "age"]) == [
        "age: schema: 2 such columns; expected: one"
    ]


def test_an_extra_column_of_the_contract_is_ignored(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["note"] = "-"
    contract = contracts.load(customers.write(tmp_path, rows, ["note", *HEADER]))
    [finding] = validate(table.read(contract), contract)
    assert str(finding) == "note: schema: unknown column; expected: only columns of the contract"
    wider = replace(contract, extra_columns=("note",))
    assert validate(table.read(wider), wider) == []


def test_a_row_with_too_few_fields_is_found(tmp_path: Path, rows: list[Row]) -> None:
    contract = contracts.load(customers.write(tmp_path, rows))
    lines = contract.data.read_text(encoding="utf-8").splitlines()
    lines[5] = lines[5].rpartition(",")[0]
    contract.data.write_text("\n".join(lines), encoding="utf-8")
    findings = [str(finding) for finding in validate(table.read(contract), contract)]
    assert findings[0] == (
        "fields: too few; expected: 6 fields, as in the header (0.50%: 1 row, line 6)"
    )


def test_a_duplicate_in_a_unique_column_is_found(tmp_path: Path, rows: list[Row]) -> None:
    for number, row in enumerate(rows):
        row["monthly_spend"] = str(number)
    rows[9]["monthly_spend"] = "4"
    unique = 'name = "monthly_spend"\nunique = true'
    assert findings_under(tmp_path, rows, 'name = "monthly_spend"', unique) == [
        "monthly_spend: unique: 4; expected: no duplicates (0.50%: 1 row, line 11)"
    ]


def test_two_nulls_are_not_duplicates(tmp_path: Path, rows: list[Row]) -> None:
    for number, row in enumerate(rows):
        row["monthly_spend"] = "" if number < 2 else str(number)
    unique = 'name = "monthly_spend"\nunique = true'
    assert findings_under(tmp_path, rows, 'name = "monthly_spend"', unique) == []


DATED = """\
[[column]]
name = "since"
role = "date"
type = "date"
max_age_days = 30
"""


@pytest.mark.parametrize(
    ("dates", "findings"),
    [
        (["2026-11-01", "2020-01-01"], []),
        (
            ["2026-10-01"],
            [
                "since: freshness: newest date 2026-10-01, 54 days old; "
                "expected: at most 30 days old"
            ],
        ),
        (
            ["2026-11-01", "2027-01-01"],
            [
                "since: freshness: 2027-01-01; expected: no future date "
                "(50.00%: 100 rows, first lines 3, 5, 7, 9, 11)"
            ],
        ),
        (
            ["", "2026-11-01"],
            [
                "since: nulls: 50.00%; expected: at most 1.00% "
                "(50.00%: 100 rows, first lines 2, 4, 6, 8, 10)"
            ],
        ),
        (
            [*99 * ["2026-11-01"], "1.11.2026"],
            ["since: type: 1.11.2026; expected: date (1.00%: 2 rows, first lines 101, 201)"],
        ),
    ],
)
def test_dates_must_be_fresh(
    tmp_path: Path, rows: list[Row], dates: list[str], findings: list[str]
) -> None:
    for number, row in enumerate(rows):
        row["since"] = dates[number % len(dates)]
    last = 'positive = "yes"\n'
    assert findings_under(tmp_path, rows, last, f"{last}\n{DATED}") == findings


def rule(holds: str) -> str:
    """Return a contract's last line and a rule after it."""
    return (
        f'positive = "yes"\n\n[[rule]]\nholds = "{holds}"\nreason = "nobody is born a customer"\n'
    )


def test_a_violated_rule_is_found_with_its_values(tmp_path: Path, rows: list[Row]) -> None:
    rows[3].update(age="18", tenure_months="61")
    rows[4].update(age="", tenure_months="61")
    holds = "tenure_months <= 12 * (age - 13)"
    assert findings_under(tmp_path, rows, 'positive = "yes"\n', rule(holds)) == [
        f"rule: tenure_months 61, age 18; expected: {holds}: nobody is born a customer "
        "(0.50%: 1 row, line 5)"
    ]


def test_a_rule_may_use_categories_and_column_names_with_blanks(
    tmp_path: Path, rows: list[Row]
) -> None:
    rows[3].update({"plan type": "basic", "monthly_spend": "450"})
    findings = findings_under(
        tmp_path, rows, 'positive = "yes"\n', rule("`plan type` == 'full' or monthly_spend < 400")
    )
    assert [finding.partition(";")[0] for finding in findings] == [
        "rule: monthly_spend 450, plan type basic"
    ]


@pytest.mark.parametrize(
    ("holds", "why"),
    [
        ("tenure_months + age", "the result is not true or false for each row"),
        ("`plan type` < age", "Invalid comparison between dtype=str"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_refused(
    tmp_path: Path, rows: list[Row], holds: str, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"contract.toml: the rule .*{why}"):
        findings_under(tmp_path, rows, 'positive = "yes"\n', rule(holds))


def test_a_finding_in_parquet_has_row_numbers(tmp_path: Path, rows: list[Row]) -> None:
    rows[3]["age"] = "7"
    contract = contracts.load(customers.write(tmp_path, rows))
    parquet = replace(contract, data=tmp_path / "customers.parquet")
    pd.read_csv(contract.data).to_parquet(parquet.data)
    assert [str(finding) for finding in validate(table.read(parquet), parquet)] == [
        "age: range: 7; expected: 18 to 99 (0.50%: 1 row, row 4)"
    ]


@pytest.mark.parametrize(
    ("count", "finding"),
    [(49, "rows: 49; expected: at least 50"), (5001, "rows: 5001; expected: at most 5000")],
)
def test_too_few_and_too_many_rows_are_found(tmp_path: Path, count: int, finding: str) -> None:
    assert finding in findings_in(tmp_path, customers.make(count))


def test_a_table_without_rows_is_found(tmp_path: Path) -> None:
    assert findings_in(tmp_path, []) == ["rows: 0; expected: at least 50"]


def test_all_violations_are_found_at_once(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["age"] = "7"
    rows[10]["left"] = "maybe"
    rows[11]["plan type"] = "gold"
    rows[12]["name"] = rows[13]["name"]
    assert findings_in(tmp_path, rows) == [
        "name: unique: customer 13; expected: no duplicates (0.50%: 1 row, line 15)",
        "age: range: 7; expected: 18 to 99 (100.00%: 200 rows, first lines 2, 3, 4, 5, 6)",
        "plan type: category: gold; expected: one of basic, full (0.50%: 1 row, line 13)",
        "left: category: maybe; expected: one of no, yes (0.50%: 1 row, line 12)",
    ]
