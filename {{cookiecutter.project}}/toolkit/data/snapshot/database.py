"""Asks a database for the table: PostgreSQL through ADBC, SQLite by the standard library."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from importlib import import_module
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

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
# As objects of Python few rows stay in the processor's cache; of Arrow's arrays large ones are
# freed one by one.
BLOCK_ROWS, TABLE_BLOCKS = 1_000, 50
PROGRESS_ROWS = 250_000
# A message of a database ends with a value, which may be a customer's and have quotes of its own.
VALUE = re.compile(r"[\"'].*", re.DOTALL)
# Classes of SQLSTATE whose messages are about the data, and hold it.
ABOUT_DATA = ("21", "22", "23", "P0")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What a user and a password are written with, as RFC 3986 has it; all else is percent-encoded.
LOGIN = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:%-]*")


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
    found = SCHEME.match(address)
    scheme = found[1] if found else ""
    if scheme == SQLITE:
        return _sqlite(origin, address, query, as_of)
    if scheme not in DRIVERS:
        known = ", ".join((*DRIVERS, SQLITE))
        wanted = f"{scheme}://" if scheme else "a URL without a scheme"
        raise ConfigurationError(
            f"{origin.path}: there is no driver for {wanted}",
            f'use one of {known}; for any other database write a script: kind = "command"',
        )
    login = address.removeprefix(f"{scheme}://").rpartition("@")[0]
    if not LOGIN.fullmatch(login):
        raise ConfigurationError(
            f"{origin.path}: what stands before the last @ of the URL has a character that ends it",
            "percent-encode the user and the password: / is %2F, ? is %3F, # is %23, @ is %40",
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
            batches = cursor.fetch_record_batch()
            found = pa.Table.from_batches(_with_progress(batches), batches.schema)
            # A batch of the driver's is freed as a whole, a column of ours by itself.
            return found.combine_chunks()
    except driver.Error as error:
        state = str(getattr(error, "sqlstate", None) or "")
        raise _failed(origin, address, error, state.startswith(ABOUT_DATA)) from None
    except (OSError, pa.ArrowException) as error:  # As the rows come, about one of them.
        raise _failed(origin, address, error, True) from None


def _with_progress(batches: Any) -> Iterator[Any]:
    rows = shown = 0
    for batch in batches:
        rows += batch.num_rows
        if rows - shown >= PROGRESS_ROWS:
            shown = rows
            say(f"{rows:,} rows")
        yield batch


def _failed(origin: Origin, address: str, error: Exception, is_about_data: bool) -> DataError:
    scheme, _, rest = address.partition("://")
    login, _, place = rest.rpartition("@")
    place, _, parameters = place.partition("?")
    password = login.partition(":")[2]
    secrets = {address, rest, password, unquote(password)}
    secrets |= {value for name, value in parse_qsl(parameters) if "password" in name}
    reason = first_line(error)
    if is_about_data:
        reason = VALUE.sub("...", reason)
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        reason = reason.replace(secret, "...")
    return DataError(
        f"{origin.path}: {scheme}://{place} gives no table: {reason}",
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
            if cursor.description is None:
                raise sqlite3.ProgrammingError("it is no query")
            names = [name for name, *_ in cursor.description]
            parts = [*_with_progress(_tables(cursor, names))]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DataError(
            f"{origin.path}: {SQLITE}:// gives no table: {_reason(error)}",
            f"see whether the file is there, and correct {origin.query}",
        ) from None
    columns = [
        _joined([chunk for part in parts for chunk in part.column(place).chunks])
        for place in range(len(names))
    ]
    return pa.table(columns, names)


def _reason(error: sqlite3.Error) -> str:
    """Return what SQLite says, without a customer's value."""
    said, is_value, _ = str(error).partition(" with text ")
    # Of a text that is no UTF-8 the column is named; a syntax error quotes the query.
    return said if is_value or said.startswith("near ") else VALUE.sub("...", said)


def _tables(cursor: sqlite3.Cursor, names: list[str]) -> Iterator[pa.Table]:
    blocks = _blocks(cursor)
    while found := [*islice(blocks, TABLE_BLOCKS)]:
        columns = [_joined(column).combine_chunks() for column in zip(*found, strict=True)]
        yield pa.table(columns, names)


def _blocks(cursor: sqlite3.Cursor) -> Iterator[list[pa.Array]]:
    while rows := cursor.fetchmany(BLOCK_ROWS):
        yield [_array(column) for column in zip(*rows, strict=True)]


def _joined(parts: Sequence[pa.Array]) -> pa.ChunkedArray:
    """Return a column: SQLite has a type for each value, and none for a column."""
    # Without rows it is of nulls.
    schemas = [pa.schema([("", kind)]) for kind in {pa.null(), *(part.type for part in parts)}]
    try:
        kind = pa.unify_schemas(schemas, promote_options="permissive").types[0]
        return pa.chunked_array([part.cast(kind) for part in parts], kind)
    except pa.ArrowException:
        return pa.chunked_array([_texts(part.to_pylist()) for part in parts])


def _array(values: tuple[Any, ...]) -> pa.Array:
    try:
        return pa.array(values)
    except pa.ArrowException:
        return _texts(values)


def _texts(values: Iterable[Any]) -> pa.Array:
    return pa.array([None if one is None else str(one) for one in values], pa.string())
