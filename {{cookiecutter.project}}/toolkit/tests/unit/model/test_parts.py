"""A table that is read part by part is the one that is read whole, or refused in the same words."""

import bz2
import gzip
import lzma
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from toolkit.data import contract as contracts
from toolkit.data import parts, table
from toolkit.data.contract import Contract
from toolkit.data.table import Table
from toolkit.errors import DataError
from toolkit.tests import customers

HEADER = "name,age,tenure_months,monthly_spend,plan type,left"
ROWS_OF_A_PART = 3


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "VALUES", ROWS_OF_A_PART * (HEADER.count(",") + 1))


def contract_of(folder: Path, csv: str = "", file: str = "customers.csv") -> Contract:
    path = customers.write(folder, [])
    text = customers.CONTRACT.replace("\n[[column]]", f"\n[csv]\n{csv}\n\n[[column]]", 1)
    path.write_text(text.replace("customers.csv", file), encoding="utf-8")
    return contracts.load(path)


def assert_same(found: list[Table], whole: Table) -> None:
    together = pd.concat([part.values for part in found], ignore_index=True)
    pd.testing.assert_frame_equal(together, whole.values)
    assert {part.header for part in found} == {whole.header}
    places = [place for part in found for place in part.places(range(len(part)))]
    assert tuple(places) == whole.places(range(len(whole)))
    ragged = [place for part in found for place in part.places(part.ragged)]
    assert tuple(ragged) == whole.places(whole.ragged)
    for name, texts in whole.unreadable.items():
        told = pd.concat([part.unreadable[name] for part in found if name in part.unreadable])
        assert list(told) == list(texts)


def rows(rng: random.Random, count: int) -> list[str]:
    """Return lines of customers: some with line breaks and quotes, short, blank, or with typos."""
    lines = []
    for number in range(count):
        name = rng.choice([f"c{number}", f'"c{number}, the ""second"""', f'"two\nlines {number}"'])
        fields = [name, rng.choice(["40", "", "old"]), "3", rng.choice(["20.5", "", "1e3"]), "full"]
        lines.append(rng.choice([",".join([*fields, "no"])] * 9 + [",".join(fields), ""]))
    return lines


@pytest.mark.parametrize("seed", range(200))
def test_random_tables_are_the_same_in_parts(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    end = rng.choice(["\n", "\r\n", "\r"])
    head = rng.choice([[], [], ["# made tonight", "# by the export"]])
    text = end.join([*head, HEADER, *rows(rng, rng.randrange(1, 20))])
    text = text.replace("two\nlines", f"two{end}lines") + end * rng.randrange(4)
    contract = contract_of(tmp_path, 'comment = "#"')
    contract.data.write_bytes(text.encode(rng.choice(["utf-8", "utf-8-sig"])))
    assert_same(list(parts.read(contract.data, contract)), table.read(contract))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_a_parquet_table_is_the_same_in_parts(tmp_path: Path, count: int) -> None:
    plain = contract_of(tmp_path)
    lines = [f"c{number},{18 + number},{number},20.5,full,no" for number in range(count)]
    plain.data.write_text("\n".join([HEADER, *lines]), encoding="utf-8")
    values = table.read(plain).values.convert_dtypes()
    contract = contract_of(tmp_path, file="customers.parquet")
    values.to_parquet(contract.data)
    found = list(parts.read(contract.data, contract))
    assert [len(part) for part in found] == [
        min(ROWS_OF_A_PART, count - first) for first in range(0, max(count, 1), ROWS_OF_A_PART)
    ]
    assert_same(found, table.read(contract))


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_a_compressed_table_is_unpacked_as_it_is_read(
    tmp_path: Path, suffix: str, pack: object
) -> None:
    contract = contract_of(tmp_path, file=f"customers.csv{suffix}")
    text = "\n".join([HEADER, *(f"c{number},40,3,20.5,full,no" for number in range(8))])
    assert callable(pack)
    packed: bytes = pack(text.encode())
    contract.data.write_bytes(packed)
    assert_same(list(parts.read(contract.data, contract)), table.read(contract))
    contract.data.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"cannot be unpacked: .*"):
        list(parts.read(contract.data, contract))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 is empty, but must name the columns"),
        (b"PK\x03\x04....", "it is a ZIP archive or an Excel workbook, not CSV"),
        (HEADER.encode() + b"\nAda,40,3,\xff,full,no\n", "not valid utf-8"),
        (HEADER.encode() + b"\nAda,40,3,1,full,no\nA\0a,1,1,1,full,no\n", "line 3 has a NUL"),
        (HEADER.encode() + b"\nAda,40,3,1,full,no,7,8\n", "not valid CSV"),
    ],
)
def test_what_is_no_table_is_refused_by_its_name(
    tmp_path: Path, content: bytes, message: str
) -> None:
    contract = contract_of(tmp_path)
    contract.data.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(parts.read(contract.data, contract))


def test_a_file_that_is_missing_or_no_parquet_is_refused(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, file="customers.parquet")
    contract.data.unlink(missing_ok=True)
    with pytest.raises(DataError, match="customers.parquet: cannot be read: .*No such file"):
        list(parts.read(contract.data, contract))
    contract.data.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match="customers.parquet: not valid Parquet"):
        list(parts.read(contract.data, contract))


def test_one_row_group_is_read_in_parts(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, file="customers.parquet")
    frame = pd.DataFrame({"name": [f"c{n}" for n in range(1000)], "age": np.arange(1000) % 80 + 18})
    frame.to_parquet(contract.data, row_group_size=1000)
    assert pq.ParquetFile(contract.data).num_row_groups == 1
    assert max(len(part) for part in parts.read(contract.data, contract)) == ROWS_OF_A_PART
