"""Reads a Parquet file: every Arrow type as what it is, or refused by its name."""

import io
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import DataError

SUFFIXES = (".parquet", ".pq")
# pandas stores an index without a name so; one with a name is a column.
UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
# Integers with nulls stay integers: as floats those above 2**53 would be others.
INTEGERS = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


def is_parquet(path: Path) -> bool:
    """Return whether a file has a suffix of Parquet."""
    return path.suffix.lower() in SUFFIXES


def open_parquet(path: Path, content: bytes) -> pa.Table:
    """Return the table in a Parquet file.

    Raises
    ------
    DataError
        The file is not Parquet.
    """
    try:
        return pq.read_table(io.BytesIO(content))
    except (ValueError, OSError, NotImplementedError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: not valid Parquet: {reason}", f"restore {path}") from None


def read_columns(
    path: Path, table: pa.Table, wanted: Callable[[str], bool]
) -> tuple[tuple[str, ...], Callable[[int], "pd.Series[Any]"]]:
    """Return the header of a table of Arrow, and what reads the column at a position, [n].

    Numbers have a numeric type, flags and times their own; all else is text. A column of a type
    that cannot be read is refused where its name is wanted, else it is null. A column is read
    once, and freed then, so that no table is in memory both as it was and as it is read.

    Raises
    ------
    DataError
        A wanted column is of a type that cannot be read.
    """
    places = [
        place for place, name in enumerate(table.column_names) if not UNNAMED_INDEX.fullmatch(name)
    ]
    header = tuple(table.column_names[place] for place in places)
    refused = {
        name: str(table.schema.field(place).type)
        for name, place in zip(header, places, strict=True)
        if wanted(name) and _target(table.schema.field(place).type) is None
    }
    if refused:
        raise _unreadable(path, refused)
    columns = {position: table.column(place) for position, place in enumerate(places)}
    return header, lambda position: _series(columns.pop(position))


def _unreadable(path: Path, refused: Mapping[str, str]) -> DataError:
    named = "; ".join(f"{name} is of the type {kind}" for name, kind in refused.items())
    options = " ".join(f"--ignore {shlex.quote(name)}" for name in refused)
    return DataError(
        f"{path}: a column must hold numbers, text, dates or true and false, but {named}",
        "save these columns as one of them, or leave them out: in the contract under "
        f"extra_columns, at nox -s adopt with {options}",
    )


def _series(column: pa.ChunkedArray) -> "pd.Series[Any]":
    """Return a column as a series, [n]; of nulls where its type cannot be read."""
    kind = column.type
    target = _target(kind)
    if target is None:
        return pd.Series(np.nan, range(len(column)))
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    elif pa.types.is_run_end_encoded(kind):
        column = pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks])
    for step in target:
        column = column.cast(step)
    nullable = INTEGERS.get if column.null_count else None
    return pd.Series(column.to_pandas(types_mapper=nullable))


def _target(kind: pa.DataType) -> tuple[pa.DataType, ...] | None:
    """Return the types that a column's values are cast to, in turn; None where none can be read."""
    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    if isinstance(kind, pa.BaseExtensionType):
        return None
    if types.is_floating(kind):
        # As text a float32 has fewer digits than the number that the model gets.
        return (pa.float64(),)
    if types.is_decimal(kind) or types.is_date32(kind) or types.is_string_view(kind):
        return (pa.large_string(),)
    if types.is_date64(kind):
        return (pa.date32(), pa.large_string())
    if types.is_null(kind):
        return (pa.large_string(),)
    texts = types.is_string(kind) or types.is_large_string(kind)
    if texts or types.is_integer(kind) or types.is_boolean(kind) or types.is_timestamp(kind):
        return ()
    return None
