"""Unpacks a compressed table, and names what is no table by its first bytes."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from ..errors import DataError

UNPACKED = {".gz": gzip, ".bz2": bz2, ".xz": lzma}
# What a file that is neither CSV nor Parquet begins with, and what to do with it.
CSV = "save it as CSV or Parquet"
OTHERS = {
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", f"unpack it, or {CSV}"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", CSV),
    b"\x1f\x8b": ("compressed with gzip", "give it the suffix .gz"),
    b"BZh91AY&SY": ("compressed with bzip2", "give it the suffix .bz2"),
    b"\xfd7zXZ\x00": ("compressed with xz", "give it the suffix .xz"),
    b"\x28\xb5\x2f\xfd": ("compressed with Zstandard", "unpack it"),
    b"PAR1": ("Parquet", "give it the suffix .parquet"),
    b"ARROW1": ("a Feather or Arrow file", CSV),
    b"SQLite format 3": ("an SQLite database", CSV),
    b"%PDF": ("a PDF document", CSV),
    b"<!DOCTYPE": ("an HTML page, perhaps of a log-in", "export the table again"),
    b"<html": ("an HTML page, perhaps of a log-in", "export the table again"),
}
LONGEST = max(map(len, OTHERS))


def unpack(path: Path, content: bytes) -> bytes:
    """Return the content of a .gz, .bz2 or .xz file, and any other content unchanged.

    Raises
    ------
    DataError
        It is damaged, or the first bytes are those of another kind of file.
    """
    suffix = path.suffix.lower()
    if suffix in UNPACKED:
        module = UNPACKED[suffix]
        try:
            content = module.decompress(content)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            name = module.__name__.replace("bz2", "bzip2").replace("lzma", "xz")
            raise DataError(f"{path}: not valid {name}: {error}", "copy the file again") from None
    refuse_others(path, content)
    return content


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file to read its content, that of a .gz, .bz2 or .xz file unpacked.

    Raises
    ------
    DataError
        The first bytes are those of another kind of file, or cannot be unpacked.
    OSError
        It cannot be opened.
    """
    module = UNPACKED.get(path.suffix.lower())
    stream: Any = path.open("rb") if module is None else module.open(path)
    with unpacking(path):
        refuse_others(path, stream.peek(LONGEST))
    return cast(IO[bytes], stream)


@contextmanager
def unpacking(path: Path) -> Iterator[None]:
    """Refuse a damaged file where what is inside finds it so."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be unpacked: {error}", "copy the file again") from None


def refuse_others(path: Path, start: bytes) -> None:
    """Refuse a file that begins as one of another kind, by the name of that."""
    for magic, (name, next_step) in OTHERS.items():
        if start.startswith(magic):
            raise DataError(f"{path}: it is {name}, not CSV", next_step)
