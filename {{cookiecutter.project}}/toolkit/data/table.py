"""Reads a table of customers, CSV or Parquet, into columns of the contract's types."""

import csv
import gzip
import hashlib
import io
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import DataError
from .contract import LARGEST, Column, Contract, Csv

PARQUET = (".parquet", ".pq")
FIRST_LINE = 2  # The header is line 1.

Positions = Sequence[int] | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """A table as it is in its file: types are checked, the rest of the contract is not.

    Attributes
    ----------
    path, sha256
        The file, and the sha256 of its bytes.
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
        return "row" if is_parquet(self.path) else "line"

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


def is_parquet(path: Path) -> bool:
    """Return whether a file has a suffix of Parquet."""
    return path.suffix.lower() in PARQUET


def read(contract: Contract) -> Table:
    """Read the contract's columns of its table.

    Raises
    ------
    DataError
        The file is missing, empty, being written, in another encoding, or not a table.
    """
    content = read_bytes(contract.data)
    sha256 = hashlib.sha256(content).hexdigest()
    ragged: Positions = ()
    line_of = None
    if is_parquet(contract.data):
        header, frame = read_parquet(contract.data, content)
    else:
        text = decode(contract.data, content, contract.csv)
        header = read_header(contract.data, text, contract.csv)
        frame = read_csv(contract.data, text, contract.csv, header, _numbers(contract))
        line_of, ragged = find_lines(contract.data, text, contract.csv, frame)
    count_of = Counter(header)
    position_of = {name: position for position, name in enumerate(header)}
    columns: dict[str, pd.Series] = {}
    unreadable: dict[str, pd.Series] = {}
    for column in contract.columns:
        if count_of[column.name] == 1:
            raw = frame[position_of[column.name]]
            columns[column.name], wrong = convert(raw, column, contract.csv)
            if len(wrong):
                unreadable[column.name] = wrong
    values = pd.DataFrame(columns, index=frame.index)
    return Table(contract.data, sha256, header, values, unreadable, ragged, line_of)


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


def unpack(path: Path, content: bytes) -> bytes:
    """Return the decompressed content of a .gz file, and any other content unchanged."""
    if path.suffix.lower() != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not valid gzip: {error}", "copy the file again") from None


def decode(path: Path, content: bytes, dialect: Csv) -> bytes:
    """Return a CSV file as UTF-8: decompressed, without a byte order mark or final blank lines."""
    content = unpack(path, content)
    try:
        text = content.decode(dialect.encoding)
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = content.count(b"\n", 0, start) + 1
        raise DataError(
            f"{path}: line {line}: not valid {dialect.encoding}: {error}",
            'save it as UTF-8, or set its encoding in the contract: csv = { encoding = "cp1252" }',
        ) from None
    return text.removeprefix("\ufeff").rstrip("\r\n").encode()


def read_header(path: Path, text: bytes, dialect: Csv) -> tuple[str, ...]:
    """Return the column names in the first line of a CSV file."""
    _, header = next(_records(path, text, dialect), (1, []))
    if not header:
        raise DataError(f"{path}: line 1 is empty, but must name the columns", f"restore {path}")
    return tuple(name.strip() for name in header)


def read_csv(
    path: Path, text: bytes, dialect: Csv, header: Sequence[str], numbers: frozenset[str]
) -> pd.DataFrame:
    """Read a CSV file into columns that are named by their position.

    Parameters
    ----------
    text
        UTF-8, with a header.
    numbers
        The columns that are parsed as numbers where all their values are; all others are text.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(text),
                header=0,
                names=list(range(len(header))),
                index_col=False,
                # All columns are read: with `usecols` pandas does not report an extra field.
                dtype={
                    position: "str" for position, name in enumerate(header) if name not in numbers
                },
                sep=dialect.sep,
                decimal=dialect.decimal,
                thousands=dialect.thousands,
                quotechar=dialect.quotechar,
                escapechar=dialect.escapechar,
                # NA may be a customer's name or a category.
                keep_default_na=False,
                na_values=["", *dialect.na_values],
                # A blank line is a row without fields, and counts as a line.
                skip_blank_lines=False,
                low_memory=False,
            )
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        raise _not_csv(path, error) from None


def read_parquet(path: Path, content: bytes) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Return the header of a Parquet file, and its columns named by their position."""
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except (ValueError, OSError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: not valid Parquet: {reason}", f"restore {path}") from None
    header = tuple(str(name) for name in frame.columns)
    return header, frame.set_axis(range(len(header)), axis="columns").reset_index(drop=True)


def convert(raw: pd.Series, column: Column, dialect: Csv) -> tuple[pd.Series, pd.Series]:
    """Return a column in its type, and its values of another type as text."""
    values: pd.Series
    if column.is_numeric:
        text = raw if is_number(raw) else as_text(raw)
        missing = text.isna()
        values = text.astype(float) if is_number(raw) else to_number(text, dialect)
        unfit = values.abs() > LARGEST[column.type]
        if column.type == "integer":
            unfit |= values % 1 != 0
        if (unfit & ~missing).any():
            values = values.mask(unfit)
    else:
        values = as_text(raw)
        missing = values.isna()
        if column.type == "date":
            values = pd.to_datetime(values, format="ISO8601", errors="coerce", utc=True)
    return values, as_text(raw[values.isna() & ~missing])


def is_number(raw: pd.Series) -> bool:
    """Return whether a column has a numeric type other than bool."""
    return pd.api.types.is_numeric_dtype(raw) and not pd.api.types.is_bool_dtype(raw)


def as_text(raw: pd.Series) -> pd.Series:
    """Return a column as stripped text; blank and null are NaN."""
    missing = raw.isna()
    if pd.api.types.is_float_dtype(raw) and raw.abs().max() < LARGEST["integer"]:
        if not (raw.dropna() % 1).any():
            # pandas reads Parquet's integers with nulls as floats, but the label is 1, not 1.0.
            raw = raw.astype("Int64")
    text = raw.astype("str").str.strip()
    return text.mask(missing | (text == ""))


def to_number(text: pd.Series, dialect: Csv) -> pd.Series:
    """Return text as float64, NaN where it is not a number."""
    if dialect.thousands:
        text = text.str.replace(dialect.thousands, "", regex=False)
    if dialect.decimal != ".":
        text = text.str.replace(dialect.decimal, ".", regex=False)
    return pd.to_numeric(text, errors="coerce").astype(float)


def _numbers(contract: Contract) -> frozenset[str]:
    return frozenset(column.name for column in contract.columns if column.is_numeric)


def find_lines(
    path: Path, text: bytes, dialect: Csv, frame: pd.DataFrame
) -> tuple[npt.NDArray[np.int64] | None, Positions]:
    """Return the first line of each row, and the positions of the rows with too few fields.

    pandas reports no lines and fills a short row with nulls. Python's own reader reports both, but
    is slower, so it is used only where a field contains a line break or the last column a null.
    """
    lines = text.count(b"\n") + text.replace(b"\r\n", b"").count(b"\r")
    if lines == len(frame) and not frame[frame.shape[1] - 1].isna().any():
        return None, ()
    records = _records(path, text, dialect)
    next(records)
    first_lines = np.zeros(len(frame), dtype=np.int64)
    ragged = []
    for position, (line, record) in enumerate(records):
        if position == len(frame):
            break
        first_lines[position] = line
        if len(record) < frame.shape[1] and (record or frame.shape[1] > 1):
            ragged.append(position)
    return first_lines, ragged


def _records(path: Path, text: bytes, dialect: Csv) -> Iterator[tuple[int, list[str]]]:
    """Yield the records of a CSV file, each with its first line."""
    lines = io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline="")
    reader = csv.reader(
        lines,
        delimiter=dialect.sep,
        quotechar=dialect.quotechar,
        escapechar=dialect.escapechar,
    )
    line = 1
    try:
        for record in reader:
            yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise _not_csv(path, error) from None


def _not_csv(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(f"{path}: not valid CSV: {reason}", "fix the file, or [csv] in the contract")
