"""Detects how a CSV file is written: encoding, lines before the header, separator, quotes.

What the file does not prove is asked for, never guessed.
"""

import codecs
import csv
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..errors import ConfigurationError, DataError
from .compression import unpack
from .contract import Csv
from .csv_text import FIRST_LINE, decode, find_lines, read_csv, read_header, split_head
from .table import as_text, describe_rows

SEPARATORS = (",", ";", "\t", "|")
QUOTE, APOSTROPHE, BACKSLASH = '"', "'", "\\"
SNIFFED_RECORDS = 200
HEAD_BYTES = 100_000
MIN_EQUAL_SHARE = 0.9
# That of UTF-32 begins with that of UTF-16.
BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WITHOUT_BOM = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# Encodings of one byte that are in use, to show what a text would be in each.
ONE_BYTE = ("cp1252", "cp1250", "cp850", "mac_roman")
SHOWN = 5
OPTION = "--csv"
KEYS = tuple(key for key in vars(Csv()) if key != "na_values")
# What a terminal does not show, by a name of its own.
NAMES = {"tab": "\t", "space": " ", "nbsp": "\u00a0", "nnbsp": "\u202f"}


def parse_options(options: tuple[str, ...]) -> dict[str, str]:
    """Return the format that the user gives: ``decimal=,`` and the like, the keys of [csv].

    Raises
    ------
    ConfigurationError
        An option is not KEY=VALUE, or has no such key.
    """
    given = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or key not in KEYS:
            raise ConfigurationError(
                f"{OPTION} {option}: it must be KEY=VALUE, with one of the keys {', '.join(KEYS)}",
                f"for example {OPTION} decimal=,",
            )
        given[key] = NAMES.get(value, value)
        if key != "encoding" and len(given[key]) > 1:
            raise ConfigurationError(
                f"{OPTION} {option}: {value!r} is more than one character",
                f"give {key} one, or none",
            )
    return given


def option(key: str, value: str) -> str:
    """Return the option that gives a part of the format, as one types it in a shell."""
    name = next((name for name, character in NAMES.items() if character == value), value)
    return f"{OPTION} {shlex.quote(f'{key}={name}')}"


def read_unknown(
    path: Path, content: bytes, given: Mapping[str, str], names: Sequence[str] = ()
) -> tuple[Csv, tuple[str, ...], pd.DataFrame]:
    """Read a CSV file of unknown format as text.

    Parameters
    ----------
    given
        What the user says about the format, by the key of [csv]; empty for none.
    names
        Columns that the user says are there.

    Returns
    -------
    dialect
        Its format, but for how numbers are written.
    header
        The names of its columns.
    frame
        Its columns as stripped text, named by their position, NaN for empty fields; the index is
        each row's first line.

    Raises
    ------
    DataError
        It is not a CSV file, or the user must say more about its format.
    """
    dialect = Csv(encoding=given.get("encoding") or find_encoding(path, unpack(path, content)))
    text = decode(path, content, dialect)
    separator = given.get("sep") or find_separator_line(text)
    comment = given.get("comment")
    if comment is None:
        comment = find_comment(path, split_head(text, dialect)[1], separator)
    dialect = replace(dialect, comment=comment or None)
    rest = split_head(text, dialect)[1]
    if separator is None:
        separator = find_separator(path, rest.decode(), given.get("quotechar") or QUOTE, names)
    quote, escape = _quotes(path, rest, separator, given)
    dialect = replace(dialect, sep=separator, quotechar=quote, escapechar=escape)
    header = read_header(path, text, dialect)
    frame = read_csv(path, text, dialect, header, ()).apply(as_text)
    line_of, ragged = find_lines(path, text, dialect, frame)
    frame.index = frame.index + FIRST_LINE if line_of is None else pd.Index(line_of)
    if len(ragged):
        lines = frame.index[list(ragged)].tolist()
        rows = describe_rows(len(lines), "line", lines[:SHOWN])
        raise DataError(
            f"{path}: fewer fields than the header's {len(header)} in {rows}",
            "fix or remove these lines",
        )
    return dialect, header, frame


def find_encoding(path: Path, content: bytes) -> str:
    """Return the encoding of a file, where its bytes prove it.

    Raises
    ------
    DataError
        It is none of Unicode's, so it may be any of one byte.
    """
    for bom, encoding in BOMS.items():
        if content.startswith(bom):
            return encoding
    if b"\0" in content:
        for encoding in WITHOUT_BOM:
            try:
                text = content.decode(encoding)
            except UnicodeDecodeError:
                continue
            if "\0" not in text and re.search("[,;|\t].*[\r\n]", text):
                return encoding
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        word = re.search(rb"[^\s,;|]*$", content[: error.start])
        start = word.start() if word else error.start
        field = re.match(rb"[^\r\n,;|\t]*", content[start:])
        shown = (field.group() if field else b"")[:30]
        choices = ", ".join(f"{shown.decode(one, 'replace')!r} in {one}" for one in ONE_BYTE)
        raise DataError(
            f"{path}: line {line}: not UTF-8, and it does not say in which encoding it is: "
            f"{choices}",
            f"add {OPTION} encoding=cp1252, or the one that gives the right text",
        ) from None
    return "utf-8"


def find_separator_line(text: bytes) -> str | None:
    """Return the separator that Excel's first line names: ``sep=;``."""
    match = re.match(rb"sep=(.)[\r\n]", text)
    return match.group(1).decode() if match else None


def find_comment(path: Path, text: bytes, separator: str | None) -> str | None:
    """Return ``#`` where the lines before the header begin with it.

    Raises
    ------
    DataError
        The first line begins with it, and may be the header as well.
    """
    if not text.startswith(b"#"):
        return None
    first, *others = text[:HEAD_BYTES].replace(b"\r", b"\n").split(b"\n")
    below = next((line for line in others if line and not line.startswith(b"#")), b"")
    for sign in [separator] if separator else SEPARATORS:
        fields = first.count(sign.encode())
        if fields and fields == below.count(sign.encode()):
            raise DataError(
                f"{path}: line 1 begins with '#': it may be a comment or the header",
                f"add {option('comment', '#')} for a comment, or {option('comment', '')} for the "
                "header",
            )
    return "#"


def find_separator(path: Path, text: str, quote: str, names: Sequence[str]) -> str:
    """Return the one separator that splits nearly all of the first records into equal fields.

    Raises
    ------
    DataError
        No separator does, or more than one.
    """
    fields: dict[str, int] = {}
    named: dict[str, int] = {}
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quotechar=quote)
        try:
            found = [record for record, _ in zip(reader, range(SNIFFED_RECORDS))]
        except csv.Error:
            continue
        counts = [len(record) for record in found]
        equal = counts and counts.count(counts[0]) >= MIN_EQUAL_SHARE * len(counts)
        if equal and counts[0] > 1:
            fields[separator] = counts[0]
            if {*names} <= {name.strip() for name in found[0]}:
                named[separator] = counts[0]
    # The one that gives the columns which the user names is it.
    fields = named if names and named else fields
    if not fields:
        separators = " ".join(map(repr, SEPARATORS))
        raise DataError(
            f"{path}: not CSV: none of {separators} gives all lines the same number of fields",
            "save it as CSV: a header line, and the same number of fields in every line; with "
            f"another separator add {OPTION} sep=..., with other quotes {OPTION} quotechar=...",
        )
    if len(fields) > 1:
        choices = " or ".join(f"{one!r} ({count} fields)" for one, count in fields.items())
        options = " or ".join(option("sep", one) for one in fields)
        raise DataError(f"{path}: the fields may be separated by {choices}", f"add {options}")
    [separator] = fields
    return separator


def _quotes(
    path: Path, text: bytes, separator: str, given: Mapping[str, str]
) -> tuple[str, str | None]:
    """Return the characters that quote and escape; what looks like another one is asked for."""
    quote, escape = given.get("quotechar"), given.get("escapechar")
    edge = rb"(?:^|$|[\r\n]|" + re.escape(separator.encode()) + rb")"
    quoted = quote is None and b"'" in text
    if quoted and (found := re.search(edge + rb"('(?:[^'\r\n]|'')*')" + edge, text)):
        raise DataError(
            f"{path}: the field {found.group(1).decode()} stands in apostrophes: they may quote "
            "it, or be a part of it",
            f"add {option('quotechar', APOSTROPHE)} if they quote it, else "
            f"{option('quotechar', QUOTE)}",
        )
    quote = quote or QUOTE
    if escape is None and f"{BACKSLASH}{quote}".encode() in text:
        raise DataError(
            f"{path}: a backslash stands before a {quote}: it may escape it, or be part of it",
            f"add {option('escapechar', BACKSLASH)} if it escapes it, else "
            f"{option('escapechar', '')}",
        )
    return quote, escape or None
