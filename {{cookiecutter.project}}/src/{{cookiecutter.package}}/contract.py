"""The data contract: which columns a table of customers has, and what may stand in them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from . import document
from .document import Table

SCHEMA = 1
TYPES_OF_ROLE = {
    "id": ("text",),
    "feature": ("integer", "number", "category"),
    "target": ("category",),
}
MAX_NULL_RATE_OF_A_FEATURE = 0.01


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes
    ----------
    role
        ``id``, ``feature`` or ``target``.
    type
        ``integer``, ``number``, ``category`` or ``text``.
    minimum, maximum
        The range of a number, both ends allowed; None where there is no end.
    categories
        Every value that a category may have (for the target: its two labels), as in the file.
    positive
        The target's label of a customer who left; None for other columns.
    max_null_rate
        The share of nulls that is still accepted, 0 to 1.
    """

    name: str
    role: str
    type: str
    minimum: float | None
    maximum: float | None
    categories: tuple[str, ...]
    positive: str | None
    max_null_rate: float

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.type in ("integer", "number")


@dataclass(frozen=True)
class Contract:
    """The whole contract.

    Attributes
    ----------
    path
        The contract's own file.
    sha256
        Of the file's bytes.
    data
        The table that it is about.
    min_rows, max_rows
        How many rows are accepted; `max_rows` is None where there is no end.
    columns
        In the order of the table.
    """

    path: Path
    sha256: str
    data: Path
    min_rows: int
    max_rows: int | None
    columns: tuple[Column, ...]

    @property
    def id(self) -> Column:
        """The column that names the customer."""
        return self._of_role("id")[0]

    @property
    def target(self) -> Column:
        """The column that says who left."""
        return self._of_role("target")[0]

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that a prediction is made from."""
        return self._of_role("feature")

    def _of_role(self, role: str) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.role == role)


def load(path: Path) -> Contract:
    """Read a contract.

    Raises
    ------
    ConfigurationError
        With the file and the key that is missing, unknown or contradictory.
    """
    top = document.read(path, SCHEMA)
    rows = top.table("rows")
    contract = Contract(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        data=path.parent / top.take("file", str),
        min_rows=rows.take("min", int),
        max_rows=rows.take_or("max", int, None),
        columns=tuple(_column(table) for table in top.tables("column")),
    )
    rows.finish()
    top.finish()
    if contract.min_rows < 1:
        raise rows.refuse("min", "must be at least 1")
    if contract.max_rows is not None and contract.max_rows < contract.min_rows:
        raise rows.refuse("max", "is below min")
    _refuse_wrong_set(top, contract.columns)
    return contract


def _column(table: Table) -> Column:
    name = table.take("name", str)
    table.place = f"{table.place} {name!r}"
    role = _choice(table, "role", tuple(TYPES_OF_ROLE))
    kind = _choice(table, "type", TYPES_OF_ROLE[role])
    minimum = maximum = positive = None
    categories: tuple[str, ...] = ()
    max_null_rate = 0.0
    if kind in ("integer", "number"):
        minimum = table.take_or("min", float, None)
        maximum = table.take_or("max", float, None)
        if minimum is not None and maximum is not None and maximum < minimum:
            raise table.refuse("max", "is below min")
    if role == "feature":
        max_null_rate = table.take_or("max_null_rate", float, MAX_NULL_RATE_OF_A_FEATURE)
        if not 0 <= max_null_rate <= 1:
            raise table.refuse("max_null_rate", "must be a share from 0 to 1")
        if kind == "category":
            categories = table.texts("categories")
    if role == "target":
        categories = table.texts("labels")
        if len(categories) != 2:
            raise table.refuse("labels", f"must be two: left and stayed, not {len(categories)}")
        positive = _choice(table, "positive", categories)
    table.finish()
    return Column(name, role, kind, minimum, maximum, categories, positive, max_null_rate)


def _choice(table: Table, key: str, choices: tuple[str, ...]) -> str:
    value = table.take(key, str)
    if value not in choices:
        raise table.refuse(key, f"{value!r} is none of {', '.join(choices)}")
    return value


def _refuse_wrong_set(top: Table, columns: tuple[Column, ...]) -> None:
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise top.refuse("column", f"{name!r} is there {names.count(name)} times")
    roles = [column.role for column in columns]
    for role in ("id", "target"):
        if roles.count(role) != 1:
            raise top.refuse("column", f"one must have the role {role}, not {roles.count(role)}")
    if "feature" not in roles:
        raise top.refuse("column", "none has the role feature")
