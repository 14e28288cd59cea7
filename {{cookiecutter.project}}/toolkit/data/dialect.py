"""Detects the format of a CSV file: encoding, separators, number format and null values."""

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
SNIFFED_RECORDS = 200
MIN_EQUAL_SHARE = 0.9
BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

# What programs write for a null. Those of the second set might be categories, so they are nulls
# only in a column of numbers.
NULLS = frozenset(("NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null"))
NULLS_IN_NUMBERS = NULLS | {"None", "none", "n/a", "na", "?", "-", "--"}

SNIFFED_VALUES = 1000
EXPONENT = r"([eE][+-]?\d+)?"
# Decimal separator, thousands separator, and the pattern of such a number.
NUMBERS = (
    (".", None, re.compile(rf"[+-]?(\d+\.?\d*|\.\d+){EXPONENT}")),
    (".", ",", re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d*)?")),
    (",", None, re.compile(rf"[+-]?(\d+,?\d*|,\d+){EXPONENT}")),
    (",", ".", re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d*)?")),
)


def read_unknown(path: Path, content: bytes) -> tuple[Csv, tuple[str, ...], pd.DataFrame]:
    """Read a CSV file of unknown format as text.

    Returns
    -------
    dialect
        Its format, with which `table.read` reads it.
    header
        The names of its columns.
    frame
        Its columns as text, named by their position, NaN for nulls; the index is each row's first
        line.

    Raises
    ------
    DataError
        It is not a CSV file.
    """
    encoding = find_encoding(unpack(path, content))
    dialect = Csv(encoding=encoding)
    text = decode(path, content, dialect)
    dialect = replace(dialect, sep=find_separator(path, text.decode()))
    header = read_header(path, text, dialect)
    frame = read_csv(path, text, dialect, header, frozenset()).apply(as_text)
    line_of, _ = find_lines(path, text, dialect, frame)
    frame.index += FIRST_LINE
    if line_of is not None:
        frame.index = pd.Index(line_of)
    values = {
        position: frozenset(frame[position].dropna().unique()[:SNIFFED_VALUES])
        for position in range(len(header))
    }
    decimal, thousands = find_number_format(dialect.sep, values)
    dialect = replace(dialect, decimal=decimal, thousands=thousands)
    nulls = find_nulls(dialect, values)
    return replace(dialect, na_values=nulls), header, frame.mask(frame.isin(nulls))


def find_encoding(content: bytes) -> str:
    """Return the encoding of a file: UTF-8 where that can decode it."""
    for bom, encoding in BOMS.items():
        if content.startswith(bom):
            return encoding
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def find_separator(path: Path, text: str) -> str:
    """Return the separator that splits the first records into the most fields, nearly all equally.

    Raises
    ------
    DataError
        No separator does.
    """
    fields: dict[str, int] = {}
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            counts = [len(record) for record, _ in zip(reader, range(SNIFFED_RECORDS))]
        except csv.Error:
            continue
        if counts and counts.count(counts[0]) >= MIN_EQUAL_SHARE * len(counts):
            fields[separator] = counts[0]
    best = max(fields, key=lambda separator: fields[separator], default=None)
    if best is None or fields[best] < 2:
        separators = " ".join(map(repr, SEPARATORS))
        raise DataError(
            f"{path}: not CSV: none of {separators} gives all lines the same number of fields",
            "save it as CSV: a header line, and the same number of fields in every line",
        )
    return best


def find_number_format(
    separator: str, values: Mapping[int, Collection[str]]
) -> tuple[str, str | None]:
    """Return the decimal and the thousands separator with which most columns are numeric.

    Parameters
    ----------
    values
        Some distinct values of each column, by its position.
    """
    # Where the comma does not separate fields, 1,234 is more likely 1.234 than 1234.
    choices = NUMBERS if separator == "," else sorted(NUMBERS, key=lambda choice: choice[0] == ".")
    counts = [
        sum(_are_numbers(number, texts) for texts in values.values()) for _, _, number in choices
    ]
    decimal, thousands, _ = choices[counts.index(max(counts))]
    return (".", None) if max(counts) == 0 else (decimal, thousands)


def find_nulls(dialect: Csv, values: Mapping[int, Collection[str]]) -> tuple[str, ...]:
    """Return the strings that mean null in this file."""
    [number] = [
        number
        for decimal, thousands, number in NUMBERS
        if (decimal, thousands) == (dialect.decimal, dialect.thousands)
    ]
    nulls: set[str] = set()
    for texts in values.values():
        nulls |= NULLS.intersection(texts)
        if _are_numbers(number, texts):
            nulls |= NULLS_IN_NUMBERS.intersection(texts)
    return tuple(sorted(nulls))


def _are_numbers(number: re.Pattern[str], texts: Collection[str]) -> bool:
    non_null = [text for text in texts if text not in NULLS_IN_NUMBERS]
    return bool(non_null) and all(number.fullmatch(text) for text in non_null)
