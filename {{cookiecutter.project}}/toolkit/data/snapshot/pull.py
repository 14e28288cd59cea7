"""Pulls the table from where data/source.toml says, as the contract reads it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from ...errors import ConfigurationError, DataError
from .. import table as tables
from ..contract import Contract
from ..origin import COMMAND, FILES, Origin
from ..parquet import SUFFIXES
from ..progress import step
from ..table import Table
from . import database
from .store import filesystem, first_line


def pull(origin: Origin, contract: Contract, as_of: date) -> Table:
    """Return the table as it is at the source, with whatever is wrong in it.

    Parameters
    ----------
    as_of
        The cut-off: a query gets it as `$1`, a script as `--as-of`.

    Raises
    ------
    ConfigurationError
        The source is not there, or not as data/source.toml says.
    DataError
        The source fails, or gives no table.
    """
    if origin.kind == FILES:
        return _files(origin.address(), origin.path, contract)
    if origin.kind == COMMAND:
        return _command(origin, contract, as_of)
    assert origin.query is not None, "a database is asked with a query"
    query = origin.query.read_text(encoding="utf-8")
    place = _place(origin.path)
    with step("asking the database"):
        return tables.from_arrow(place, "", _plain(database.ask(origin, query, as_of)), contract)


def recipe(origin: Origin) -> str | None:
    """Return the SHA-256 of the query or the script; None of files."""
    file = origin.query or origin.script
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else None


def _files(address: str, named_in: Path, contract: Contract) -> Table:
    files, root = filesystem(address, named_in)
    # A path may hold a variable of its own, an address a key: neither is shown.
    try:
        paths = [*_tables(files, root)]
        if not paths:
            raise ConfigurationError(
                f"{named_in}: the source has no table: no file of CSV or Parquet is there",
                f"correct url in {named_in}, or see whether the export has run",
            )
        if len(paths) == 1 and not _is_parquet(paths[0]):
            with files.open_input_stream(paths[0], compression=None) as stream:
                content = bytes(stream.read())
            return tables.parse(Path(Path(paths[0]).name), content, contract)
        if not all(map(_is_parquet, paths)):
            raise ConfigurationError(
                f"{named_in}: the source has {len(paths)} files, and not all of them are Parquet",
                "one file of CSV, or any number of Parquet, is a table",
            )
        with step(f"reading {len(paths)} files of Parquet"):
            return tables.from_arrow(
                _place(named_in), "", _plain(_read_parquet(files, paths)), contract
            )
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{named_in}: the source cannot be read: {first_line(error)}",
            "see whether it is there, and whether this machine may read it",
        ) from None


def _tables(files: Any, root: str) -> Iterator[str]:
    from pyarrow import fs

    if files.get_file_info(root).type != fs.FileType.Directory:
        yield root
        return
    found = files.get_file_info(fs.FileSelector(root, recursive=True))
    for path in sorted(one.path for one in found if one.type == fs.FileType.File):
        if not Path(path).name.startswith((".", "_")):
            yield path


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def _command(origin: Origin, contract: Contract, as_of: date) -> Table:
    assert origin.script is not None, "a command has a script"
    script = origin.script
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "table.parquet"
        run = [sys.executable] if script.suffix == ".py" else []
        options = ["--as-of", as_of.isoformat(), "--out", str(out)]
        with step(f"running {script}"):
            try:
                done = subprocess.run([*run, str(script.absolute()), *options], check=False)
            except OSError as error:
                raise DataError(
                    f"{script}: cannot be run: {error.strerror}",
                    f"chmod +x {script}, and let its first line name what runs it: #!/...",
                ) from None
        if done.returncode:
            raise DataError(
                f"{script}: exited with {done.returncode}", "see what it has printed above"
            )
        if not out.is_file():
            raise DataError(
                f"{script}: wrote no file", "let it write a Parquet file to the path of --out"
            )
        return _files(str(out), origin.path, contract)


def _read_parquet(files: Any, paths: list[str]) -> pa.Table:
    parts = [pq.read_table(path, filesystem=files) for path in paths]
    return pa.concat_tables(parts, promote_options="permissive")


def _place(named_in: Path) -> Path:
    """Return the name that a table of Arrow goes by, whose rows have no lines."""
    return named_in.with_suffix(SUFFIXES[0])


def _plain(found: pa.Table) -> pa.Table:
    return pa.table([_plain_column(one) for one in found.columns], names=found.column_names)


def _plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in a type that every kind of source can give.

    A float32 becomes the number that its shortest decimal is: 0.1 is 0.1, as where it is a text.
    """
    kind = column.type
    if isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric":  # PostgreSQL's, as texts.
        column = pa.chunked_array([part.storage for part in column.chunks], kind.storage_type)
    elif not any(of_kind(kind) for of_kind in (types.is_float32, types.is_decimal)):
        return column
    return pc.cast(pc.cast(column, pa.string()), pa.float64())
