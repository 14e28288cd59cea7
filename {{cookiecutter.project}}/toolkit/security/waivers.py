"""The known vulnerabilities that audit.toml accepts for a while."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol

from . import CannotTell

WAIVERS = Path("audit.toml")

# Nothing is waived for ever.
LONGEST = timedelta(days=90)

# The audit does not see a base's packages, nor the scan what is not released.
UNNEEDED = "and not needed here: remove it, unless it is for `nox -s audit` or `nox -s scan`"


@dataclass(frozen=True)
class Waiver:
    """One vulnerability of one package that is accepted for a while, and why.

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


class Waivable(Protocol):
    """A vulnerability that fails unless it is waived; its text is a finding, one line."""

    def is_waived_by(self, waiver: Waiver) -> bool: ...


def parse(text: str, today: date) -> list[Waiver]:
    """Read audit.toml strictly: `CannotTell` for what is unknown, missing or of a wrong type."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CannotTell(str(error)) from None
    if document.pop("schema", None) != 1:
        raise CannotTell("schema must be 1")
    tables = document.pop("waiver", [])
    if document or not isinstance(tables, list):
        raise CannotTell("it may have schema and [[waiver]] tables, and nothing else")
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


def report(found: Sequence[Waivable], waivers: Sequence[Waiver], today: date, fix: str) -> int:
    """Print each vulnerability and each waiver; return the exit code.

    Parameters
    ----------
    fix : str
        How a fixed version is installed.
    """
    valid = [waiver for waiver in waivers if not waiver.has_expired(today)]
    failures = [str(each) for each in found if not any(map(each.is_waived_by, valid))]
    failures += [
        f"{WAIVERS}:{each.line}: {each.id}: the waiver for {each.package} expired on {each.until}"
        for each in waivers
        if each.has_expired(today)
    ]
    for failure in failures:
        print(failure)
    for waiver in valid:
        needed = any(each.is_waived_by(waiver) for each in found)
        state = f"because {waiver.reason}" if needed else UNNEEDED
        print(f"{waiver.id} of {waiver.package} is waived until {waiver.until}, {state}")
    if failures:
        print(
            f"Next: {fix}. If there is none,",
            f"a [[waiver]] in {WAIVERS} accepts it for at most {LONGEST.days} days, with a reason.",
            sep="\n",
        )
    return 1 if failures else 0
