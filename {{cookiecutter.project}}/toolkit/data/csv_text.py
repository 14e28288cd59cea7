"""Reads the text of a CSV file of a known format: decoded, its header, its rows, their lines."""

import csv
import io
import re
import warnings
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import DataError
from .compression import unpack
from .contract import Column, Csv

FIRST_LINE = 2  # The header is line 1.
LINE_END = rb"(?:\r\n|\r|\n)"

Positions = Sequence[int] | npt.NDArray[np.int64]


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
    refuse_nul(path, text, dialect)
    return text.removeprefix("\ufeff").rstrip("\r\n").encode()


def refuse_nul(path: Path, text: str, dialect: Csv, lines: int = 0) -> None:
    """Refuse text that is none; so many lines of the file stand before it."""
    if "\0" in text:
        line = lines + text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{path}: line {line} has a NUL character: it is no text, or not {dialect.encoding}",
            'save it as UTF-8, or set its encoding in the contract: csv = { encoding = "utf-16" }',
        )


def split_head(text: bytes, dialect: Csv) -> tuple[int, bytes]:
    """Return how many lines stand before the header, and the text from the header on.

    Excel's line ``sep=;`` is one of them, then those that begin with the dialect's comment.
    """
    lines = 0
    patterns = [b"sep=." + LINE_END]
    if dialect.comment:
        patterns.append(re.escape(dialect.comment.encode()) + rb"[^\r\n]*" + LINE_END)
    for pattern in patterns:
        while match := re.match(pattern, text):
            lines, text = lines + 1, text[match.end() :]
    return lines, text


def read_header(path: Path, text: bytes, dialect: Csv) -> tuple[str, ...]:
    """Return the column names in the first line of a CSV file."""
    line, header = next(records(path, text, dialect), (1, []))
    if not header:
        raise DataError(
            f"{path}: line {line} is empty, but must name the columns", f"restore {path}"
        )
    return tuple(name.strip() for name in header)


def read_csv(
    path: Path, text: bytes, dialect: Csv, header: Sequence[str], columns: Sequence[Column]
) -> pd.DataFrame:
    """Read a CSV file into columns that are named by their position.

    Parameters
    ----------
    text
        UTF-8, with a header.
    columns
        Those of the contract: of plain numbers pandas parses the columns in which all values are
        numbers; all others are text.
    """
    skipped, rest = split_head(text, dialect)
    # To pandas 1,2,3 is 123 with thousands, and it knows no sign.
    plain = {one.name for one in columns if one.is_numeric and one.sign is None}
    numbers = plain if dialect.thousands is None else set()
    nulls = {one.name: one.na_values for one in columns}
    nulls_at: dict[Hashable, list[str]] = {
        position: ["", *dialect.na_values, *nulls.get(name, ())]
        for position, name in enumerate(header)
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                # The lines before the header are counted in messages, but not parsed.
                io.BytesIO(b"\n" * skipped + rest),
                skiprows=skipped,
                header=0,
                names=list(range(len(header))),
                index_col=False,
                # All columns are read: with `usecols` pandas does not report an extra field.
                dtype={
                    position: "str" for position, name in enumerate(header) if name not in numbers
                },
                sep=dialect.sep,
                decimal=dialect.decimal,
                quotechar=dialect.quotechar,
                escapechar=dialect.escapechar,
                # NA may be a customer's name or a category.
                keep_default_na=False,
                na_values=nulls_at,  # type: ignore[arg-type]  # The stubs know names alone.
                # A blank line is a row without fields, and counts as a line.
                skip_blank_lines=False,
                low_memory=False,
            )
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        raise _not_csv(path, error) from None


def find_lines(
    path: Path, text: bytes, dialect: Csv, frame: pd.DataFrame
) -> tuple[npt.NDArray[np.int64] | None, Positions]:
    """Return the first line of each row, and the positions of the rows with too few fields.

    pandas reports no lines and fills a short row with nulls. Python's own reader reports both, but
    is slower, so it is used only where a field contains a line break or the last column a null.
    """
    skipped, rest = split_head(text, dialect)
    lines = rest.count(b"\n") + rest.replace(b"\r\n", b"").count(b"\r")
    if lines == len(frame) and not frame[frame.shape[1] - 1].isna().any():
        first = FIRST_LINE + skipped
        return np.arange(first, first + len(frame)) if skipped else None, ()
    rows = records(path, text, dialect)
    next(rows)
    first_lines = np.zeros(len(frame), dtype=np.int64)
    ragged = []
    for position, (line, record) in enumerate(rows):
        if position == len(frame):
            break
        first_lines[position] = line
        if len(record) < frame.shape[1] and (record or frame.shape[1] > 1):
            ragged.append(position)
    return first_lines, ragged


def records(path: Path, text: bytes, dialect: Csv) -> Iterator[tuple[int, list[str]]]:
    """Yield the records of a CSV file from the header on, each with its first line."""
    skipped, rest = split_head(text, dialect)
    lines = io.TextIOWrapper(io.BytesIO(rest), encoding="utf-8", newline="")
    yield from records_in(path, lines, dialect, skipped)


def records_in(
    path: Path, lines: Iterable[str], dialect: Csv, skipped: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield the records in lines of a CSV file, each with its first line.

    Parameters
    ----------
    lines
        With their ends.
    skipped
        How many lines stand before them.
    """
    reader = csv.reader(
        lines,
        delimiter=dialect.sep,
        quotechar=dialect.quotechar,
        escapechar=dialect.escapechar,
    )
    line = skipped + 1
    try:
        for record in reader:
            yield line, record
            line = skipped + reader.line_num + 1
    except csv.Error as error:
        raise _not_csv(path, error) from None


def _not_csv(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(f"{path}: not valid CSV: {reason}", "fix the file, or [csv] in the contract")
