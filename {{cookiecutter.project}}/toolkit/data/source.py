"""Reads a table of which nothing is known: its format, and how each of its columns is read."""

import difflib
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from ..errors import ConfigurationError, DataError
from . import table
from .column_reading import (
    Misfit,
    Reading,
    is_typed,
    read_as_text,
    read_column,
    read_typed,
    strip,
    without_nulls,
)
from .contract import Csv
from .dialect import parse_options, read_unknown
from .number_marks import find_marks
from .parquet import is_parquet, open_parquet, read_columns
from .words import words_of

SHOWN = 5  # rows or names in a message


@dataclass(frozen=True)
class Answers:
    """What only the user can say about how a table is written.

    Attributes
    ----------
    csv
        KEY=VALUE of [csv]: ``decimal=,``.
    nulls
        Texts that mean null: in every column, or in one as ``COLUMN=TEXT``.
    categories
        The columns that are categories, whatever their values look like.
    ignored
        The columns to leave out.
    """

    csv: tuple[str, ...] = ()
    nulls: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def nulls_of(self, column: str) -> frozenset[str]:
        """Return the texts that mean null in a column."""
        own = {
            null.removeprefix(f"{column}=") for null in self.nulls if null.startswith(f"{column}=")
        }
        return frozenset({*self.nulls, *own})


@dataclass(frozen=True)
class Source:
    """A table of which every column is read, before anything is decided about them.

    Attributes
    ----------
    content
        The bytes of the file.
    dialect
        The format of a CSV file, and of numbers that are texts.
    header
        The names of the columns.
    text
        The columns as text, named by their position, NaN for nulls; numbers and times of Parquet in
        their own type. The index is each row's line or row number.
    unit
        What the index counts: ``line`` or ``row``.
    readings
        How each column is read, by its name; the id, the target and ignored columns have none.
    """

    content: bytes
    dialect: Csv
    header: tuple[str, ...]
    text: pd.DataFrame
    unit: str
    readings: dict[str, Reading] = field(default_factory=dict)

    @cached_property
    def _places(self) -> dict[str, int]:
        """The position of each column, of several of one name the first."""
        return {name: place for place, name in reversed([*enumerate(self.header)])}

    def column(self, name: str) -> pd.Series:
        """Return the column of this name."""
        return self.text[self._places[name]].rename(name)

    def replaced(self, columns: dict[str, pd.Series]) -> "Source":
        """Return the table with other columns of these names."""
        others = {self._places[name]: column for name, column in columns.items()}
        kept = {place: others.get(place, self.text[place]) for place in range(len(self.header))}
        return replace(self, text=pd.DataFrame(kept)) if others else self

    def describe(self, rows: "pd.Series[bool]") -> str:
        """Return the number of the selected rows and where the first of them are, for messages."""
        return table.describe_rows(int(rows.sum()), self.unit, rows.index[rows][:SHOWN].tolist())


def read(path: Path, answers: Answers, unread: Sequence[str]) -> Source:
    """Read a table.

    Parameters
    ----------
    unread
        The id and the target: their texts are what they are.

    Raises
    ------
    DataError
        It is no table, or the user must say how it is written.
    ConfigurationError
        An answer names a column that the table lacks.
    """
    given = parse_options(answers.csv)
    content = table.read_bytes(path)
    if is_parquet(path):
        arrow = open_parquet(path, content)
        header, column = read_columns(path, arrow, lambda name: name not in answers.ignored)
        columns = {position: column(position) for position in range(len(header))}
        frame = pd.DataFrame(columns, index=range(len(arrow)))
        frame.index += 1
        values = frame.apply(lambda column: column if is_typed(column) else table.as_text(column))
        for name in unread:
            if name in header:
                values[header.index(name)] = table.as_text(frame[header.index(name)])
        source = Source(content, Csv(), header, values, "row")
    else:
        dialect, header, text = read_unknown(path, content, given, unread)
        source = Source(content, dialect, header, text, "line")
    duplicates = [name for name, count in Counter(header).items() if count > 1]
    if duplicates:
        shown = ", ".join(map(repr, duplicates))
        raise DataError(f"{path}: more than one column is named {shown}", "rename them")
    for option, names in (("--category", answers.categories), ("--ignore", answers.ignored)):
        for name in names:
            require_column(path, option, name, header)
    return _read_columns(path, source, answers, given, {*unread, *answers.ignored})


def require_column(path: Path, option: str, name: str, header: Sequence[str]) -> None:
    """Refuse an option that names a column which the table lacks."""
    if name not in header:
        near = difflib.get_close_matches(name, header, n=3, cutoff=0.4) or header
        raise ConfigurationError(
            f"{option}: {path} has no column {name!r}",
            f"use one of its columns, such as {', '.join(near[:SHOWN])}",
        )


def _read_columns(
    path: Path,
    source: Source,
    answers: Answers,
    given: dict[str, str],
    unread: set[str],
) -> Source:
    read = [name for name in source.header if name not in unread]
    forced = set(answers.categories)
    texts = {name: table.as_text(source.column(name)) for name in forced}
    source = source.replaced(texts)
    typed = {name: source.column(name) for name in read if is_typed(source.column(name))}
    columns = {
        name: strip(words_of(name, source.column(name)), answers.nulls_of(name))
        for name in read
        if name not in typed
    }
    numbers = (
        column.bare
        for name, column in columns.items()
        if name not in forced and column.holds_numbers
    )
    try:
        decimal, thousands = find_marks(numbers, given)
    except DataError as error:
        raise DataError(f"{path}: {error}", error.next_step) from None
    dialect = replace(source.dialect, decimal=decimal, thousands=thousands)
    readings: dict[str, Reading] = {}
    misfits: list[Misfit] = []
    for name in read:
        nulls = answers.nulls_of(name)
        if name in typed:
            found: Reading | Misfit = read_typed(typed[name], nulls)
        elif name in forced:
            found = read_as_text(columns[name].words, nulls)
        else:
            found = read_column(columns[name], dialect, nulls)
        if isinstance(found, Misfit):
            misfits.append(found)
        else:
            readings[name] = found
    if misfits:
        raise _refusal(path, source, misfits)
    known = {
        name: without_nulls(source.column(name), reading.na_values)
        for name, reading in readings.items()
        if reading.na_values
    }
    return replace(source.replaced(known), dialect=dialect, readings=readings)


def _refusal(path: Path, source: Source, misfits: Sequence[Misfit]) -> DataError:
    sentences = []
    nulls, columns = [], []
    for misfit in misfits:
        rows = source.column(misfit.column).isin(misfit.texts)
        shown = ", ".join(map(repr, misfit.texts))
        more = f" and {misfit.count - len(misfit.texts)} other texts"
        shown += more if misfit.count > len(misfit.texts) else ""
        sentences.append(
            f"{path}: {misfit.column}: {misfit.others} are {misfit.kind}, {misfit.but} {shown} "
            f"({source.describe(rows)})"
        )
        nulls += [f"--null {shlex.quote(f'{misfit.column}={text}')}" for text in misfit.texts]
        columns.append(shlex.quote(misfit.column))
    return DataError(
        "\n".join(sentences),
        f"fix them; or read them as null with {' '.join(nulls)}; or read a column as a category "
        f"with --category {columns[0]}, or leave it out with --ignore {columns[0]}",
    )
