"""Asks a database for the table: PostgreSQL through ADBC, SQLite by the standard library."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import date
from importlib import import_module
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa

from ...errors import ConfigurationError, DataError
from ..origin import Origin
from ..progress import say
from .store import first_line

# Another database is one more line here, and its driver in the group `source` of pyproject.toml.
DRIVERS = {
    "postgresql": "adbc_driver_postgresql.dbapi",
    "postgres": "adbc_driver_postgresql.dbapi",
}
SQLITE = "sqlite"
CUT_OFF = "$1"
BATCH_ROWS = 50_000
PROGRESS_ROWS = 250_000
# In a message of a database that stands for a value: what was wrong may be a customer's.
QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# Classes of SQLSTATE whose messages are about the data, and hold it.
ABOUT_DATA = ("21", "22", "23")


def ask(origin: Origin, query: str, as_of: date) -> pa.Table:
    """Return what a query gives.

    Raises
    ------
    ConfigurationError
        There is no driver for the database.
    DataError
        The database cannot be reached, or refuses the query; no password is shown.
    """
    address = origin.address()
    scheme = urlsplit(address).scheme
    if scheme == SQLITE:
        return _sqlite(origin, address, query, as_of)
    if scheme not in DRIVERS:
        known = ", ".join((*DRIVERS, SQLITE))
        raise ConfigurationError(
            f"{origin.path}: there is no driver for {scheme or 'a URL without a scheme'}://",
            f'use one of {known}; for any other database write a script: kind = "command"',
        )
    try:
        driver = import_module(DRIVERS[scheme])
    except ImportError as error:
        raise ConfigurationError(
            f"{origin.path}: the driver for {scheme}:// is not installed: {error}",
            "nox -s snapshot, which installs requirements/source.txt",
        ) from None
    try:
        with driver.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute(query, (as_of,) if CUT_OFF in query else None)
            return pa.Table.from_batches(_with_progress(cursor.fetch_record_batch()))
    except driver.Error as error:
        raise _failed(origin, address, error) from None


def _with_progress(batches: Any) -> Iterator[Any]:
    rows = shown = 0
    for batch in batches:
        rows += batch.num_rows
        if rows - shown >= PROGRESS_ROWS:
            shown = rows
            say(f"{rows:,} rows")
        yield batch


def _failed(origin: Origin, address: str, error: Exception) -> DataError:
    parts = urlsplit(address)
    state = str(getattr(error, "sqlstate", None) or "")
    reason = first_line(error)
    if state.startswith(ABOUT_DATA):
        reason = QUOTED.sub("...", reason)
    for secret in {address, parts.password or "", unquote(parts.password or "")} - {""}:
        reason = reason.replace(secret, "...")
    where = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
    return DataError(
        f"{origin.path}: {where} gives no table: {reason}",
        f"see whether it is up and lets this user in, and correct {origin.query}",
    )


def _sqlite(origin: Origin, address: str, query: str, as_of: date) -> pa.Table:
    path = address.removeprefix(f"{SQLITE}://")
    try:
        # Read only: a file that is not there is not made.
        connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)
        try:
            # To SQLite $1 is a parameter by name.
            cursor = connection.execute(query, {CUT_OFF[1:]: as_of.isoformat()})
            names = [name for name, *_ in cursor.description]
            batches = [*_with_progress(_batches(cursor, names))]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DataError(
            f"{origin.path}: {SQLITE}:// gives no table: {error}",
            f"see whether the file is there, and correct {origin.query}",
        ) from None
    parts = [pa.Table.from_batches([batch]) for batch in batches]
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException:  # SQLite has a type for each value, and none for a column.
        return pa.concat_tables([_as_text(part) for part in parts])


def _batches(cursor: sqlite3.Cursor, names: list[str]) -> Iterator[pa.RecordBatch]:
    rows = cursor.fetchmany(BATCH_ROWS)
    while True:
        columns = [*zip(*rows, strict=True)] or [()] * len(names)
        yield pa.RecordBatch.from_arrays([_array(column) for column in columns], names)
        rows = cursor.fetchmany(BATCH_ROWS)
        if not rows:
            return


def _array(values: tuple[Any, ...]) -> pa.Array:
    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([None if one is None else str(one) for one in values], pa.string())


def _as_text(part: pa.Table) -> pa.Table:
    return part.cast(pa.schema([(name, pa.string()) for name in part.column_names]))
