"""Tables of known values, written in a random format, and what an adoption reads from them."""

import bz2
import csv
import datetime
import gzip
import io
import lzma
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from toolkit.data import adoption_text, source, table
from toolkit.data import contract as contracts
from toolkit.data.column_inference import Inferred, infer, review_leaks
from toolkit.data.contract import Column
from toolkit.data.probe import Probe
from toolkit.data.source import Answers
from toolkit.data.table import Table
from toolkit.data.validation import validate
from toolkit.errors import DataError

ROWS = 80
# Of all random tables, those that say enough about themselves.
MIN_READ = 0.5
NOTHING = Answers()
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}
# What a text may be without being one of several columns, a number, a date or a null.
WORDS = (
    ("basic", "full", "gold"),
    ("EMEA", "APAC", "NA"),
    ("None", "Offer A", "Offer B"),
    ("a,b", "c;d", "e|f"),
    ("it's", "'quoted'", "plain"),
    ('5" pipe', "pipe", 'a "b" c'),
    ("Österreich", "Schweiz", "Łódź"),
    ("00100", "02600", "99000"),
    ("two\nlines", "one line", "-"),
    ("#1", "#2", "?"),
    ("1.2.3", "1.2.4", "10.0.1"),
    ("Yes", "yes", "no"),
)
NULLS_OF_NUMBERS = (
    *("", "NA", "N/A", "None", "\\N", "<NA>", ".", "(null)", "#DIV/0!", "#NULL!", "NaT", "Unknown"),
    *("-nan", "inf", "?", "-", "no data", "12o.50"),
)
NULLS_OF_TEXTS = ("", "NULL", "\\N", "#N/A")
DATES = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%y",
    "%d %b %Y",
)
PARQUET = ("float64", "Float64", "float32", "int64", "Int64", "UInt8", "decimal", "string", "list")


@dataclass(frozen=True)
class Known:
    """A column as it is: numbers as Decimal, texts, dates, None for nulls; and as it is written."""

    values: list[Any]
    texts: list[str]


@dataclass(frozen=True)
class RandomTable:
    """A file and the values that were written to it."""

    path: Path
    columns: dict[str, list[Any]]


def write(folder: Path, seed: int) -> RandomTable:
    """Write a random table in a random format."""
    rng = random.Random(seed)
    if rng.random() < 0.2:
        return _write_parquet(folder, rng)
    decimal = rng.choice(".,")
    thousands = rng.choice([None, None, *(mark for mark in ".,' \u00a0\u202f" if mark != decimal)])
    columns = {"customer": Known(*(2 * [[f"K{row}" for row in range(ROWS)]]))}
    for number in range(rng.randrange(1, 5)):
        columns[f"column {number}"] = rng.choice(MAKERS)(rng, decimal, thousands)
    labels = ["yes" if row % 3 else "no" for row in range(ROWS)]
    columns["left"] = Known(list(labels), labels)
    file = io.StringIO(newline="")
    separator = rng.choice(",;\t|")
    writer = csv.writer(
        file,
        delimiter=separator,
        quotechar=rng.choice('""""\''),
        quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        lineterminator=rng.choice(["\n", "\r\n", "\r"]),
    )
    writer.writerow(columns)
    writer.writerows(zip(*(known.texts for known in columns.values()), strict=True))
    head = rng.choice(["", "", "", f"sep={separator}\n", "# exported\n# by a program\n"])
    encodings = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
    encoding = rng.choice([*encodings, "cp1252", "cp1250"])
    suffix = rng.choice(list(PACKERS))
    content = (head + file.getvalue()).encode(encoding, "replace")
    path = folder / f"table.csv{suffix}"
    path.write_bytes(PACKERS[suffix](content))
    if "?" in content.decode(encoding) and encoding.startswith("cp125"):
        columns = {
            name: Known(
                [_encoded(value, encoding) for value in known.values],
                known.texts,
            )
            for name, known in columns.items()
        }
    return RandomTable(path, {name: known.values for name, known in columns.items()})


def _encoded(value: Any, encoding: str) -> Any:
    """Return what is left of a text in an encoding that lacks some of its letters."""
    return value.encode(encoding, "replace").decode(encoding) if isinstance(value, str) else value


def _numbers(rng: random.Random, decimal: str, thousands: str | None) -> Known:
    places, size = rng.randrange(5), 10 ** rng.randrange(1, 8)
    sign = rng.choice([None, None, None, "$", "€", "%", "EUR"])
    before = rng.random() < 0.5
    values = [
        Decimal(rng.randrange(-size if size < 1000 else 0, size * 10**places)).scaleb(-places)
        for _ in range(ROWS)
    ]
    texts = []
    for value in values:
        whole, _, fraction = f"{abs(value):.{places}f}".partition(".")
        if thousands:
            whole = f"{int(whole):,}".replace(",", thousands)
        text = f"{whole}{decimal}{fraction}" if fraction else whole
        minus = "-" if value < 0 else ""
        if sign and sign != "%" and before:
            texts.append(f"{minus}{sign}{text}")
        else:
            texts.append(f"{minus}{text}{'' if sign is None else rng.choice(['', ' ']) + sign}")
    return _with_nulls(rng, values, texts, NULLS_OF_NUMBERS)


def _texts(rng: random.Random, *_: object) -> Known:
    words = rng.choice(WORDS)
    values = [rng.choice(words) for _ in range(ROWS)]
    return _with_nulls(rng, values, list(values), NULLS_OF_TEXTS)


def _dates(rng: random.Random, *_: object) -> Known:
    form = rng.choice(DATES)
    days = rng.choice([12, 700])
    values = [
        datetime.date(2024, 1, 1) + datetime.timedelta(rng.randrange(days)) for _ in range(ROWS)
    ]
    texts = [f"{value:{form}}" for value in values]
    return _with_nulls(rng, values, texts, ("", "0000-00-00", "NULL"))


Maker = Callable[[random.Random, str, str | None], Known]
MAKERS: tuple[Maker, ...] = (_numbers, _numbers, _texts, _dates)


def _with_nulls(
    rng: random.Random, values: list[Any], texts: list[str], words: tuple[str, ...]
) -> Known:
    word, share = rng.choice(words), rng.choice([0, 0, 0.02, 0.2])
    nulls = [rng.random() < share for _ in values]
    return Known(
        [None if null else value for null, value in zip(nulls, values)],
        [word if null else text for null, text in zip(nulls, texts)],
    )


def _write_parquet(folder: Path, rng: random.Random) -> RandomTable:
    index = pd.Index([f"K{row}" for row in range(ROWS)], name="customer")
    columns: dict[str, Any] = {}
    known: dict[str, list[Any]] = {"customer": list(index)}
    for number in range(rng.randrange(1, 5)):
        name, kind = f"column {number}", rng.choice(PARQUET)
        values = [rng.randrange(200) for _ in range(ROWS)]
        holes = [kind not in ("int64", "list") and rng.random() < 0.1 for _ in values]
        known[name] = [None if hole else Decimal(one) for hole, one in zip(holes, values)]
        if kind == "decimal":
            columns[name] = [None if one is None else one / 8 for one in known[name]]
            known[name] = columns[name]
        elif kind == "list":
            columns[name] = [[one] for one in values]
        elif kind == "string":
            known[name] = [None if hole else f"{one % 7}.x" for hole, one in zip(holes, values)]
            columns[name] = pd.array(known[name], dtype="string")
        else:
            exact = [None if hole else one for hole, one in zip(holes, values)]
            columns[name] = pd.Series(exact, index, dtype=kind)
    columns["left"] = known["left"] = ["yes" if row % 3 else "no" for row in range(ROWS)]
    frame = pd.DataFrame(columns, index=index)
    path = folder / "table.parquet"
    (frame if rng.random() < 0.5 else frame.reset_index()).to_parquet(path)
    return RandomTable(path, known)


def adopted(path: Path, answers: Answers = NOTHING) -> tuple[list[Inferred], Table]:
    """Return what an adoption decides about each column, and the table read by its contract.

    Raises
    ------
    DataError
        The table is refused.
    """
    read = source.read(path, answers, ("customer", "left"))
    labels = read.column("left")
    probe = Probe((labels == "yes").to_numpy(dtype=bool))
    target = Column("left", "target", "category", categories=("no", "yes"), positive="yes")
    columns = [
        Inferred(name, Column(name, "id", "text", unique=True), "")
        if name == "customer"
        else Inferred(name, target, "")
        if name == "left"
        else infer(name, read.column(name), read.readings[name], read.dialect, probe.rows)
        if name in read.readings
        else Inferred(name, None, "not read", "left out by --ignore")
        for name in read.header
    ]
    columns = review_leaks(columns, probe)
    if not any(one.column and one.column.role == "feature" for one in columns):
        # A contract needs a feature.
        return columns, Table(path, "", read.header, pd.DataFrame(index=range(ROWS)), {}, (), None)
    text = adoption_text.contract(
        path.name, "toolkit.tests.example", read.dialect, columns, len(read.text)
    )
    contract_file = path.with_name("contract.toml")
    contract_file.write_text(text, encoding="utf-8")
    contract = replace(contracts.load(contract_file), data=path)
    current = table.read(contract)
    # Random customers of a few coarse columns are alike.
    findings = [one for one in validate(current, contract) if one.check != "copies"]
    assert not findings, f"{text}\n{findings}"
    return columns, current


def is_read_back(folder: Path, seed: int) -> bool:
    """Write and adopt a random table; return whether it was read, and not refused.

    Raises
    ------
    AssertionError
        It was read to other values, or refused without a next step.
    """
    written = write(folder, seed)
    try:
        columns, read = adopted(written.path)
    except DataError as error:
        assert str(written.path) in str(error) and error.next_step, seed
        return False
    assert differences(written, columns, read) == [], seed
    return True


def differences(written: RandomTable, columns: list[Inferred], read: Table) -> list[str]:
    """Return where a value that was read is not the one that was written."""
    found = []
    for one in columns:
        if one.column is None or one.name not in read.values:
            continue
        values = read.values[one.name].tolist()
        for row, (value, expected) in enumerate(zip(values, written.columns[one.name])):
            if not _same(value, expected):
                found.append(f"{one.name}, row {row}: {value!r}, not {expected!r}")
    return found


def _same(value: Any, expected: Any) -> bool:
    if expected is None or pd.isna(value):
        return expected is None and bool(pd.isna(value))
    if isinstance(expected, Decimal):
        return isinstance(value, float) and value == float(expected)
    if isinstance(expected, datetime.date):
        return isinstance(value, pd.Timestamp) and value.date() == expected
    return bool(value == expected)
