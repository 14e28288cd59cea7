"""Customers who do not exist, for what git and every release carry in place of real ones.

Each column is drawn by itself, from its distribution in the reference: the features of a synthetic
customer are as common as they are in the table, and together they are nobody's.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .contract import Column, Contract, Csv
from .dataset import position
from .distribution import PROBABILITIES, Categories, Numbers, rounded
from .reference import Reference

Value = float | int | str | None


def requests(contract: Contract, reference: Reference, count: int) -> list[dict[str, Any]]:
    """Return customers as the body of a request to /predict has them: always the same."""
    columns = {column.name: draw(column, reference, count) for column in contract.features}
    return [{name: values[row] for name, values in columns.items()} for row in range(count)]


def table(contract: Contract, reference: Reference, count: int) -> bytes:
    """Return customers as a CSV file of the contract's format."""
    columns = {
        column.name: [
            _text(value, column, contract.csv) for value in draw(column, reference, count)
        ]
        for column in contract.columns
    }
    csv = contract.csv
    text = pd.DataFrame(columns, dtype="str").to_csv(
        index=False,
        # At once: pandas takes the fewer rows at a time the more columns there are.
        chunksize=count,
        sep=csv.sep,
        quotechar=csv.quotechar,
        escapechar=csv.escapechar,
        lineterminator="\n",
    )
    return text.encode(csv.encoding)


def draw(column: Column, reference: Reference, count: int) -> list[Value]:
    """Return a column of synthetic customers, [n], within what the contract allows.

    Of a column that the reference does not know, a date is null, and a category is any.
    """
    if column.role == "id":
        return [f"synthetic-{row}" for row in range(1, count + 1)]
    if column.type == "date":
        return [None] * count
    one = _distribution(column, reference)
    if isinstance(one, Numbers):
        values = _numbers(column, one, _uniform(column, "value", count))
    else:
        values = _categories(column, one, _uniform(column, "value", count))
    if not one.nulls or not column.max_null_rate:
        return values
    missing = _uniform(column, "null", count) < one.nulls / (one.nulls + one.rows)
    return [None if gone else value for gone, value in zip(missing, values, strict=True)]


def _distribution(column: Column, reference: Reference) -> Numbers | Categories:
    profile = reference.profile
    if column.is_numeric:
        return profile.numbers[column.name]
    return profile.categories.get(column.name, Categories(nulls=0, rows=0, counts={}))


def _uniform(column: Column, purpose: str, count: int) -> npt.NDArray[np.float64]:
    """Return numbers in [0, 1), [n]: other ones for each column and purpose, always the same."""
    return position([str(row) for row in range(count)], f"synthetic {purpose} {column.name}")


def _numbers(column: Column, one: Numbers, u: npt.NDArray[np.float64]) -> list[Value]:
    low, high = column.range
    # Between two quantiles any number is as likely; none is a customer's extreme.
    drawn = np.interp(u, PROBABILITIES, one.quantiles) if one.quantiles else np.zeros(len(u))
    if column.type == "integer":
        return [int(value) for value in np.clip(np.rint(drawn), low, high)]
    return [float(value) for value in np.clip(rounded(drawn), low, high)]


def _categories(column: Column, one: Categories, u: npt.NDArray[np.float64]) -> list[Value]:
    counts = np.array([one.counts.get(name, 0) for name in column.categories], dtype=np.float64)
    shares = np.cumsum(counts if counts.any() else np.ones(len(counts)))
    chosen = np.searchsorted(shares, u * shares[-1], side="right")
    return [column.categories[place] for place in chosen]


def _text(value: Value, column: Column, csv: Csv) -> str | None:
    if value is None or isinstance(value, str):
        return value
    # Its digits, never an exponent or a mark of thousands.
    digits = np.format_float_positional(value, trim="-").replace(".", csv.decimal)
    return f"{digits}{column.sign or ''}"
