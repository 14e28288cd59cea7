"""Reads the table of customers, CSV or Parquet, into columns of the contract's types."""

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
    """A table as it is in its file; nothing has been held against the contract but the types.

    Attributes
    ----------
    path, sha256
        The file, and the sha256 of the bytes that were read.
    header
        The names of all columns, in the order of the file.
    values
        The contract's columns that are there, [n] each: float64 with NaN for nulls, text with NaN
        for nulls, or UTC times with NaT for nulls. What is not of its type is null here.
    unreadable
        By column, the texts that are not of its type; the index is the position.
    ragged
        Of a CSV file: the positions of the rows with too few fields.
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
        """What a row's place is counted in: Parquet has no lines."""
        return "row" if is_parquet(self.path) else "line"

    def places(self, positions: Positions) -> tuple[int, ...]:
        """Return where rows stand in the file: their first lines, or their numbers from 1."""
        if self._line_of is not None:
            return tuple(int(line) for line in self._line_of[list(positions)])
        first = FIRST_LINE if self.unit == "line" else 1
        return tuple(int(position) + first for position in positions)


def in_words(count: int, unit: str, places: Sequence[int]) -> str:
    """Return how many rows are meant and where the first of them stand: 1 row, line 6."""
    shown = ", ".join(map(str, places))
    return f"1 row, {unit} {shown}" if count == 1 else f"{count} rows, first {unit}s {shown}"


def is_parquet(path: Path) -> bool:
    """Tell whether a file's name says that it is Parquet."""
    return path.suffix.lower() in PARQUET


def read(contract: Contract) -> Table:
    """Read the contract's table: its columns, and the names of all others.

    Raises
    ------
    DataError
        The file is missing, empty, still being written, in another encoding, or no table.
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
            found = frame[position_of[column.name]]
            columns[column.name], wrong = convert(found, column, contract.csv)
            if len(wrong):
                unreadable[column.name] = wrong
    values = pd.DataFrame(columns, index=frame.index)
    return Table(contract.data, sha256, header, values, unreadable, ragged, line_of)


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes, all of one state of the file."""
    try:
        before = path.stat()
        content = path.read_bytes()
        after = path.stat()
    except OSError as error:
        next_step = f"restore {path}, or name another file in the contract"
        raise DataError(f"{path}: {error.strerror}", next_step) from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DataError(f"{path}: changed while it was read", "try again when it is written")
    return content


def unpack(path: Path, content: bytes) -> bytes:
    """Return what a file that ends in .gz holds, and any other as it is."""
    if path.suffix.lower() != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not readable as gzip: {error}", "copy it again") from None


def decode(path: Path, content: bytes, written: Csv) -> bytes:
    """Return a CSV file as UTF-8 without a byte order mark, unpacked, ending with its last row."""
    content = unpack(path, content)
    try:
        text = content.decode(written.encoding)
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = content.count(b"\n", 0, start) + 1
        raise DataError(
            f"{path}: line {line}: not {written.encoding}: {error}",
            'save it as UTF-8, or name its encoding in the contract: csv = { encoding = "cp1252" }',
        ) from None
    return text.removeprefix("\ufeff").rstrip("\r\n").encode()


def read_header(path: Path, text: bytes, written: Csv) -> tuple[str, ...]:
    """Return the names in the first line of a CSV file."""
    _, header = next(_records(path, text, written), (1, []))
    if not header:
        raise DataError(f"{path}: line 1 is empty, and must name the columns", f"restore {path}")
    return tuple(name.strip() for name in header)


def read_csv(
    path: Path, text: bytes, written: Csv, header: Sequence[str], numbers: frozenset[str]
) -> pd.DataFrame:
    """Read a CSV file, its columns named by their position.

    Parameters
    ----------
    text
        UTF-8, with a header.
    numbers
        The columns that are read as numbers where all their values are; all others are text.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(text),
                header=0,
                names=list(range(len(header))),
                index_col=False,
                # All columns are read: with `usecols` pandas says nothing of a field too many.
                dtype={
                    position: "str" for position, name in enumerate(header) if name not in numbers
                },
                sep=written.sep,
                decimal=written.decimal,
                thousands=written.thousands,
                quotechar=written.quotechar,
                escapechar=written.escapechar,
                # A customer may be called NA.
                keep_default_na=False,
                na_values=["", *written.na_values],
                # An empty line is a row that lacks everything, and counts as a line.
                skip_blank_lines=False,
                low_memory=False,
            )
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        raise _no_csv(path, error) from None


def read_parquet(path: Path, content: bytes) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Read a Parquet file: its header, and its columns named by their position."""
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except (ValueError, OSError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: not readable as Parquet: {reason}", f"restore {path}") from None
    header = tuple(str(name) for name in frame.columns)
    return header, frame.set_axis(range(len(header)), axis="columns").reset_index(drop=True)


def convert(found: pd.Series, column: Column, written: Csv) -> tuple[pd.Series, pd.Series]:
    """Return a column in its type, and the texts in it that are not of that type."""
    values: pd.Series
    if column.is_numeric:
        text = found if is_number(found) else as_text(found)
        missing = text.isna()
        values = text.astype(float) if is_number(found) else to_number(text, written)
        unfit = values.abs() > LARGEST[column.type]
        if column.type == "integer":
            unfit |= values % 1 != 0
        if (unfit & ~missing).any():
            values = values.mask(unfit)
    else:
        values = as_text(found)
        missing = values.isna()
        if column.type == "date":
            values = pd.to_datetime(values, format="ISO8601", errors="coerce", utc=True)
    return values, as_text(found[values.isna() & ~missing])


def is_number(found: pd.Series) -> bool:
    """Tell whether a column holds numbers; true and false are none."""
    return pd.api.types.is_numeric_dtype(found) and not pd.api.types.is_bool_dtype(found)


def as_text(found: pd.Series) -> pd.Series:
    """Return a column as text without blanks around it; blank and null are NaN."""
    missing = found.isna()
    if pd.api.types.is_float_dtype(found) and found.abs().max() < LARGEST["integer"]:
        if not (found.dropna() % 1).any():
            # A null makes floats of Parquet's integers: a label 1 is not written 1.0.
            found = found.astype("Int64")
    text = found.astype("str").str.strip()
    return text.mask(missing | (text == ""))


def to_number(text: pd.Series, written: Csv) -> pd.Series:
    """Return text as float64; what is no number is NaN."""
    if written.thousands:
        text = text.str.replace(written.thousands, "", regex=False)
    if written.decimal != ".":
        text = text.str.replace(written.decimal, ".", regex=False)
    return pd.to_numeric(text, errors="coerce").astype(float)


def _numbers(contract: Contract) -> frozenset[str]:
    return frozenset(column.name for column in contract.columns if column.is_numeric)


def find_lines(
    path: Path, text: bytes, written: Csv, frame: pd.DataFrame
) -> tuple[npt.NDArray[np.int64] | None, Positions]:
    """Return the first line of each row, and the positions of the rows with too few fields.

    pandas tells no lines, and fills a short row with nulls. A pass of Python's own reader tells
    both; it takes longer than pandas, so it is made only where a field holds a line break or the
    last column a null.
    """
    lines = text.count(b"\n") + text.replace(b"\r\n", b"").count(b"\r")
    if lines == len(frame) and not frame[frame.shape[1] - 1].isna().any():
        return None, ()
    records = _records(path, text, written)
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


def _records(path: Path, text: bytes, written: Csv) -> Iterator[tuple[int, list[str]]]:
    """Yield the records of a CSV file, each with its first line."""
    lines = io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline="")
    reader = csv.reader(
        lines,
        delimiter=written.sep,
        quotechar=written.quotechar,
        escapechar=written.escapechar,
    )
    line = 1
    try:
        for record in reader:
            yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise _no_csv(path, error) from None


def _no_csv(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(f"{path}: not readable as CSV: {reason}", "mend it, or the contract's csv")
