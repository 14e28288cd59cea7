"""Reads a table of any size part by part, each as `table` reads a whole one."""

import io
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DataError
from . import csv_text, table
from .compression import open_unpacked, unpacking
from .contract import Contract
from .parquet import is_parquet
from .table import Table

# A value takes some hundred bytes while it goes from the file to the model.
VALUES = 400_000
# A whole chunk of a column may be as large as the file.
BUFFER_BYTES = 1 << 20
BOM = "\ufeff"
LINE_END = re.compile(r"\r\n|\r|\n")


def read(path: Path, contract: Contract) -> Iterator[Table]:
    """Yield a table as parts of it in their order, at least one, each with the whole header.

    Parameters
    ----------
    path
        CSV in the contract's format, also compressed, or Parquet.

    Raises
    ------
    DataError
        The file is missing, in another encoding, damaged, or not a table.
    """
    rows = max(1, VALUES // len(contract.columns))
    try:
        yield from (_of_parquet if is_parquet(path) else _of_csv)(path, contract, rows)
    except OSError as error:
        # An error of pyarrow's has no number, and tells its reason in the first line.
        reason = error.strerror or str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be read: {reason}", "name another file") from None


def _of_parquet(path: Path, contract: Contract, rows: int) -> Iterator[Table]:
    before = 0
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            batches = file.iter_batches(rows, use_threads=False)
            found = (pa.Table.from_batches([batch]) for batch in batches)
            first = next(found, file.schema_arrow.empty_table())
            for one in itertools.chain([first], found):
                part = table.from_arrow(path, "", one, contract)
                yield part.moved(before)
                before += len(part)
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: not valid Parquet: {reason}", f"restore {path}") from None


class _Kept:
    """Lines on their way to a reader, kept until they are taken."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._kept: list[str] = []

    def __iter__(self) -> "_Kept":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._kept.append(line)
        return line

    def take(self) -> tuple[int, str]:
        """Return the lines that the reader has got since the last time: their number and text."""
        lines, self._kept = self._kept, []
        return len(lines), "".join(lines)


def _of_csv(path: Path, contract: Contract, rows: int) -> Iterator[Table]:
    dialect = contract.csv
    with open_unpacked(path) as stream, unpacking(path):
        text = io.TextIOWrapper(stream, encoding=dialect.encoding, newline="")
        try:
            yield from _parts(path, text, contract, rows)
        except UnicodeError as error:
            raise DataError(
                f"{path}: not valid {dialect.encoding}: {error}",
                "save it as UTF-8, or in the encoding that the contract names",
            ) from None


def _parts(path: Path, text: Iterable[str], contract: Contract, rows: int) -> Iterator[Table]:
    dialect = contract.csv
    text = iter(text)
    skipped, first = _head(text, contract)
    lines = _Kept(itertools.chain([first] if first else [], text))
    # The reader knows where a record ends, pandas what its fields are.
    records = csv_text.records_in(path, lines, dialect, skipped)
    next(records, None)
    in_header, header = lines.take()
    before, blank, is_first = skipped, "", True
    while True:
        count = sum(1 for _ in itertools.islice(records, rows))
        number, block = lines.take()
        csv_text.refuse_nul(path, block, dialect, before + in_header)
        block = blank + block
        body = block.rstrip("\r\n")
        if body or is_first:
            whole = f"{header}{body}".rstrip("\r\n").encode()
            part = table.from_text(path, "", whole, contract)
            yield part.moved(before - len(LINE_END.findall(blank)))
        # Blank lines in the middle are rows, and those at the end are nothing.
        blank = LINE_END.sub("", block[len(body) :], count=1) if body else block
        before, is_first = before + number, False
        if not count:
            return


def _head(text: Iterator[str], contract: Contract) -> tuple[int, str]:
    """Return how many lines stand before the header, and the first line of the header."""
    head = next(text, "").removeprefix(BOM)
    skipped, rest = csv_text.split_head(head.encode(), contract.csv)
    while not rest and (line := next(text, "")):
        head += line
        skipped, rest = csv_text.split_head(head.encode(), contract.csv)
    return skipped, rest.decode()
