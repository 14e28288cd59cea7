"""Holds a table against its contract and reports everything that is wrong at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaError, SchemaErrors

from .contract import Column, Contract
from .dataset import to_values

SHOWN = 5
# Without it pandera formats every one of a million failures.
FAILURE_CASES = 10

SCHEMA_CHECKS = {
    "column_in_schema": ("in the file", "not in the contract"),
    "column_in_dataframe": ("missing", "in the contract"),
    "column_ordered": ("out of order", "the contract's order"),
}


@dataclass(frozen=True)
class Finding:
    """One way in which a table breaks its contract.

    Attributes
    ----------
    check
        ``rows``, ``schema``, ``type``, ``nulls``, ``unique``, ``range`` or ``category``.
    column
        The column; None for the whole table.
    observed, limit
        What was found, and what the contract allows.
    rows
        How many rows are affected; None where rows do not matter.
    first_lines
        The first of them, as lines of the file.
    """

    check: str
    column: str | None
    observed: str
    limit: str
    rows: int | None
    first_lines: tuple[int, ...]

    def __str__(self) -> str:
        subject = self.check if self.column is None else f"{self.column}: {self.check}"
        sentence = f"{subject}: {self.observed}; allowed: {self.limit}"
        if self.rows is None:
            return sentence
        lines = ", ".join(map(str, self.first_lines))
        count = f"{self.rows} rows, first lines" if self.rows > 1 else "1 row, line"
        return f"{sentence} ({count} {lines})"


def validate(text: pd.DataFrame, contract: Contract) -> list[Finding]:
    """Return everything that is wrong with a table as `dataset.read_text` reads it."""
    findings = list(_row_count(text, contract))
    doubled = sorted(set(text.columns[text.columns.duplicated()]))
    findings += [
        Finding("schema", name, f"{list(text.columns).count(name)} times", "once", None, ())
        for name in doubled
    ]
    if doubled:  # Which of the two is meant? Nothing more can be said of this table.
        return findings
    values = text.copy()
    for column in contract.columns:
        if column.name in text:
            values[column.name] = to_values(text[column.name], column)
            findings += _types(text[column.name], values[column.name], column)
            findings += _nulls(text[column.name], column)
    try:
        _schema(contract).validate(values, lazy=True)
    except SchemaErrors as errors:
        findings += [_finding(error, values, contract) for error in errors.schema_errors]
    return findings


def _row_count(text: pd.DataFrame, contract: Contract) -> Iterator[Finding]:
    if len(text) < contract.min_rows:
        yield Finding("rows", None, str(len(text)), f"at least {contract.min_rows}", None, ())
    if contract.max_rows is not None and len(text) > contract.max_rows:
        yield Finding("rows", None, str(len(text)), f"at most {contract.max_rows}", None, ())


def _types(text: pd.Series, values: pd.Series, column: Column) -> Iterator[Finding]:
    wrong = text.notna() & values.isna()
    if wrong.any():
        yield _rows_finding("type", column, wrong, text, column.type)


def _nulls(text: pd.Series, column: Column) -> Iterator[Finding]:
    missing = text.isna()
    rate = float(missing.mean()) if len(text) else 0.0
    if rate > column.max_null_rate:
        lines = tuple(int(line) for line in text.index[missing][:SHOWN])
        limit = f"{column.max_null_rate:.2%}"
        yield Finding("nulls", column.name, f"{rate:.2%}", limit, int(missing.sum()), lines)


def _schema(contract: Contract) -> pa.DataFrameSchema:
    """Return the rules that pandera checks; types and null rates are checked with their numbers."""
    columns = {
        column.name: pa.Column(
            checks=list(_checks(column)),
            nullable=True,
            unique=column.role == "id",
            report_duplicates="exclude_first",
        )
        for column in contract.columns
    }
    return pa.DataFrameSchema(columns, strict=True, ordered=True)


def _checks(column: Column) -> Iterator[pa.Check]:
    if column.minimum is not None:
        yield pa.Check.ge(column.minimum, name="range", n_failure_cases=FAILURE_CASES)
    if column.maximum is not None:
        yield pa.Check.le(column.maximum, name="range", n_failure_cases=FAILURE_CASES)
    if column.categories:
        yield pa.Check.isin(column.categories, name="category", n_failure_cases=FAILURE_CASES)


def _finding(error: SchemaError, values: pd.DataFrame, contract: Contract) -> Finding:
    if error.check in SCHEMA_CHECKS:
        observed, limit = SCHEMA_CHECKS[error.check]
        return Finding("schema", str(error.failure_cases), observed, limit, None, ())
    column = next(column for column in contract.columns if column.name == error.schema.name)
    series = values[column.name]
    if error.check == "field_uniqueness":
        wrong = series.duplicated() & series.notna()
        return _rows_finding("unique", column, wrong, series, "each value once")
    passed = error.check_output.reindex(series.index, fill_value=True)
    if error.check.name == "category":
        return _rows_finding("category", column, ~passed, series, ", ".join(column.categories))
    return _rows_finding("range", column, ~passed, series, _range(column))


def _range(column: Column) -> str:
    if column.maximum is None:
        return f"at least {column.minimum:g}"
    if column.minimum is None:
        return f"at most {column.maximum:g}"
    return f"{column.minimum:g} to {column.maximum:g}"


def _rows_finding(
    check: str, column: Column, wrong: "pd.Series[bool]", series: pd.Series, limit: str
) -> Finding:
    rows = series[wrong]
    shown = ", ".join(str(value) for value in rows.drop_duplicates()[:SHOWN])
    lines = tuple(int(line) for line in rows.index[:SHOWN])
    return Finding(check, column.name, shown, limit, len(rows), lines)
