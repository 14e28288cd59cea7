"""The pointer: data/snapshot.json, which names in git the customers that the checks read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ...errors import ConfigurationError
from ..contract import POINTER_FILE, Contract

SCHEMA = 1
AGAIN = "nox -s snapshot"


@dataclass(frozen=True)
class Changes:
    """What is otherwise than in the snapshot before: numbers of customers."""

    new: int
    gone: int
    changed: int


@dataclass(frozen=True)
class Pointer:
    """A snapshot of the table.

    Attributes
    ----------
    content_sha256
        The digest of the customers, whatever file they are in: the snapshot's name.
    sha256
        Of the bytes, by which the cache and the remote know them.
    rows
        The number of customers.
    as_of
        The cut-off, a day as ISO 8601: nothing was observed later.
    taken
        When it was taken, in UTC as ISO 8601.
    source_sha256, query_sha256
        Of data/source.toml, and of the query or the script; None where there is none.
    columns
        The type of each column by its name.
    before_sha256
        The content of the snapshot before; None for the first one.
    changes
        None where the customers before are not known.
    unripe
        The number of rows left out because their label was not known yet.
    """

    schema: int
    content_sha256: str
    sha256: str
    rows: int
    as_of: str
    taken: str
    source_sha256: str
    query_sha256: str | None
    columns: dict[str, str]
    before_sha256: str | None
    changes: Changes | None
    unripe: int

    @property
    def short(self) -> str:
        """The beginning of the content's digest, for messages."""
        return self.content_sha256[:12]


def make(
    content: str,
    snapshot: bytes,
    rows: int,
    contract: Contract,
    source: bytes,
    as_of: date | None = None,
) -> Pointer:
    """Return the pointer to a first snapshot.

    Parameters
    ----------
    content, snapshot, rows
        The digest of its content, its bytes, and the number of its customers.
    source
        The content of data/source.toml.
    as_of
        The cut-off; None for today.
    """
    now = datetime.now(UTC)
    return Pointer(
        schema=SCHEMA,
        content_sha256=content,
        sha256=hashlib.sha256(snapshot).hexdigest(),
        rows=rows,
        as_of=(as_of or now.date()).isoformat(),
        taken=now.isoformat(timespec="seconds"),
        source_sha256=hashlib.sha256(source).hexdigest(),
        query_sha256=None,
        columns={one.name: one.type for one in contract.columns},
        before_sha256=None,
        changes=None,
        unripe=0,
    )


def load(path: Path) -> Pointer:
    """Read a pointer.

    Raises
    ------
    ConfigurationError
        The file is missing or is no pointer.
    """
    try:
        pointer = TypeAdapter(Pointer).validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", f"take a snapshot: {AGAIN}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigurationError(f"{path}: {place}: {first['msg']}", f"restore {path}") from None
    if pointer.schema != SCHEMA:
        why = f"schema: is {pointer.schema}, but this version of the toolkit reads {SCHEMA}"
        raise ConfigurationError(f"{path}: {why}", f"take a snapshot: {AGAIN}")
    return pointer


def as_of(contract: Contract) -> str | None:
    """Return the cut-off of a contract's table, a day; None where the table is in git."""
    return load(contract.data).as_of if contract.data.name == POINTER_FILE else None


def content_of(contract: Contract) -> str | None:
    """Return what evidence calls a contract's table; None where the table is not there.

    Of a snapshot it is the digest of its content, of a table in git the sha256 of its bytes.
    """
    if contract.data.name == POINTER_FILE:
        return load(contract.data).content_sha256
    if not contract.data.is_file():
        return None
    return hashlib.sha256(contract.data.read_bytes()).hexdigest()


def to_json(pointer: Pointer) -> bytes:
    """Return the file's content."""
    return f"{json.dumps(asdict(pointer), indent=2, ensure_ascii=False)}\n".encode()
