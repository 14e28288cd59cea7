"""The canonical form of a table, and the digest of its content.

The same customers give the same digest, whatever kind of file or database they came from, in
whatever order, and whichever version of pyarrow wrote them: a Parquet file's own bytes do not.
"""

import hashlib
import io
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..contract import Contract
from ..table import Table

INTEGER, NUMBER, TEXT, TIME = pa.int64(), pa.float64(), pa.large_string(), pa.timestamp("us", "UTC")
START_BYTES = 8
DICTIONARY_BYTES = 256 * 1024
TYPES = {"integer": INTEGER, "number": NUMBER, "date": TIME}


def canonical(table: Table, contract: Contract) -> pa.Table:
    """Return the contract's columns of a table without findings, its rows in the order of the ids.

    Only what the contract names is kept: of a customer nothing is stored that nothing reads.
    """
    order = _order(_texts(table.values[contract.id.name]))
    columns = {}
    for column in contract.columns:
        values = table.values[column.name]
        if kind := TYPES.get(column.type):
            array = pa.array(values.take(order), kind, from_pandas=True)
        else:
            array = _texts(values).take(pa.array(order))
        columns[column.name] = array
    return pa.table(columns)


def _texts(values: "pd.Series[Any]") -> pa.Array:
    array = pa.array(values, TEXT, from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _order(ids: pa.Array) -> npt.NDArray[np.int64]:
    """Return the rows of ids in the order of their bytes.

    The first eight bytes are sorted as a number, which takes a quarter of the time; of ids that
    have the same ones the rest is compared.
    """
    starts = pc.binary_slice(ids.view(pa.large_binary()), 0, START_BYTES).view(TEXT)
    padded = pc.ascii_rpad(starts, START_BYTES, "\0")
    numbers = np.frombuffer(padded.buffers()[2], ">u8", len(ids)).astype("u8")
    order = np.argsort(numbers, kind="stable")
    same = np.diff(numbers[order]) == 0
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    rows = order[tied]
    order[tied] = rows[pc.sort_indices(ids.take(rows))]
    return order


def digest(table: pa.Table) -> str:
    """Return the SHA-256 of a canonical table's content, in hex.

    Columns go by their name; a number is a float64, a text is UTF-8 with its length, a time counts
    microseconds, and a null is marked apart from every value.
    """
    found = hashlib.sha256(b"customers 1\n")
    for name in sorted(table.column_names):
        column = table.column(name).combine_chunks()
        kind = "time" if column.type == TIME else "text" if column.type == TEXT else "number"
        found.update(json.dumps([name, kind, len(column)]).encode() + b"\n")
        missing = column.is_null().to_numpy(zero_copy_only=False)
        found.update(np.packbits(missing).data)
        for part in _values(column):
            found.update(part)
    return found.hexdigest()


def _values(column: pa.Array) -> list[memoryview]:
    if column.type == TEXT:
        known = column.fill_null("")
        _, offsets, text = known.buffers()
        ends = np.frombuffer(offsets, "<i8", len(known) + 1, 8 * known.offset)
        return [np.diff(ends).data, memoryview(text or b"")[ends[0] : ends[-1]]]
    if column.type == TIME:
        return [column.cast(pa.int64()).fill_null(0).to_numpy().astype("<i8", copy=False).data]
    numbers = column.cast(pa.float64()).fill_null(0.0).to_numpy() + 0.0  # -0.0 becomes 0.0.
    return [numbers.astype("<f8", copy=False).data]


def to_parquet(table: pa.Table) -> bytes:
    """Return a canonical table as the bytes of a file."""
    sink = io.BytesIO()
    # Nobody searches by statistics, and a dictionary of a column whose values all differ is found
    # out to be none only when it is full.
    pq.write_table(
        table,
        sink,
        compression="zstd",
        write_statistics=False,
        dictionary_pagesize_limit=DICTIONARY_BYTES,
    )
    return sink.getvalue()


def from_parquet(content: bytes) -> pa.Table:
    """Return the canonical table in the bytes of a file."""
    # Dictionaries and older widths are a matter of the file, not of its content.
    table = pq.read_table(io.BytesIO(content))
    wanted = [
        pa.field(one.name, TEXT if pa.types.is_string(one.type) else one.type)
        for one in table.schema
    ]
    return table.cast(pa.schema(wanted))


def differences(before: pa.Table, now: pa.Table, key: str) -> tuple[int, int, int]:
    """Return how many customers are new, gone and changed, by the column that identifies them."""
    old, new = (_row_hashes(table, key) for table in (before, now))
    shared = old.index.intersection(new.index)
    changed = int((old[shared].to_numpy() != new[shared].to_numpy()).sum())
    return len(new) - len(shared), len(old) - len(shared), changed


def _row_hashes(table: pa.Table, key: str) -> "pd.Series[int]":
    frame = table.select(sorted(table.column_names)).to_pandas()
    hashes = pd.util.hash_pandas_object(frame.drop(columns=key), index=False)
    return pd.Series(hashes.to_numpy(), index=frame[key])
