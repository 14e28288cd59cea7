"""Finds how a table writes decimals and thousands: proven by its numbers, or asked for.

``1.234`` proves nothing: it is one and a bit, or one thousand. A decimal mark is proven by a number
that cannot be thousands (``0.416``, ``72.02``), a mark of thousands by one that cannot be a decimal
(``1.234.567``, ``1.234,5``). One proof holds for the whole table, and two that contradict each
other are refused.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import DataError
from .contract import WIDE_SPACES
from .dialect import OPTION, option
from .number_text import EXPONENT
from .words import Words

DECIMALS = ".,"
THOUSANDS = f".,' {WIDE_SPACES}"
START = "[+-]?"
GROUPED = "[1-9][0-9]{0,2}"
# Any number, in whatever format.
ANY = f"{START}([0-9]+|{GROUPED}([{THOUSANDS}][0-9]{{3}})+)?([{DECIMALS}][0-9]*)?{EXPONENT}"


@dataclass(frozen=True)
class Sight:
    """A number in the table: its text, and the column where it stands."""

    text: str
    column: str

    def __str__(self) -> str:
        return f"{self.text!r} in {self.column}"


def find_marks(columns: Iterable[Words], given: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the decimal mark, and the mark of thousands or None.

    Parameters
    ----------
    columns
        The distinct texts of each column of numbers, without nulls and signs.
    given
        What the user says: the keys ``decimal`` and ``thousands``; an empty text for none.

    Raises
    ------
    DataError
        The table proves nothing, or contradicts itself.
    """
    decimals, thousands, unproven = _sights(columns)
    for mark in given.get("decimal", ""):
        decimals = {mark: decimals.get(mark) or Sight(mark, OPTION)}
    if "thousands" in given:
        mark = given["thousands"]
        thousands = {mark: thousands.get(mark) or Sight(mark, OPTION)} if mark else {}
        if mark in DECIMALS and mark and not decimals:
            other = DECIMALS.replace(mark, "")
            decimals = {other: Sight(other, OPTION)}
    _refuse_two(decimals, "is the decimal mark")
    _refuse_two(thousands, "separates thousands")
    for mark in decimals.keys() & thousands.keys():
        raise _contradiction(
            f"{mark!r} is the decimal mark ({decimals[mark]}) and separates thousands "
            f"({thousands[mark]})"
        )
    unproven = {
        mark: sight
        for mark, sight in unproven.items()
        if mark not in decimals and mark not in thousands
    }
    either = {mark: sight for mark, sight in unproven.items() if mark in DECIMALS}
    spaces = unproven.keys() - either.keys()
    # Of the point and the comma, what the one is the other is not.
    if either and decimals and not thousands and "thousands" not in given:
        thousands = either
    elif either and not decimals and (thousands or "thousands" in given):
        decimals = either
    elif either and not decimals:
        raise _question(*next(iter(either.items())))
    if spaces and "thousands" not in given:
        raise _question(*next((mark, sight) for mark, sight in unproven.items() if mark in spaces))
    _refuse_two(decimals, "may be the decimal mark")
    _refuse_two(thousands, "may separate thousands")
    decimal = next(iter(decimals), "," if "." in thousands else ".")
    return decimal, next(iter(thousands), None)


def _sights(
    columns: Iterable[Words],
) -> tuple[dict[str, Sight], dict[str, Sight], dict[str, Sight]]:
    """Return the first number that proves each decimal mark, each mark of thousands, or neither."""
    decimals: dict[str, Sight] = {}
    thousands: dict[str, Sight] = {}
    unproven: dict[str, Sight] = {}
    for words in columns:
        for mark in THOUSANDS:
            marked = words.containing(mark)
            if not len(marked):
                continue
            point = re.escape(mark)
            one = f"{START}{GROUPED}{point}[0-9]{{3}}"
            if mark in DECIMALS and mark not in decimals:
                digits = f"{START}([0-9]+{point}[0-9]*|{point}[0-9]+){EXPONENT}"
                _note(decimals, mark, marked.without(one), digits)
            fractions = [other for other in DECIMALS if other != mark]
            ending = "|".join(f"{re.escape(other)}[0-9]*" for other in fractions)
            groups = f"{START}{GROUPED}({point}[0-9]{{3}})"
            _note(thousands, mark, marked, f"{groups}{{2,}}({ending})?|{groups}({ending})")
            for other in fractions:
                if mark in thousands:
                    _note(decimals, other, marked, f"{groups}+{re.escape(other)}[0-9]*")
            _note(unproven, mark, marked, one)
    return decimals, thousands, unproven


def _note(sights: dict[str, Sight], mark: str, words: Words, pattern: str) -> None:
    if mark not in sights and (text := words.first(pattern)) is not None:
        sights[mark] = Sight(text, words.name)


def _refuse_two(sights: Mapping[str, Sight], role: str) -> None:
    if len(sights) > 1:
        raise _contradiction(
            " and ".join(f"{mark!r} {role} ({sight})" for mark, sight in sights.items())
        )


def _contradiction(both: str) -> DataError:
    return DataError(
        f"numbers are written in two ways: {both}",
        f"write them in one, or say which with {OPTION} decimal=. or {OPTION} decimal=, and leave "
        "the other column out with --ignore COLUMN or read it as text with --category COLUMN",
    )


def _question(mark: str, sight: Sight) -> DataError:
    digits = sight.text.replace(mark, "")
    if mark in DECIMALS:
        fraction = sight.text.replace(mark, ".")
        return DataError(
            f"{sight} may be {fraction} or {digits}: no number of the table proves which",
            f"add {option('decimal', mark)} for {fraction}, or {option('thousands', mark)} for "
            f"{digits}",
        )
    return DataError(
        f"{sight} may be the number {digits} or a text: no number of the table proves which",
        f"add {option('thousands', mark)} for the number, or --category "
        f"{shlex.quote(sight.column)} for the text",
    )
