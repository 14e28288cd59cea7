"""Finds out how a CSV file is written: its encoding, its signs, and its words for a null."""

import codecs
import csv
import io
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..errors import DataError
from .contract import Csv
from .table import FIRST_LINE, as_text, decode, find_lines, read_csv, read_header, unpack

SEPARATORS = (",", ";", "\t", "|")
RECORDS_LOOKED_AT = 200
SHARE_OF_WHOLE_RECORDS = 0.9
BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

# What programs write for a null. The second kind might be a category's name, so it is a null only
# where it stands among numbers.
NULLS = frozenset(("NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null"))
NULLS_AMONG_NUMBERS = NULLS | {"None", "none", "n/a", "na", "?", "-", "--"}

VALUES_LOOKED_AT = 1000
EXPONENT = r"([eE][+-]?\d+)?"
# Decimal sign, thousands sign, and the numbers that are written so.
NUMBERS = (
    (".", None, re.compile(rf"[+-]?(\d+\.?\d*|\.\d+){EXPONENT}")),
    (".", ",", re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d*)?")),
    (",", None, re.compile(rf"[+-]?(\d+,?\d*|,\d+){EXPONENT}")),
    (",", ".", re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d*)?")),
)


def read_unknown(path: Path, content: bytes) -> tuple[Csv, tuple[str, ...], pd.DataFrame]:
    """Read a CSV file of which nothing is known, as text.

    Returns
    -------
    written
        How it is written, so that `table.read` can read it.
    header
        The names of its columns.
    frame
        Its columns as text, named by their position, with NaN for nulls; the index is each row's
        first line.

    Raises
    ------
    DataError
        It is no CSV file.
    """
    encoding = find_encoding(unpack(path, content))
    written = Csv(encoding=encoding)
    text = decode(path, content, written)
    written = replace(written, sep=find_separator(path, text.decode()))
    header = read_header(path, text, written)
    frame = read_csv(path, text, written, header, frozenset()).apply(as_text)
    line_of, _ = find_lines(path, text, written, frame)
    frame.index += FIRST_LINE
    if line_of is not None:
        frame.index = pd.Index(line_of)
    values = {
        position: frozenset(frame[position].dropna().unique()[:VALUES_LOOKED_AT])
        for position in range(len(header))
    }
    decimal, thousands = find_number_signs(written.sep, values)
    written = replace(written, decimal=decimal, thousands=thousands)
    nulls = find_nulls(written, values)
    return replace(written, na_values=nulls), header, frame.mask(frame.isin(nulls))


def find_encoding(content: bytes) -> str:
    """Return the encoding of a file: UTF-8 unless it cannot be."""
    for bom, encoding in BOMS.items():
        if content.startswith(bom):
            return encoding
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def find_separator(path: Path, text: str) -> str:
    """Return the sign that divides the first records into the most fields, and nearly all equally.

    Raises
    ------
    DataError
        None does.
    """
    fields: dict[str, int] = {}
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            counts = [len(record) for record, _ in zip(reader, range(RECORDS_LOOKED_AT))]
        except csv.Error:
            continue
        if counts and counts.count(counts[0]) >= SHARE_OF_WHOLE_RECORDS * len(counts):
            fields[separator] = counts[0]
    best = max(fields, key=lambda separator: fields[separator], default=None)
    if best is None or fields[best] < 2:
        signs = " ".join(map(repr, SEPARATORS))
        raise DataError(
            f"{path}: none of {signs} divides its lines into equally many fields",
            "save it as CSV: a header, then as many fields in every line",
        )
    return best


def find_number_signs(
    separator: str, values: Mapping[int, Collection[str]]
) -> tuple[str, str | None]:
    """Return the decimal and the thousands sign with which most columns hold only numbers.

    Parameters
    ----------
    values
        Some different values of each column.
    """
    # Where the comma does not separate, 1,234 is rather a number between one and two.
    choices = NUMBERS if separator == "," else sorted(NUMBERS, key=lambda choice: choice[0] == ".")
    counts = [
        sum(_are_numbers(number, texts) for texts in values.values()) for _, _, number in choices
    ]
    decimal, thousands, _ = choices[counts.index(max(counts))]
    return (".", None) if max(counts) == 0 else (decimal, thousands)


def find_nulls(written: Csv, values: Mapping[int, Collection[str]]) -> tuple[str, ...]:
    """Return the words that mean a null in this file."""
    [number] = [
        number
        for decimal, thousands, number in NUMBERS
        if (decimal, thousands) == (written.decimal, written.thousands)
    ]
    found: set[str] = set()
    for texts in values.values():
        found |= NULLS.intersection(texts)
        if _are_numbers(number, texts):
            found |= NULLS_AMONG_NUMBERS.intersection(texts)
    return tuple(sorted(found))


def _are_numbers(number: re.Pattern[str], texts: Collection[str]) -> bool:
    known = [text for text in texts if text not in NULLS_AMONG_NUMBERS]
    return bool(known) and all(number.fullmatch(text) for text in known)
