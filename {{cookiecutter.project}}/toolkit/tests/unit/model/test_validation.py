"""Every rule of the contract has a table that breaks it, and is named with column and line."""

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


def found(folder: Path, rows: list[Row], header: list[str] | None = None) -> list[str]:
    """Return the findings in these rows as sentences."""
    contract = contracts.load(customers.write(folder, rows, header))
    return [str(finding) for finding in validate(table.read(contract), contract)]


def found_under(folder: Path, rows: list[Row], old: str, new: str) -> list[str]:
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


def test_a_sound_table_has_no_finding(tmp_path: Path, rows: list[Row]) -> None:
    assert found(tmp_path, rows) == []


@pytest.mark.parametrize(
    ("column", "value", "finding"),
    [
        ("age", "17", "age: range: 17; allowed: 18 to 99 (0.50%: 1 row, line 5)"),
        (
            "monthly_spend",
            "501",
            "monthly_spend: range: 501; allowed: 0 to 500 (0.50%: 1 row, line 5)",
        ),
        (
            "tenure_months",
            "-1",
            "tenure_months: range: -1; allowed: at least 0 (0.50%: 1 row, line 5)",
        ),
        ("age", "forty", "age: type: forty; allowed: integer (0.50%: 1 row, line 5)"),
        ("age", "40.5", "age: type: 40.5; allowed: integer (0.50%: 1 row, line 5)"),
        (
            "monthly_spend",
            "inf",
            "monthly_spend: type: inf; allowed: number (0.50%: 1 row, line 5)",
        ),
        (
            "monthly_spend",
            "nan",
            "monthly_spend: type: nan; allowed: number (0.50%: 1 row, line 5)",
        ),
        (
            "plan type",
            "gold",
            "plan type: category: gold; allowed: basic, full (0.50%: 1 row, line 5)",
        ),
        ("left", "maybe", "left: category: maybe; allowed: no, yes (0.50%: 1 row, line 5)"),
        ("left", "", "left: nulls: 0.50%; allowed: 0.00% (0.50%: 1 row, line 5)"),
        ("name", "", "name: nulls: 0.50%; allowed: 0.00% (0.50%: 1 row, line 5)"),
        (
            "tenure_months",
            " ",
            "tenure_months: nulls: 0.50%; allowed: 0.00% (0.50%: 1 row, line 5)",
        ),
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
        "name: unique: customer 0; allowed: each value once (0.50%: 1 row, line 5)"
    ]


def test_nulls_are_accepted_up_to_their_rate(tmp_path: Path, rows: list[Row]) -> None:
    rows[0]["monthly_spend"] = rows[1]["monthly_spend"] = ""
    assert found(tmp_path, rows) == []


def test_two_percent_of_nulls_are_too_many(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows[:4]:
        row["monthly_spend"] = ""
    assert found(tmp_path, rows) == [
        "monthly_spend: nulls: 2.00%; allowed: 1.00% (2.00%: 4 rows, first lines 2, 3, 4, 5)"
    ]


def test_a_renamed_column_is_missing_and_unknown(tmp_path: Path, rows: list[Row]) -> None:
    renamed = [row | {"spend": row["monthly_spend"]} for row in rows]
    header = ["spend" if name == "monthly_spend" else name for name in HEADER]
    assert sorted(found(tmp_path, renamed, header)) == [
        "monthly_spend: schema: missing; allowed: in the contract",
        "spend: schema: in the file; allowed: not in the contract",
    ]


def test_two_columns_that_have_changed_places_are_both_named(
    tmp_path: Path, rows: list[Row]
) -> None:
    assert found(tmp_path, rows, [HEADER[1], HEADER[0], *HEADER[2:]]) == [
        "age: order: stands where the contract has name; allowed: the contract's order",
        "name: order: stands where the contract has age; allowed: the contract's order",
    ]


def test_the_order_is_free_where_the_contract_says_so(tmp_path: Path, rows: list[Row]) -> None:
    path = customers.write(tmp_path, rows, HEADER[::-1])
    path.write_text(f"ordered = false\n{customers.CONTRACT}", encoding="utf-8")
    contract = contracts.load(path)
    assert validate(table.read(contract), contract) == []


def test_a_column_that_is_there_twice_is_found(tmp_path: Path, rows: list[Row]) -> None:
    assert found(tmp_path, rows, [*HEADER, "age"]) == ["age: schema: 2 times; allowed: once"]


def test_an_extra_column_is_accepted_where_the_contract_names_it(
    tmp_path: Path, rows: list[Row]
) -> None:
    for row in rows:
        row["note"] = "-"
    contract = contracts.load(customers.write(tmp_path, rows, ["note", *HEADER]))
    [unknown] = validate(table.read(contract), contract)
    assert str(unknown) == "note: schema: in the file; allowed: not in the contract"
    known = replace(contract, extra_columns=("note",))
    assert validate(table.read(known), known) == []


def test_a_row_with_too_few_fields_is_found(tmp_path: Path, rows: list[Row]) -> None:
    contract = contracts.load(customers.write(tmp_path, rows))
    lines = contract.data.read_text(encoding="utf-8").splitlines()
    lines[5] = lines[5].rpartition(",")[0]
    contract.data.write_text("\n".join(lines), encoding="utf-8")
    findings = [str(finding) for finding in validate(table.read(contract), contract)]
    assert findings[0] == (
        "fields: fewer fields than the 6 of the header; allowed: as many fields "
        "(0.50%: 1 row, line 6)"
    )


def test_a_value_that_must_be_unique_is_found(tmp_path: Path, rows: list[Row]) -> None:
    for number, row in enumerate(rows):
        row["monthly_spend"] = str(number)
    rows[9]["monthly_spend"] = "4"
    unique = 'name = "monthly_spend"\nunique = true'
    assert found_under(tmp_path, rows, 'name = "monthly_spend"', unique) == [
        "monthly_spend: unique: 4; allowed: each value once (0.50%: 1 row, line 11)"
    ]


def test_two_nulls_are_not_the_same_value_twice(tmp_path: Path, rows: list[Row]) -> None:
    for number, row in enumerate(rows):
        row["monthly_spend"] = "" if number < 2 else str(number)
    unique = 'name = "monthly_spend"\nunique = true'
    assert found_under(tmp_path, rows, 'name = "monthly_spend"', unique) == []


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
                "since: freshness: the newest is 2026-10-01, 54 days old; "
                "allowed: the newest no older than 30 days"
            ],
        ),
        (
            ["2026-11-01", "2027-01-01"],
            [
                "since: freshness: 2027-01-01; allowed: no date to come "
                "(50.00%: 100 rows, first lines 3, 5, 7, 9, 11)"
            ],
        ),
        (
            ["", "2026-11-01"],
            ["since: nulls: 50.00%; allowed: 1.00% (50.00%: 100 rows, first lines 2, 4, 6, 8, 10)"],
        ),
        (
            [*99 * ["2026-11-01"], "1.11.2026"],
            ["since: type: 1.11.2026; allowed: date (1.00%: 2 rows, first lines 101, 201)"],
        ),
    ],
)
def test_a_table_must_be_fresh(
    tmp_path: Path, rows: list[Row], dates: list[str], findings: list[str]
) -> None:
    for number, row in enumerate(rows):
        row["since"] = dates[number % len(dates)]
    last = 'positive = "yes"\n'
    assert found_under(tmp_path, rows, last, f"{last}\n{DATED}") == findings


def rule(holds: str) -> str:
    """Return a contract's last line and a rule after it."""
    return (
        f'positive = "yes"\n\n[[rule]]\nholds = "{holds}"\nreason = "nobody is born a customer"\n'
    )


def test_a_rule_between_columns_is_found_with_its_values(tmp_path: Path, rows: list[Row]) -> None:
    rows[3].update(age="18", tenure_months="61")
    rows[4].update(age="", tenure_months="61")
    holds = "tenure_months <= 12 * (age - 13)"
    assert found_under(tmp_path, rows, 'positive = "yes"\n', rule(holds)) == [
        f"rule: tenure_months 61, age 18; allowed: {holds}: nobody is born a customer "
        "(0.50%: 1 row, line 5)"
    ]


def test_a_rule_may_compare_texts_of_columns_with_blanks_in_their_names(
    tmp_path: Path, rows: list[Row]
) -> None:
    rows[3].update({"plan type": "basic", "monthly_spend": "450"})
    findings = found_under(
        tmp_path, rows, 'positive = "yes"\n', rule("`plan type` == 'full' or monthly_spend < 400")
    )
    assert [finding.partition(";")[0] for finding in findings] == [
        "rule: monthly_spend 450, plan type basic"
    ]


@pytest.mark.parametrize(
    ("holds", "why"),
    [
        ("tenure_months + age", "it gives no yes or no for each row"),
        ("`plan type` < age", "Invalid comparison between dtype=str"),
    ],
)
def test_a_rule_that_cannot_be_computed_is_refused(
    tmp_path: Path, rows: list[Row], holds: str, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"contract.toml: the rule .*{why}"):
        found_under(tmp_path, rows, 'positive = "yes"\n', rule(holds))


def test_a_parquet_table_is_found_wrong_by_its_rows(tmp_path: Path, rows: list[Row]) -> None:
    rows[3]["age"] = "7"
    contract = contracts.load(customers.write(tmp_path, rows))
    parquet = replace(contract, data=tmp_path / "customers.parquet")
    pd.read_csv(contract.data).to_parquet(parquet.data)
    assert [str(finding) for finding in validate(table.read(parquet), parquet)] == [
        "age: range: 7; allowed: 18 to 99 (0.50%: 1 row, row 4)"
    ]


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
        "name: unique: customer 13; allowed: each value once (0.50%: 1 row, line 15)",
        "age: range: 7; allowed: 18 to 99 (100.00%: 200 rows, first lines 2, 3, 4, 5, 6)",
        "plan type: category: gold; allowed: basic, full (0.50%: 1 row, line 13)",
        "left: category: maybe; allowed: no, yes (0.50%: 1 row, line 12)",
    ]
