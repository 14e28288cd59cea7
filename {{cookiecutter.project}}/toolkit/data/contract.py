"""The data contract: the columns of a table of customers and their allowed values."""

import ast
import hashlib
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from . import document, origin
from .document import Range, Section
from .origin import ORIGIN_FILE

SCHEMA = 1
TYPES_OF_ROLE = {
    "id": ("text",),
    "feature": ("integer", "number", "category"),
    "target": ("category",),
    "date": ("date",),
    "protected": ("category",),
}
MAX_NULL_RATE = 0.01
# Of the rows, where the contract sets no other limit. By chance a table of a few thousand customers
# with a handful of columns has well below one in a hundred.
MAX_COPIES = 0.05
# Of a number, the largest float32, the model's input type; up to the other every integer is exact
# as a float64, and no larger one is rounded to it.
LARGEST = {"number": 3.4028234663852886e38, "integer": 2.0**53 - 1}
BOUNDS = {
    kind: Range(-largest, largest, f"the model knows no larger {kind}")
    for kind, largest in LARGEST.items()
}
# The sane range of each other number, by the path of its key.
ROWS = Range(1, 1_000_000_000, "an empty table proves nothing, and none has more customers")
RANGES = {
    "rows.min": ROWS,
    "rows.max": ROWS,
    "rows.max_copies": Range(0, 1, "it is a share of the rows"),
    "column.max_null_rate": Range(0, 1, "it is a share of the rows"),
    "column.max_age_days": Range(0, 3_650, "data older than ten years says nothing about today"),
}
# Between thousands in French, Polish, Swedish: spaces at which no line breaks.
WIDE_SPACES = "\u00a0\u202f"
REFERENCE_FILE = "reference.json"
# Names in git the snapshot of a table that is not in git itself.
POINTER_FILE = "snapshot.json"

# The syntax that a rule's expression may use: no calls, attributes, subscripts or anything else.
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
        for fairness rules and never a feature either.
    type
        ``integer``, ``number``, ``category``, ``text`` or ``date`` (ISO 8601).
    minimum, maximum
        The range of a number, inclusive; None where it is unbounded.
    categories
        The allowed values of a category (of the target: its two labels), as in the file.
    positive
        The target's label of a churned customer; None for other columns.
    max_null_rate
        The highest allowed share of nulls, 0 to 1.
    unique
        Whether duplicates are refused.
    max_age_days
        The highest allowed age of the newest date; None where any is allowed.
    na_values
        Texts of the file that are nulls in this column, besides the empty field.
    sign
        What stands before or behind each number in the file and is no part of it: ``$``, ``%``;
        None where nothing does.
    format
        The format of a date, as `datetime.strptime` has it; None for ISO 8601.
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
    na_values: tuple[str, ...] = ()
    sign: str | None = None
    format: str | None = None

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest allowed number, finite also where the contract sets none."""
        low = -LARGEST[self.type] if self.minimum is None else self.minimum
        high = LARGEST[self.type] if self.maximum is None else self.maximum
        return (math.ceil(low), math.floor(high)) if self.type == "integer" else (low, high)

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.type in ("integer", "number")


@dataclass(frozen=True)
class CrossRule:
    """A condition on the columns of each row.

    Attributes
    ----------
    holds
        A comparison for pandas' ``DataFrame.eval``: ``tenure_months <= 12 * age``; a name that is
        no Python identifier stands in backticks.
    columns
        The columns that it uses; rows with a null in one of them are skipped.
    reason
        Why it must hold, for messages.
    """

    holds: str
    columns: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Csv:
    """The format of a CSV table; the keys are parameters of `pandas.read_csv`.

    Attributes
    ----------
    na_values
        Strings that are read as null in every column, besides the empty field.
    comment
        Lines before the header that begin with it are skipped.
    """

    sep: str = ","
    decimal: str = "."
    thousands: str | None = None
    quotechar: str = '"'
    escapechar: str | None = None
    encoding: str = "utf-8"
    na_values: tuple[str, ...] = ()
    comment: str | None = None


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
        The owner's Python package, with features, estimators and metrics.
    data
        The table's file in git, CSV (also .gz) or Parquet; or the pointer to its snapshot.
    csv
        The format of a CSV table.
    min_rows, max_rows
        The allowed number of rows; `max_rows` is None where it is unbounded.
    max_copies
        The highest allowed share of rows that are an earlier row but for the id, 0 to 1.
    ordered
        Whether the columns must be in this order.
    extra_columns
        Columns that the table may have besides these; they are ignored.
    columns
        The columns in the order of the table.
    rules
        The conditions between columns.
    """

    path: Path
    sha256: str
    package: str
    data: Path
    csv: Csv
    min_rows: int
    max_rows: int | None
    max_copies: float
    ordered: bool
    extra_columns: tuple[str, ...]
    columns: tuple[Column, ...]
    rules: tuple[CrossRule, ...]

    @property
    def reference(self) -> Path:
        """The file with the profile that new data is compared with, beside the contract."""
        return self.path.with_name(REFERENCE_FILE)

    @property
    def id(self) -> Column:
        """The column that identifies the customer."""
        return self._of_role("id")[0]

    @property
    def target(self) -> Column:
        """The column with the churn label."""
        return self._of_role("target")[0]

    @property
    def features(self) -> tuple[Column, ...]:
        """The input features."""
        return self._of_role("feature")

    def _of_role(self, role: str) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.role == role)


def load(path: Path) -> Contract:
    """Read a contract.

    Raises
    ------
    ConfigurationError
        Names the file and the key that is missing, unknown or contradictory.
    """
    top = document.read(path, SCHEMA, RANGES)
    rows = top.table("rows")
    contract = Contract(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        package=_package(top),
        data=_table(path, top),
        csv=_csv(top.table_or_empty("csv")),
        min_rows=rows.take("min", int),
        max_rows=rows.take_or("max", int, None),
        max_copies=rows.take_or("max_copies", float, MAX_COPIES),
        ordered=top.flag_or("ordered", True),
        extra_columns=top.texts_or_none("extra_columns"),
        columns=tuple(_column(section) for section in top.tables("column")),
        rules=tuple(_rule(section) for section in top.tables_or_none("rule")),
    )
    rows.finish()
    top.finish()
    if contract.max_rows is not None and contract.max_rows < contract.min_rows:
        raise rows.refuse("max", "is below min")
    _refuse_wrong_set(top, contract)
    return contract


def _table(path: Path, top: Section) -> Path:
    """Return the table's file: as an older contract or source.toml says, else the pointer."""
    if "file" in top:
        return path.parent / top.take("file", str)
    source = path.with_name(ORIGIN_FILE)
    # Beside a bundle's contract there is none: a server reads no table.
    in_git = origin.load(source).in_git if source.is_file() else None
    return in_git or path.with_name(POINTER_FILE)


def _package(top: Section) -> str:
    if "package" not in top:
        raise ConfigurationError(
            f"{top.file}: package: missing: it names the Python package that your features, "
            "estimators and metrics are loaded from",
            f'add `package = "..."` at the top of {top.file}: the name of the folder in src/',
        )
    package = top.take("package", str)
    if not all(name.isidentifier() for name in package.split(".")):
        raise top.refuse("package", f"must be the name of a Python package, not {package!r}")
    return package


def _csv(section: Section) -> Csv:
    default = Csv()
    csv = Csv(
        sep=section.take_or("sep", str, default.sep),
        decimal=section.take_or("decimal", str, default.decimal),
        thousands=section.take_or("thousands", str, default.thousands),
        quotechar=section.take_or("quotechar", str, default.quotechar),
        escapechar=section.take_or("escapechar", str, default.escapechar),
        encoding=section.take_or("encoding", str, default.encoding),
        na_values=section.texts_or_none("na_values"),
        comment=section.take_or("comment", str, default.comment),
    )
    section.finish()
    # A quoted number may contain the separator, so only the characters of each group must differ.
    for keys in (("sep", "quotechar", "escapechar", "comment"), ("decimal", "thousands")):
        used: set[str] = set()
        for key in keys:
            character = getattr(csv, key)
            if character is None:
                continue
            known = character.isascii() or (key == "thousands" and character in WIDE_SPACES)
            if len(character) != 1 or not known or character in "\r\n":
                raise section.refuse(key, f"must be one ASCII character, not {character!r}")
            if character in used:
                raise section.refuse(key, f"{character!r} is already used by another key")
            used.add(character)
    try:
        "".encode(csv.encoding)
    except LookupError:
        raise section.refuse("encoding", f"Python has no text encoding {csv.encoding!r}") from None
    return csv


def _rule(section: Section) -> CrossRule:
    holds = section.take("holds", str)
    reason = section.take("reason", str)
    section.finish()
    quoted = BACKTICKED.findall(holds)
    try:
        # Names in backticks may not be valid Python, so they are replaced before parsing.
        tree = ast.parse(BACKTICKED.sub("_backticked", holds.strip()), mode="eval")
    except (SyntaxError, ValueError) as error:  # ValueError: a NUL character.
        raise section.refuse("holds", f"cannot be parsed: {error}") from None
    for node in ast.walk(tree):
        if not isinstance(node, RULE_NODES):
            name = type(node).__name__
            raise section.refuse("holds", f"may only compare and calculate, but contains {name}")
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
        minimum = section.take_or("min", float, None, BOUNDS[kind])
        maximum = section.take_or("max", float, None, BOUNDS[kind])
        if minimum is not None and maximum is not None and maximum < minimum:
            raise section.refuse("max", "is below min")
    if role in ("feature", "date", "protected"):
        max_null_rate = section.take_or("max_null_rate", float, MAX_NULL_RATE)
    if role in ("feature", "protected") and kind == "category":
        categories = _categories(section, "categories")
    max_age_days = section.take_or("max_age_days", float, None) if kind == "date" else None
    if role == "target":
        categories = _categories(section, "labels")
        if (count := len(categories)) != 2:
            raise section.refuse("labels", f"must be two: retained and churned, not {count}")
        positive = section.choice("positive", categories)
    unique = role == "id" or (role != "target" and section.flag_or("unique", False))
    na_values, sign, date_format = _reading(section, role, kind)
    if both := [name for name in categories if name in na_values]:
        raise section.refuse("na_values", f"{both[0]!r} is also one of the categories")
    section.finish()
    return Column(
        *(name, role, kind, minimum, maximum, categories, positive, max_null_rate),
        *(unique, max_age_days, na_values, sign, date_format),
    )


def _reading(
    section: Section, role: str, kind: str
) -> tuple[tuple[str, ...], str | None, str | None]:
    """Return how the texts of a column are read: its nulls, its sign, its format."""
    na_values = () if role in ("id", "target") else section.texts_or_none("na_values")
    sign = section.take_or("sign", str, None) if kind in ("integer", "number") else None
    if sign is not None and (not sign.strip() or any(one in "+-.,0123456789" for one in sign)):
        raise section.refuse("sign", f"must be a sign such as $ or %, not {sign!r}")
    return na_values, sign, section.take_or("format", str, None) if kind == "date" else None


def _categories(section: Section, key: str) -> tuple[str, ...]:
    categories = section.texts(key)
    if "" in categories:
        raise section.refuse(key, "must not contain an empty string: an empty field is a null")
    return categories


def _refuse_wrong_set(top: Section, contract: Contract) -> None:
    names = Counter(column.name for column in contract.columns)
    for name, count in names.items():
        if count > 1:
            raise top.refuse("column", f"{name!r} is defined {count} times")
    for name in contract.extra_columns:
        if name in names:
            raise top.refuse("extra_columns", f"{name!r} also has a [[column]]")
    roles = [column.role for column in contract.columns]
    for role in ("id", "target"):
        if (count := roles.count(role)) != 1:
            raise top.refuse("column", f"exactly one must have the role {role}, not {count}")
    if "feature" not in roles:
        raise top.refuse("column", "none has the role feature")
    for number, rule in enumerate(contract.rules, start=1):
        if not rule.columns:
            raise top.refuse(f"rule[{number}].holds", f"{rule.holds!r} uses no column")
        for name in rule.columns:
            if name not in names:
                raise top.refuse(f"rule[{number}].holds", f"there is no column {name!r}")
