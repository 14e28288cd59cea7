"""The known vulnerabilities that audit.toml accepts for a while."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from . import CannotTell

# A waiver for ever is none.
LONGEST = timedelta(days=90)


@dataclass(frozen=True)
class Waiver:
    """One vulnerability of one package, and why and how long it is accepted.

    Parameters
    ----------
    package : str
    id : str
        Any of the names that the advisory has.
    until : datetime.date
        The last day.
    reason : str
    line : int
        Where its id stands in the file, counted from 1.
    """

    package: str
    id: str
    until: date
    reason: str
    line: int

    def has_expired(self, today: date) -> bool:
        return self.until < today


def parse(text: str, today: date) -> list[Waiver]:
    """Read audit.toml strictly: `CannotTell` for everything that is not just as it should be."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CannotTell(str(error)) from None
    if document.pop("schema", None) != 1:
        raise CannotTell("schema must be 1")
    tables = document.pop("waiver", [])
    if document or not isinstance(tables, list):
        raise CannotTell("besides schema there may only be [[waiver]] tables")
    lines = text.splitlines()
    waivers = []
    for position, table in enumerate(tables, start=1):
        try:
            waivers.append(_waiver(table, lines))
        except ValueError as error:
            raise CannotTell(f"waiver {position}: {error}") from None
    for waiver in waivers:
        if waiver.until > today + LONGEST:
            raise CannotTell(
                f"the waiver for {waiver.id} lasts until {waiver.until}: "
                f"at most {LONGEST.days} days are allowed, until {today + LONGEST}"
            )
    return waivers


def _waiver(table: Mapping[str, Any], lines: list[str]) -> Waiver:
    if not isinstance(table, dict) or set(table) != {"package", "id", "until", "reason"}:
        raise ValueError("must have package, id, until and reason, and nothing else")
    until = table["until"]
    # A time of day is a date too, to Python.
    if type(until) is not date:
        raise ValueError("until must be a date such as 2026-12-31, without quotes")
    words = {name: table[name] for name in ("package", "id", "reason")}
    for name, word in words.items():
        if not isinstance(word, str) or not word.strip():
            raise ValueError(f"{name} must be a text")
    named = (number for number, line in enumerate(lines, start=1) if words["id"] in line)
    return Waiver(**words, until=until, line=next(named, 1))
