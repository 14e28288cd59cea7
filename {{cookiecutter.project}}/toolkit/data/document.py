"""A TOML document read key by key: what is missing, mistyped or unknown is named with its place."""

import math
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigurationError

T = TypeVar("T", int, float, str)
D = TypeVar("D")

KINDS = {int: "a whole number", float: "a finite number", str: "a text"}


class Section:
    """The keys of one TOML table that nobody has taken yet.

    Parameters
    ----------
    file
        The document, for messages.
    place
        Where in the document the table stands, for messages: empty at the top.
    values
        The table as tomllib gives it.
    """

    def __init__(self, file: Path, place: str, values: dict[str, Any]) -> None:
        self.file = file
        self.place = place
        self._left = dict(values)

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def refuse(self, key: str, why: str) -> ConfigurationError:
        """Return the error that names this file and this key."""
        return ConfigurationError(f"{self.file}: {self._place(key)}: {why}", f"mend {self.file}")

    def _place(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def take(self, key: str, kind: type[T]) -> T:
        """Take a value that must be there and of this kind."""
        value: Any = self._pop(key)
        # In Python True is an integer; in a threshold it is a mistake.
        accepted = (int, float) if kind is float else kind
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise self.refuse(key, f"must be {KINDS[kind]}, not {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.refuse(key, f"must be {KINDS[kind]}, not {value!r}")
        return kind(value)

    def take_or(self, key: str, kind: type[T], default: D) -> T | D:
        """Take a value of this kind, or the default where the key is not there."""
        return self.take(key, kind) if key in self else default

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """Take a text that must be one of some."""
        value = self.take(key, str)
        if value not in choices:
            raise self.refuse(key, f"{value!r} is none of {', '.join(choices)}")
        return value

    def flag_or(self, key: str, default: bool) -> bool:
        """Take true or false, or the default where the key is not there."""
        value = self._left.pop(key, default)
        if not isinstance(value, bool):
            raise self.refuse(key, f"must be true or false, not {value!r}")
        return value

    def texts(self, key: str, at_least: int = 2) -> tuple[str, ...]:
        """Take a list of different texts."""
        value = self._pop(key)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.refuse(key, f"must be a list of texts, not {value!r}")
        if len(set(value)) < max(at_least, len(value)):
            raise self.refuse(key, f"must be {at_least} or more different texts, not {value!r}")
        return tuple(value)

    def texts_or_none(self, key: str) -> tuple[str, ...]:
        """Take a list of different texts; none where the key is not there."""
        return self.texts(key, at_least=0) if key in self else ()

    def table_or_empty(self, key: str) -> "Section":
        """Take a table, empty where the key is not there."""
        self._left.setdefault(key, {})
        return self.table(key)

    def table(self, key: str) -> "Section":
        """Take a table."""
        value = self._pop(key)
        if not isinstance(value, dict):
            raise self.refuse(key, f"must be a table, not {value!r}")
        return Section(self.file, self._place(key), value)

    def tables(self, key: str) -> list["Section"]:
        """Take an array of tables: at least one."""
        tables = self.tables_or_none(key)
        if not tables:
            raise self.refuse(key, f"there is no [[{key}]]")
        return tables

    def tables_or_none(self, key: str) -> list["Section"]:
        """Take an array of tables; none where the key is not there."""
        value = self._left.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.refuse(key, f"must be written as [[{key}]], not {value!r}")
        place = self._place(key)
        return [Section(self.file, f"{place}[{n}]", item) for n, item in enumerate(value, start=1)]

    def finish(self) -> None:
        """Refuse the keys that nobody has taken: a misspelt key must not be a silent default."""
        for key in self._left:
            raise self.refuse(key, "unknown key")

    def _pop(self, key: str) -> Any:
        if key not in self._left:
            raise self.refuse(key, "missing")
        return self._left.pop(key)


def read(file: Path, schema: int) -> Section:
    """Read a document whose key `schema` says that it is written in this format.

    Raises
    ------
    ConfigurationError
        The file cannot be read, is not TOML, or is of another format.
    """
    try:
        top = Section(file, "", tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}", f"restore {file}") from None
    except ValueError as error:
        raise ConfigurationError(f"{file}: not TOML: {error}", f"mend {file}") from None
    found = top.take("schema", int)
    if found != schema:
        raise top.refuse("schema", f"is {found}, and this code reads {schema}")
    return top
