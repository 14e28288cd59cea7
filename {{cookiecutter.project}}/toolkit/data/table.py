"""Reads a table of customers, CSV or Parquet, into columns of the contract's types."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import DataError
from .contract import LARGEST, POINTER_FILE, Column, Contract, Csv
from .csv_text import FIRST_LINE, Positions, decode, find_lines, read_csv, read_header
from .number_text import to_number
from .parquet import is_parquet, open_parquet, read_columns


@dataclass(frozen=True)
class Table:
    """A table as it is in its file: types are checked, the rest of the contract is not.

    Attributes
    ----------
    path, sha256
        The file, and the sha256 of its bytes; of a snapshot its pointer, and its content's digest.
    header
        The names of all columns, in the order of the file.
    values
        The contract's columns that the file has, [n] each: float64 with NaN for nulls, text with
        NaN for nulls, or UTC times with NaT for nulls. A value of the wrong type is null here.
    unreadable
        By column, the values of the wrong type as text; the index is the row's position.
    ragged
        The positions of CSV rows with too few fields.
    """

    path: Path
    sha256: str
    header: tuple[str, ...]
    values: pd.DataFrame
    unreadable: dict[str, pd.Series]
    ragged: Positions
    _line_of: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def unit(self) -> str:
        """What a row's place counts: ``line`` in CSV, ``row`` in Parquet, which has no lines."""
        has_lines = not is_parquet(self.path) and self.path.name != POINTER_FILE
        return "line" if has_lines else "row"

    def moved(self, rows: int) -> "Table":
        """Return the table as a part of a larger one that has so many rows or lines before it."""
        return replace(self, _line_of=np.array(self.places(range(len(self))), dtype=int) + rows)

    def places(self, positions: Positions) -> tuple[int, ...]:
        """Return the first lines of rows in a CSV file, or their numbers from 1 in Parquet."""
        if self._line_of is not None:
            return tuple(int(line) for line in self._line_of[list(positions)])
        first = FIRST_LINE if self.unit == "line" else 1
        return tuple(int(position) + first for position in positions)


def describe_rows(count: int, unit: str, places: Sequence[int]) -> str:
    """Return the number of rows and the places of the first: ``1 row, line 6``."""
    shown = ", ".join(map(str, places))
    return f"1 row, {unit} {shown}" if count == 1 else f"{count} rows, first {unit}s {shown}"


def read(contract: Contract) -> Table:
    """Read the contract's columns of its table.

    Raises
    ------
    DataError
        The file is missing, empty, being written, in another encoding, or not a table.
    """
    if contract.data.name == POINTER_FILE:
        # Imported here: a table in git needs no store of snapshots.
        from .snapshot import reading

        return reading.read(contract)
    return parse(contract.data, read_bytes(contract.data), contract)


def parse(path: Path, content: bytes, contract: Contract) -> Table:
    """Read the contract's columns of a table in the bytes of a file.

    Raises
    ------
    DataError
        As `read` does.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    if is_parquet(path):
        return from_arrow(path, sha256, open_parquet(path, content), contract)
    return from_text(path, sha256, decode(path, content, contract.csv), contract)


def from_text(path: Path, sha256: str, text: bytes, contract: Contract) -> Table:
    """Read the contract's columns of a table in the text of a CSV file, as `decode` returns it.

    Raises
    ------
    DataError
        It is not a table.
    """
    header = read_header(path, text, contract.csv)
    frame = read_csv(path, text, contract.csv, header, contract.columns)
    line_of, ragged = find_lines(path, text, contract.csv, frame)
    column = frame.__getitem__
    return _converted(path, sha256, header, column, frame.index, contract, ragged, line_of)


def from_arrow(path: Path, sha256: str, arrow: Any, contract: Contract) -> Table:
    """Read the contract's columns of a table of Arrow.

    Parameters
    ----------
    path, sha256
        The file that it is from, and the digest that the table goes by.

    Raises
    ------
    DataError
        One of these columns is of a type that cannot be read.
    """
    names = {column.name for column in contract.columns}
    header, column = read_columns(path, arrow, names.__contains__)
    index = pd.RangeIndex(len(arrow))
    del arrow  # So that each column is freed when it is read.
    return _converted(path, sha256, header, column, index, contract)


def _converted(
    path: Path,
    sha256: str,
    header: tuple[str, ...],
    raw: Callable[[int], pd.Series],
    index: pd.Index,
    contract: Contract,
    ragged: Positions = (),
    line_of: npt.NDArray[np.int64] | None = None,
) -> Table:
    count_of = Counter(header)
    position_of = {name: position for position, name in enumerate(header)}
    columns: dict[str, pd.Series] = {}
    unreadable: dict[str, pd.Series] = {}
    for column in contract.columns:
        if count_of[column.name] == 1:
            position = position_of[column.name]
            columns[column.name], wrong = convert(raw(position), column, contract.csv)
            if len(wrong):
                unreadable[column.name] = as_text(wrong)
    values = pd.DataFrame(columns, index=index)
    return Table(path, sha256, header, values, unreadable, ragged, line_of)


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; a file that changes while it is read is refused."""
    try:
        before = path.stat()
        content = path.read_bytes()
        after = path.stat()
    except OSError as error:
        next_step = f"restore {path}, or name another file in the contract"
        raise DataError(f"{path}: {error.strerror}", next_step) from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DataError(f"{path}: changed while it was read", "try again when it is complete")
    return content


def convert(raw: pd.Series, column: Column, dialect: Csv) -> tuple[pd.Series, pd.Series]:
    """Return a column in its type, and its values of another type as they are."""
    words = (*dialect.na_values, *column.na_values)
    if column.is_numeric and is_number(raw):
        values = pd.Series(raw.to_numpy(float, na_value=np.nan), index=raw.index)
        missing = values.isna()
    else:
        values = as_text(raw)
        missing = values.isna() | values.isin(words)
        values = values.mask(missing)
    if column.is_numeric:
        if not is_number(raw):
            values = to_number(values, dialect, column.sign)
        if words:
            # As pandas does it: where -9 is a null, so is -9.0.
            missing |= values.isin(pd.to_numeric(pd.Series(words), errors="coerce").dropna())
        numbers = values.to_numpy()
        unfit = np.abs(numbers) > LARGEST[column.type]
        if column.type == "integer":
            unfit |= np.trunc(numbers) != numbers
        if (unfit | missing).any():
            values = values.mask(unfit | missing)
    elif column.type == "date" and pd.api.types.is_datetime64_any_dtype(raw):
        values = pd.to_datetime(raw, utc=True)
    elif column.type == "date":
        pattern = column.format or "ISO8601"
        values = pd.to_datetime(values, format=pattern, errors="coerce", utc=True)
    return values, raw[values.isna() & ~missing]


def is_number(raw: pd.Series) -> bool:
    """Return whether a column has a numeric type other than bool."""
    return pd.api.types.is_numeric_dtype(raw) and not pd.api.types.is_bool_dtype(raw)


def as_text(raw: pd.Series) -> pd.Series:
    """Return a column as stripped text; blank and null are NaN."""
    missing = raw.isna()
    if pd.api.types.is_float_dtype(raw):
        known = raw[~missing]
        if (known.abs() <= LARGEST["integer"]).all() and not (known % 1).any():
            # pandas reads Parquet's integers with nulls as floats, but the label is 1, not 1.0.
            raw = raw.astype("Int64")
    text = raw.astype("str").str.strip()
    blank = missing | (text == "")
    return text.mask(blank) if blank.any() else text
