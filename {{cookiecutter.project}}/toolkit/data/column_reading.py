"""Decides how the texts of a column are read: as numbers, dates or categories, or as null.

A value that fits nothing is named with its line, and the user says what it is.
"""

import re
import shlex
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from .contract import WIDE_SPACES, Csv
from .number_marks import ANY
from .number_text import EXPONENT, SPACE, number_pattern, one_number, without_sign
from .table import is_number
from .words import Words

# What programs write for a null and nobody for a category.
NULLS = (
    *("\\N", "NULL", "null", "(null)", "<null>", "NaN", "nan", "-nan", "NaT", "<NA>", "#N/A"),
    *("#DIV/0!", "#NULL!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "#N/A N/A", "1.#QNAN", "-1.#IND"),
)
# What may be a category, and is a null in a column of numbers or dates, in any case.
NULLS_IN_NUMBERS = (
    *(word.lower() for word in NULLS),
    *("na", "n/a", "n.a.", "none", "nil", "unknown", "missing", "undefined", "not available"),
    *("?", "-", "--", "---", ".", "..", "inf", "-inf", "+inf", "infinity", "-infinity"),
)
# A number in any format, without another sign, and no null: a column of these needs no search.
PLAIN = r"[+-]?[0-9]+(\.[0-9]+)?"
NULL_DATES = "0{4}-00-00([T ]00:00:00)?|00[./-]00[./-]0{4}( 00:00:00)?"
# Where so many rows of a column are numbers or dates, the others are mistakes or unknown nulls.
NEARLY_ALL = 0.95
# In a column with many different numbers, as few other texts are as well, however often they stand.
MANY_NUMBERS, FEW_TEXTS = 10, 5
SIGNS = (
    r"[\p{Sc}%‰]|[A-Z]?[A-Z]?\p{Sc}|EUR|USD|GBP|CHF|JPY|CAD|AUD|SEK|NOK|DKK|PLN|CZK|INR|BRL|kr|zł"
)
DIGITS = rf"[0-9.,][0-9.,'{WIDE_SPACES} ]*{EXPONENT}"
SIGNED = rf"[+-]?{SPACE}*(?:(?:{SIGNS}){SPACE}*[+-]?{DIGITS}|{DIGITS}{SPACE}*(?:{SIGNS}))"
# Any date begins so; the whole pattern has classes of Unicode, which take long to compile.
DATE_BEGINS = "[0-9]{1,4}[./ -].*|[^0-9]+ [0-9]{1,2}, .*"
DATE_LIKE = (
    r"[0-9]{1,4}[./ -]([0-9]{1,2}|\p{L}+\.?)([./ -][0-9]{1,4})?([T ].*)?|\p{L}+ [0-9]{1,2}, .*"
)
ISO = "ISO8601"
TIMES = ("", " %H:%M", " %H:%M:%S")
DAYS = (
    *("%Y/%m/%d", "%Y.%m.%d"),
    *(
        f"{order}%{year}".replace("-", mark)
        for order in ("%d-%m-", "%m-%d-")
        for mark in "./-"
        for year in "Yy"
    ),
    *("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
)
DATES = (ISO, *(day + time for day in DAYS for time in TIMES))
# Of a column, to see which formats may be its own.
FIRST_DATES = 20
OTHER_DIGITS = r"[+-]?\p{Nd}+([.,٫]\p{Nd}+)?"
IN_OTHER_DIGITS = ("all values", "but in other digits than 0 to 9:")
SHOWN = 5


@dataclass(frozen=True)
class Reading:
    """How the texts of a column are read.

    Attributes
    ----------
    kind
        ``number``, ``date`` or ``text``.
    na_values
        The texts that are null.
    sign
        What stands with each number; None where nothing does.
    format
        Of a date; None for ISO 8601.
    example, value
        A text of the column, and what it is read as.
    note
        What to review; else empty.
    """

    kind: str
    na_values: tuple[str, ...] = ()
    sign: str | None = None
    format: str | None = None
    example: str = ""
    value: str = ""
    note: str = ""


@dataclass(frozen=True)
class Misfit:
    """Values that keep a column from being what the others are.

    Attributes
    ----------
    kind
        What the others are.
    texts, count
        The first of these values, and how many different ones there are.
    others, but
        How many the others are, and how these differ from them, in words.
    """

    column: str
    kind: str
    texts: tuple[str, ...]
    count: int
    others: str = "nearly all values"
    but: str = "but not"


def find_sign(words: Words) -> str | None:
    """Return what stands with each number of a column: ``$``, ``%``; None where nothing does."""
    if not words.rows or words.matching(SIGNED).rows < words.rows / 2:
        return None
    text = words.first(SIGNED) or ""
    return re.sub(rf"[\s{WIDE_SPACES}0-9.,'+-]", "", text) or None


@dataclass(frozen=True)
class Stripped:
    """The distinct texts of a column, its nulls taken off as those of numbers or dates.

    Attributes
    ----------
    words
        All texts.
    nulls, rest
        Those that are null, and the others.
    sign, bare
        What stands with each number, and the others without it.
    """

    words: Words
    nulls: Words
    rest: Words
    sign: str | None
    bare: Words

    @property
    def holds_numbers(self) -> bool:
        """Whether at least half of the rows are numbers, however they are written."""
        return len(self.bare) > 0 and self.bare.matching(ANY).rows >= self.bare.rows / 2


def strip(words: Words, given: frozenset[str]) -> Stripped:
    """Take the nulls and the signs off the texts of a column.

    Parameters
    ----------
    given
        The texts that the user says are null.
    """
    if not given and words.are(PLAIN).all():
        return Stripped(words, words.without(PLAIN), words, None, words)
    nulls = words.among(NULLS_IN_NUMBERS, fold_case=True) | words.among(given)
    nulls |= words.are(NULL_DATES)
    rest = words.select(~nulls)
    sign = find_sign(rest)
    bare = _without_sign(rest, sign) if sign else rest
    return Stripped(words, words.select(nulls), rest, sign, bare)


def _without_sign(words: Words, sign: str) -> Words:
    bare = without_sign(words.series(), sign)
    texts = pa.array(bare.fillna("").astype("str"), pa.large_string())
    return replace(words, texts=texts)


def read_column(column: Stripped, dialect: Csv, given: frozenset[str]) -> Reading | Misfit:
    """Decide about a column.

    Parameters
    ----------
    dialect
        How numbers are written.
    given
        The texts that the user says are null.
    """
    found = _numbers(column, dialect) or _dates(column.rest)
    if isinstance(found, Misfit):
        return found
    if found is None:
        return read_as_text(column.words, given)
    return replace(found, na_values=column.nulls.first_few(len(column.nulls)))


def read_as_text(words: Words, given: frozenset[str]) -> Reading:
    """Return the reading of a column of categories: what may be one is none of its nulls."""
    nulls = words.among(NULLS) | words.among(given)
    rest = words.select(~nulls)
    maybe = rest.select(rest.among(NULLS_IN_NUMBERS, fold_case=True)).first_few(SHOWN)
    notes = []
    if maybe:
        option = shlex.quote(f"{words.name}={maybe[0]}")
        notes.append(
            f"{', '.join(map(repr, maybe))} is a category here; if it means null, --null {option}"
        )
    if _are_codes(rest):
        notes.append("codes: numbers with leading zeros are read as text")
    lowered = rest.series().str.lower()
    if lowered.nunique() < len(lowered):
        notes.append("some values differ only in upper and lower case")
    example = rest.first_few(1)
    return Reading(
        *("text", words.select(nulls).first_few(len(words))),
        example=example[0] if example else "",
        value=repr(example[0]) if example else "null",
        note="; ".join(notes),
    )


def read_typed(values: pd.Series, given: frozenset[str]) -> Reading:
    """Return the reading of a column of numbers or times of Parquet."""
    if pd.api.types.is_datetime64_any_dtype(values):
        first = values.dropna().iloc[:1].astype("str").tolist() or [""]
        return Reading("date", example=first[0], value=first[0])
    numbers = values.to_numpy(float, na_value=np.nan)
    nulls = {str(numbers[place]) for place in np.flatnonzero(np.isinf(numbers))[:1_000]}
    nulls |= {null for null in given if (numbers == _number(null)).any()}
    known = numbers[np.isfinite(numbers)]
    shown = _shown(known[0]) if len(known) else ""
    return Reading("number", tuple(sorted(nulls)), example=shown, value=shown)


def without_nulls(values: pd.Series, na_values: tuple[str, ...]) -> pd.Series:
    """Return a column with null in the place of its null words."""
    if is_typed(values):
        return values.mask(values.isin([_number(null) for null in na_values]))
    return values.mask(values.isin(na_values))


def is_typed(values: pd.Series) -> bool:
    """Return whether a column of Parquet holds numbers or times, and so needs no reading."""
    return is_number(values) or pd.api.types.is_datetime64_any_dtype(values)


def _number(text: str) -> float:
    return float(pd.to_numeric(pd.Series([text], dtype="str"), errors="coerce").iloc[0])


def _shown(number: float) -> str:
    return str(int(number)) if number % 1 == 0 else str(float(number))


def _numbers(column: Stripped, dialect: Csv) -> Reading | Misfit | None:
    rest, sign = column.rest, column.sign
    fits = column.bare.are(number_pattern(dialect.decimal, dialect.thousands))
    if not fits.all() and _are_in_other_digits(column.bare.select(~fits)):
        return Misfit(rest.name, "numbers", *_others(rest, fits), *IN_OTHER_DIGITS)
    if not fits.any():
        return None
    if fits.all():
        if sign is None and _are_codes(rest):
            return None
        longest = rest.longest()
        value = one_number(column.bare.texts[longest].as_py(), dialect)
        example = rest.texts[longest].as_py()
        return Reading("number", sign=sign, example=example, value=_shown(value))
    if sign:
        return Misfit(rest.name, f"numbers with {sign!r}", *_others(rest, fits))
    return _misfit(rest, fits, "numbers")


def _are_codes(words: Words) -> bool:
    """Return whether all texts are digits, and some begin with a zero that a number has not."""
    return bool(
        all(text.isdecimal() for text in words.first_few(1))
        and words.are("[0-9]+").all()
        and words.are("0[0-9]+").any()
    )


def _are_in_other_digits(words: Words) -> bool:
    return bool(not words.are("[[:ascii:]]*").any() and words.are(OTHER_DIGITS).all())


def _others(rest: Words, fits: npt.NDArray[np.bool_]) -> tuple[tuple[str, ...], int]:
    others = rest.select(~fits)
    return others.first_few(SHOWN), len(others)


def _misfit(rest: Words, fits: npt.NDArray[np.bool_], kind: str) -> Misfit | None:
    known, others = rest.select(fits), rest.select(~fits)
    nearly_all = known.rows >= NEARLY_ALL * rest.rows
    many = len(known) > MANY_NUMBERS * max(1, len(others)) and len(others) <= FEW_TEXTS
    if nearly_all:
        return Misfit(rest.name, kind, *_others(rest, fits))
    return Misfit(rest.name, kind, *_others(rest, fits), "many different values") if many else None


def _dates(rest: Words) -> Reading | Misfit | None:
    if not len(rest):
        return None
    for pattern in (DATE_BEGINS, DATE_LIKE):
        if rest.matching(pattern).rows < rest.rows / 2:
            return None
    texts = rest.series()
    found: dict[str, pd.Series] = {}
    for pattern in DATES:
        if _as_dates(texts[:FIRST_DATES], pattern).notna().any():
            found[pattern] = _as_dates(texts, pattern)
    whole = {pattern: dates for pattern, dates in found.items() if dates.notna().all()}
    if not whole:
        best = max(found, key=lambda pattern: found[pattern].notna().sum(), default=None)
        return _misfit(rest, found[best].notna().to_numpy(), "dates") if best else None
    (first, dates), *others = whole.items()
    for _, other in others:
        if not dates.equals(other):
            place = int(np.flatnonzero(dates != other)[0])
            return Reading(
                *("unread", (), None, None, texts[place]),
                f"{dates[place]:%Y-%m-%d} or {other[place]:%Y-%m-%d}",
                "dates in which day or month may come first, and none proves which",
            )
    return Reading(
        *("date", (), None, None if first == ISO else first, texts[0], f"{dates[0]:%Y-%m-%d}")
    )


def _as_dates(texts: pd.Series, pattern: str) -> pd.Series:
    return pd.to_datetime(texts, format=pattern, errors="coerce", utc=True)
