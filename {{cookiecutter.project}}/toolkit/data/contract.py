"""The data contract: which columns a table of customers has, and what may stand in them."""

import ast
import hashlib
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import document
from .document import Section

SCHEMA = 1
TYPES_OF_ROLE = {
    "id": ("text",),
    "feature": ("integer", "number", "category"),
    "target": ("category",),
    "date": ("date",),
    "protected": ("category",),
}
MAX_NULL_RATE = 0.01
# A model sees float32, to which more is infinite; up to the other, no two integers are the same.
LARGEST = {"number": 3.4028234663852886e38, "integer": 2.0**53}
REFERENCE_FILE = "reference.json"

# What the expression of a rule may be made of: nothing that calls, looks inside or reaches out.
BACKTICKED = re.compile("`([^`]+)`")
RULE_NODES = (
    *(ast.Expression, ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant),
    *(ast.cmpop, ast.boolop, ast.operator, ast.unaryop, ast.expr_context),
)


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes
    ----------
    role
        ``id``, ``feature``, ``target``; ``date``, of the row and never a feature; or ``protected``,
        never a feature either, but a model must treat its groups alike.
    type
        ``integer``, ``number``, ``category``, ``text`` or ``date`` (ISO 8601).
    minimum, maximum
        The range of a number, both ends allowed; None where there is no end.
    categories
        Every value that a category may have (for the target: its two labels), as in the file.
    positive
        The target's label of a customer who left; None for other columns.
    max_null_rate
        The share of nulls that is still accepted, 0 to 1.
    unique
        Whether each value may be there only once.
    max_age_days
        How old the newest date may be; None where that does not matter.
    """

    name: str
    role: str
    type: str
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    positive: str | None = None
    max_null_rate: float = 0.0
    unique: bool = False
    max_age_days: float | None = None

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest number that is accepted; there is an end to all of them."""
        low = -LARGEST[self.type] if self.minimum is None else self.minimum
        high = LARGEST[self.type] if self.maximum is None else self.maximum
        return (math.ceil(low), math.floor(high)) if self.type == "integer" else (low, high)

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.type in ("integer", "number")


@dataclass(frozen=True)
class CrossRule:
    """What must hold between the columns of each row.

    Attributes
    ----------
    holds
        A comparison as pandas' ``DataFrame.eval`` reads it: ``tenure_months <= 12 * age``; a name
        that is no Python name stands in backticks.
    columns
        The columns in it; rows with a null in one of them are passed over.
    """

    holds: str
    columns: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Csv:
    """How the table is written, where it is CSV; the words are those of `pandas.read_csv`.

    Attributes
    ----------
    na_values
        Texts that mean a null, as the empty field always does.
    """

    sep: str = ","
    decimal: str = "."
    thousands: str | None = None
    quotechar: str = '"'
    escapechar: str | None = None
    encoding: str = "utf-8"
    na_values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """The whole contract.

    Attributes
    ----------
    path
        The contract's own file.
    sha256
        Of the file's bytes.
    package
        The owner's Python package: its features, estimators and metrics.
    data
        The table that it is about: CSV (also .gz) or Parquet.
    csv
        How a CSV table is written.
    min_rows, max_rows
        How many rows are accepted; `max_rows` is None where there is no end.
    ordered
        Whether the columns must stand in this order.
    extra_columns
        Columns that may stand in the table beside these, and that nobody reads.
    columns
        In the order of the table.
    rules
        What must hold between columns.
    """

    path: Path
    sha256: str
    package: str
    data: Path
    csv: Csv
    min_rows: int
    max_rows: int | None
    ordered: bool
    extra_columns: tuple[str, ...]
    columns: tuple[Column, ...]
    rules: tuple[CrossRule, ...]

    @property
    def reference(self) -> Path:
        """The profile that new data is held against, beside the contract."""
        return self.path.with_name(REFERENCE_FILE)

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
        package=top.take("package", str),
        data=path.parent / top.take("file", str),
        csv=_csv(top.table_or_empty("csv")),
        min_rows=rows.take("min", int),
        max_rows=rows.take_or("max", int, None),
        ordered=top.flag_or("ordered", True),
        extra_columns=top.texts_or_none("extra_columns"),
        columns=tuple(_column(section) for section in top.tables("column")),
        rules=tuple(_rule(section) for section in top.tables_or_none("rule")),
    )
    rows.finish()
    top.finish()
    if contract.min_rows < 1:
        raise rows.refuse("min", "must be at least 1")
    if contract.max_rows is not None and contract.max_rows < contract.min_rows:
        raise rows.refuse("max", "is below min")
    _refuse_wrong_set(top, contract)
    return contract


def _csv(section: Section) -> Csv:
    usual = Csv()
    csv = Csv(
        sep=section.take_or("sep", str, usual.sep),
        decimal=section.take_or("decimal", str, usual.decimal),
        thousands=section.take_or("thousands", str, usual.thousands),
        quotechar=section.take_or("quotechar", str, usual.quotechar),
        escapechar=section.take_or("escapechar", str, usual.escapechar),
        encoding=section.take_or("encoding", str, usual.encoding),
        na_values=section.texts_or_none("na_values"),
    )
    section.finish()
    # Numbers may stand in quotes, and then hold the separator: only these must differ.
    for keys in (("sep", "quotechar", "escapechar"), ("decimal", "thousands")):
        used: set[str] = set()
        for key in keys:
            sign = getattr(csv, key)
            if sign is None:
                continue
            if len(sign) != 1 or not sign.isascii() or sign in "\r\n":
                raise section.refuse(key, f"must be one ASCII character, not {sign!r}")
            if sign in used:
                raise section.refuse(key, f"{sign!r} has another meaning already")
            used.add(sign)
    try:
        "".encode(csv.encoding)
    except LookupError:
        raise section.refuse("encoding", f"Python knows no text in {csv.encoding!r}") from None
    return csv


def _rule(section: Section) -> CrossRule:
    holds = section.take("holds", str)
    reason = section.take("reason", str)
    section.finish()
    quoted = BACKTICKED.findall(holds)
    try:
        # A name of its own for each: in backticks may stand what Python cannot read.
        tree = ast.parse(BACKTICKED.sub("_backticked", holds.strip()), mode="eval")
    except (SyntaxError, ValueError) as error:  # The second is what a NUL raises.
        raise section.refuse("holds", f"cannot be read: {error}") from None
    for node in ast.walk(tree):
        if not isinstance(node, RULE_NODES):
            what = type(node).__name__
            raise section.refuse("holds", f"may compare and calculate, but has a {what} in it")
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    columns = [name for name in (*names, *quoted) if name != "_backticked"]
    return CrossRule(holds.strip(), tuple(dict.fromkeys(columns)), reason)


def _column(section: Section) -> Column:
    name = section.take("name", str)
    section.place = f"{section.place} {name!r}"
    role = section.choice("role", tuple(TYPES_OF_ROLE))
    kind = section.choice("type", TYPES_OF_ROLE[role])
    minimum = maximum = positive = None
    categories: tuple[str, ...] = ()
    max_null_rate = 0.0
    if kind in ("integer", "number"):
        minimum = section.take_or("min", float, None)
        maximum = section.take_or("max", float, None)
        if minimum is not None and maximum is not None and maximum < minimum:
            raise section.refuse("max", "is below min")
    if role in ("feature", "date", "protected"):
        max_null_rate = section.take_or("max_null_rate", float, MAX_NULL_RATE)
        if not 0 <= max_null_rate <= 1:
            raise section.refuse("max_null_rate", "must be a share from 0 to 1")
    if role in ("feature", "protected") and kind == "category":
        categories = _categories(section, "categories")
    max_age_days = section.take_or("max_age_days", float, None) if kind == "date" else None
    if max_age_days is not None and max_age_days < 0:
        raise section.refuse("max_age_days", "must not be negative")
    if role == "target":
        categories = _categories(section, "labels")
        if len(categories) != 2:
            raise section.refuse("labels", f"must be two: left and stayed, not {len(categories)}")
        positive = section.choice("positive", categories)
    unique = role == "id" or (role != "target" and section.flag_or("unique", False))
    section.finish()
    return Column(
        *(name, role, kind, minimum, maximum, categories, positive, max_null_rate),
        *(unique, max_age_days),
    )


def _categories(section: Section, key: str) -> tuple[str, ...]:
    categories = section.texts(key)
    if "" in categories:
        raise section.refuse(key, "must not hold an empty text: an empty field is a null")
    return categories


def _refuse_wrong_set(top: Section, contract: Contract) -> None:
    names = Counter(column.name for column in contract.columns)
    for name, count in names.items():
        if count > 1:
            raise top.refuse("column", f"{name!r} is there {count} times")
    for name in contract.extra_columns:
        if name in names:
            raise top.refuse("extra_columns", f"{name!r} has a [[column]] of its own")
    roles = [column.role for column in contract.columns]
    for role in ("id", "target"):
        if roles.count(role) != 1:
            raise top.refuse("column", f"one must have the role {role}, not {roles.count(role)}")
    if "feature" not in roles:
        raise top.refuse("column", "none has the role feature")
    for number, rule in enumerate(contract.rules, start=1):
        if not rule.columns:
            raise top.refuse(f"rule[{number}].holds", f"{rule.holds!r} names no column")
        for name in rule.columns:
            if name not in names:
                raise top.refuse(f"rule[{number}].holds", f"there is no column {name!r}")
