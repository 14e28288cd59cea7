"""A TOML document read key by key; a missing, mistyped or unknown key is named with its place."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigurationError

T = TypeVar("T", int, float, str)
D = TypeVar("D")

KINDS = {int: "an integer", float: "a finite number", str: "a string"}


@dataclass(frozen=True)
class Range:
    """The numbers that make sense for a key, both ends included.

    Attributes
    ----------
    why
        What goes wrong outside of it, for messages.
    """

    low: float
    high: float
    why: str


Ranges = Mapping[str, Range]


class Section:
    """The keys of one TOML table that have not been taken yet.

    Parameters
    ----------
    file
        The document, for messages.
    place
        The table's path in the document, for messages: empty at the top.
    values
        The table as tomllib returns it.
    ranges
        The ranges of numbers, by the path of their key in the document: ``slices.rule.min``.
    path
        The table's path, by which `ranges` names it.
    """

    def __init__(
        self, file: Path, place: str, values: dict[str, Any], ranges: Ranges, path: str = ""
    ) -> None:
        self.file = file
        self.place = place
        self._remaining = dict(values)
        self._ranges = ranges
        self._path = path

    def __contains__(self, key: str) -> bool:
        return key in self._remaining

    def refuse(self, key: str, why: str) -> ConfigurationError:
        """Return an error that names the file and the key."""
        return ConfigurationError(f"{self.file}: {self._place(key)}: {why}", f"fix {self.file}")

    def _place(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def _inside(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def take(self, key: str, kind: type[T], within: Range | None = None) -> T:
        """Take a required value of this type; a number must lie in its range.

        Parameters
        ----------
        within
            The range of a number that has none by its key alone.
        """
        value: Any = self._pop(key)
        # In Python True is an integer; as a threshold it is a mistake.
        accepted = (int, float) if kind is float else kind
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise self.refuse(key, f"must be {KINDS[kind]}, not {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.refuse(key, f"must be {KINDS[kind]}, not {value!r}")
        allowed = within or self._ranges.get(self._inside(key))
        if allowed and not allowed.low <= float(value) <= allowed.high:
            between = f"from {allowed.low} to {allowed.high}"
            raise self.refuse(key, f"must be {between}, not {value}: {allowed.why}")
        return kind(value)

    def take_or(self, key: str, kind: type[T], default: D, within: Range | None = None) -> T | D:
        """Take a value as `take` does, or the default where the key is missing."""
        return self.take(key, kind, within) if key in self else default

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """Take a string that must be one of the choices."""
        value = self.take(key, str)
        if value not in choices:
            raise self.refuse(key, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def flag_or(self, key: str, default: bool) -> bool:
        """Take true or false, or the default where the key is missing."""
        value = self._remaining.pop(key, default)
        if not isinstance(value, bool):
            raise self.refuse(key, f"must be true or false, not {value!r}")
        return value

    def texts(self, key: str, at_least: int = 2) -> tuple[str, ...]:
        """Take a list of distinct strings."""
        value = self._pop(key)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.refuse(key, f"must be a list of strings, not {value!r}")
        if len(set(value)) < max(at_least, len(value)):
            raise self.refuse(key, f"must be {at_least} or more distinct strings, not {value!r}")
        return tuple(value)

    def texts_or_none(self, key: str) -> tuple[str, ...]:
        """Take a list of distinct strings; empty where the key is missing."""
        return self.texts(key, at_least=0) if key in self else ()

    def table_or_empty(self, key: str) -> "Section":
        """Take a table; empty where the key is missing."""
        self._remaining.setdefault(key, {})
        return self.table(key)

    def table(self, key: str) -> "Section":
        """Take a table."""
        value = self._pop(key)
        if not isinstance(value, dict):
            raise self.refuse(key, f"must be a table, not {value!r}")
        return Section(self.file, self._place(key), value, self._ranges, self._inside(key))

    def tables(self, key: str) -> list["Section"]:
        """Take an array of one or more tables."""
        tables = self.tables_or_none(key)
        if not tables:
            raise self.refuse(key, f"there is no [[{key}]]")
        return tables

    def tables_or_none(self, key: str) -> list["Section"]:
        """Take an array of tables; empty where the key is missing."""
        value = self._remaining.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.refuse(key, f"must be written as [[{key}]], not {value!r}")
        place, path = self._place(key), self._inside(key)
        return [
            Section(self.file, f"{place}[{number}]", item, self._ranges, path)
            for number, item in enumerate(value, start=1)
        ]

    def finish(self) -> None:
        """Refuse the remaining keys: a misspelt key must not silently become a default."""
        for key in self._remaining:
            raise self.refuse(key, "unknown key")

    def _pop(self, key: str) -> Any:
        if key not in self._remaining:
            raise self.refuse(key, "missing")
        return self._remaining.pop(key)


def read(file: Path, schema: int, ranges: Ranges | None = None) -> Section:
    """Read a document whose key `schema` must be this version of the format.

    Parameters
    ----------
    ranges
        The ranges of its numbers, as `Section` takes them.

    Raises
    ------
    ConfigurationError
        The file cannot be read, is not TOML, or has another format version.
    """
    try:
        top = Section(file, "", tomllib.loads(file.read_text(encoding="utf-8")), ranges or {})
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}", f"restore {file}") from None
    except ValueError as error:
        raise ConfigurationError(f"{file}: not TOML: {error}", f"fix {file}") from None
    found = top.take("schema", int)
    if found != schema:
        raise top.refuse("schema", f"is {found}, but this version of the toolkit reads {schema}")
    return top
