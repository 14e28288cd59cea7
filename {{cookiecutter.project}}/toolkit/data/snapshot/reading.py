"""Reads the snapshot that data/snapshot.json names, as every check and training does."""

from ...errors import ConfigurationError
from .. import table as tables
from ..contract import Contract
from ..table import Table
from . import content, store
from . import pointer as pointers


def read(contract: Contract) -> Table:
    """Return the contract's columns of the snapshot: its digest is that of the content.

    Raises
    ------
    ConfigurationError
        There is no pointer, or its bytes are nowhere, or they are not what it says.
    DataError
        The remote cannot be read.
    """
    file = contract.data
    pointer = pointers.load(file)
    snapshot = content.from_parquet(store.fetch(pointer, file))
    found = content.digest(snapshot)
    if found != pointer.content_sha256:
        raise ConfigurationError(
            f"{file}: names the content {pointer.content_sha256}, its bytes have {found}: it was "
            "edited",
            f"restore {file}",
        )
    names = [one.name for one in contract.columns if one.name in snapshot.column_names]
    return tables.from_arrow(file, pointer.content_sha256, snapshot.select(names), contract)
