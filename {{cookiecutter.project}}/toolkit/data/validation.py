"""Validates a table against its contract and reports all violations at once."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaError, SchemaErrors

from ..errors import ConfigurationError
from .contract import Column, Contract
from .csv_text import Positions
from .dataset import contents
from .table import Table, describe_rows

SHOWN = 5
# Without a limit pandera formats every one of a million failures.
FAILURE_CASES = 10
# East of UTC it may already be tomorrow.
FUTURE = timedelta(days=1)


@dataclass(frozen=True)
class Finding:
    """One violation of the contract.

    Attributes
    ----------
    check
        ``rows``, ``copies``, ``schema``, ``order``, ``fields``, ``type``, ``nulls``, ``unique``,
        ``range``, ``category``, ``freshness`` or ``rule``.
    column
        The column; None for the whole table.
    observed, limit
        The observed and the expected values, in words.
    rows, share
        The number and the share of affected rows; None where the finding is not about rows.
    unit, places
        The first of them, as lines of the file or as row numbers where it has no lines.
    """

    check: str
    column: str | None
    observed: str
    limit: str
    rows: int | None = None
    share: float | None = None
    unit: str = "line"
    places: tuple[int, ...] = ()

    def __str__(self) -> str:
        subject = self.check if self.column is None else f"{self.column}: {self.check}"
        sentence = f"{subject}: {self.observed}; expected: {self.limit}"
        if self.rows is None:
            return sentence
        return f"{sentence} ({self.share:.2%}: {describe_rows(self.rows, self.unit, self.places)})"


def validate(table: Table, contract: Contract, now: datetime | None = None) -> list[Finding]:
    """Return all violations of the contract.

    Parameters
    ----------
    now
        The time in UTC that the freshness of dates is measured from; None for the present.

    Raises
    ------
    ConfigurationError
        A rule of the contract cannot be evaluated on its columns.
    """
    findings = [*_row_count(table, contract), *_header(table, contract)]
    findings += _copies(table, contract)
    if len(table.ragged):
        limit = f"{len(table.header)} fields, as in the header"
        findings.append(_at("fields", None, "too few", limit, table, table.ragged))
    for column in contract.columns:
        if column.name in table.values:
            findings += [*_types(table, column), *_nulls(table, column)]
            findings += _freshness(table, column, now or datetime.now(UTC))
    try:
        _schema(table, contract).validate(table.values, lazy=True)
    except SchemaErrors as errors:
        for error in errors.schema_errors:
            findings += _findings(error, table, contract)
    return [*findings, *_rules(table, contract)]


def _row_count(table: Table, contract: Contract) -> Iterator[Finding]:
    if len(table) < contract.min_rows:
        yield Finding("rows", None, str(len(table)), f"at least {contract.min_rows}")
    if contract.max_rows is not None and len(table) > contract.max_rows:
        yield Finding("rows", None, str(len(table)), f"at most {contract.max_rows}")


def copies(table: Table, contract: Contract) -> npt.NDArray[np.int64]:
    """Return the rows whose features and target an earlier row has too, their positions [k].

    None where one of these columns is missing, which is a finding of its own.
    """
    names = [column.name for column in (*contract.features, contract.target)]
    if not set(names) <= set(table.values):
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(pd.Series(contents(table.values, names)).duplicated())


def _copies(table: Table, contract: Contract) -> Iterator[Finding]:
    positions = copies(table, contract)
    if len(positions) > contract.max_copies * len(table):
        limit = f"at most {contract.max_copies:.2%} of the rows (rows.max_copies)"
        same = "rows that are the same as an earlier one but for the id"
        yield _at("copies", None, same, limit, table, positions)


def _header(table: Table, contract: Contract) -> Iterator[Finding]:
    expected = [column.name for column in contract.columns]
    count_of = Counter(table.header)
    allowed = {*expected, *contract.extra_columns}
    for name in expected:
        if name not in count_of:
            yield Finding("schema", name, "no such column", "one")
    for name, count in count_of.items():
        if name not in allowed:
            yield Finding("schema", name, "unknown column", "only columns of the contract")
        elif count > 1:
            yield Finding("schema", name, f"{count} such columns", "one")
    actual = [name for name in table.header if name in table.values]
    wanted = [name for name in expected if name in table.values]
    moved = [pair for pair in zip(actual, wanted, strict=True) if pair[0] != pair[1]]
    if contract.ordered and moved:
        # A column that moved from end to end shifts all between by one: those are not named.
        for name, other in (moved[0], moved[-1]):
            yield Finding("order", name, f"in the place of {other}", "the contract's order")


def _types(table: Table, column: Column) -> Iterator[Finding]:
    if column.name in table.unreadable:
        texts = table.unreadable[column.name]
        positions = texts.index.to_numpy()
        yield _at("type", column.name, _shown(texts), column.type, table, positions)


def _nulls(table: Table, column: Column) -> Iterator[Finding]:
    missing = table.values[column.name].isna().to_numpy(copy=True)
    if column.name in table.unreadable:
        missing[table.unreadable[column.name].index] = False
    rate = float(missing.mean()) if len(table) else 0.0
    if rate > column.max_null_rate:
        limit = f"at most {column.max_null_rate:.2%}"
        yield _at("nulls", column.name, f"{rate:.2%}", limit, table, np.flatnonzero(missing))


def _freshness(table: Table, column: Column, now: datetime) -> Iterator[Finding]:
    if column.max_age_days is None:
        return
    dates = table.values[column.name]
    newest, oldest_allowed = dates.max(), now - timedelta(days=column.max_age_days)
    limit = f"at most {column.max_age_days:g} days old"
    if pd.isna(newest):
        yield Finding("freshness", column.name, "no date", limit)
    elif newest < oldest_allowed:
        observed = f"newest date {newest:%Y-%m-%d}, {(now - newest).days} days old"
        yield Finding("freshness", column.name, observed, limit)
    future = dates > now + FUTURE
    if future.any():
        positions = np.flatnonzero(future)
        shown = _shown(dates[future].dt.strftime("%Y-%m-%d"))
        yield _at("freshness", column.name, shown, "no future date", table, positions)


def _rules(table: Table, contract: Contract) -> Iterator[Finding]:
    for rule in contract.rules:
        if not set(rule.columns) <= set(table.values):
            continue  # The missing column is a finding already.
        columns = table.values[list(rule.columns)]
        refusal = f"{contract.path}: the rule {rule.holds!r}"
        try:
            holds = columns.eval(rule.holds)
        except Exception as error:  # Whatever pandas raises for types that do not compare.
            why = " ".join(str(error).split())
            raise ConfigurationError(f"{refusal}: {why}", f"fix {contract.path}") from None
        if not isinstance(holds, pd.Series) or not pd.api.types.is_bool_dtype(holds):
            raise ConfigurationError(
                f"{refusal}: the result is not true or false for each row", f"fix {contract.path}"
            )
        broken = np.flatnonzero(~holds & columns.notna().all(axis="columns"))
        if len(broken):
            first = columns.iloc[broken[0]]
            observed = ", ".join(f"{name} {_text(value)}" for name, value in first.items())
            yield _at("rule", None, observed, f"{rule.holds}: {rule.reason}", table, broken)


def _schema(table: Table, contract: Contract) -> pa.DataFrameSchema:
    """Return the checks on single columns, as a pandera schema."""
    return pa.DataFrameSchema(
        {
            column.name: pa.Column(
                checks=list(_checks(column)),
                nullable=True,
                unique=column.unique,
                report_duplicates="exclude_first",
            )
            for column in contract.columns
            if column.name in table.values
        }
    )


def _checks(column: Column) -> Iterator[pa.Check]:
    low, high = column.minimum, column.maximum
    if low is not None and high is not None:
        yield pa.Check.in_range(low, high, name="range", n_failure_cases=FAILURE_CASES)
    elif low is not None:
        yield pa.Check.ge(low, name="range", n_failure_cases=FAILURE_CASES)
    elif high is not None:
        yield pa.Check.le(high, name="range", n_failure_cases=FAILURE_CASES)
    if column.categories:
        yield pa.Check.isin(column.categories, name="category", n_failure_cases=FAILURE_CASES)


def _findings(error: SchemaError, table: Table, contract: Contract) -> Iterator[Finding]:
    column = next(column for column in contract.columns if column.name == error.schema.name)
    series = table.values[column.name]
    if error.check == "field_uniqueness":
        check, limit = "unique", "no duplicates"
        wrong = (series.duplicated() & series.notna()).to_numpy()
    else:
        check = error.check.name
        limit = _categories(column) if check == "category" else _range(column)
        passed = error.check_output.reindex(series.index, fill_value=True)
        wrong = ~passed.to_numpy(dtype=bool)
    positions = np.flatnonzero(wrong)
    if len(positions):  # pandera takes two nulls for duplicates.
        yield _at(check, column.name, _shown(series[wrong]), limit, table, positions)


def _categories(column: Column) -> str:
    return f"one of {', '.join(column.categories)}"


def _range(column: Column) -> str:
    if column.maximum is None:
        return f"at least {_text(column.minimum)}"
    if column.minimum is None:
        return f"at most {_text(column.maximum)}"
    return f"{_text(column.minimum)} to {_text(column.maximum)}"


def _shown(values: pd.Series) -> str:
    return ", ".join(map(_text, values.drop_duplicates()[:SHOWN]))


def _text(value: object) -> str:
    """Return a value as the file would have it: 17, not 17.0."""
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value)


def _at(
    check: str, column: str | None, observed: str, limit: str, table: Table, positions: Positions
) -> Finding:
    """Return a finding about these rows."""
    count, places = len(positions), table.places(positions[:SHOWN])
    return Finding(check, column, observed, limit, count, count / len(table), table.unit, places)
