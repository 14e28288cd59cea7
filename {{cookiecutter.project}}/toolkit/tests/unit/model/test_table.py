"""A table is read in any format that the contract describes; an unreadable one is a clear error."""

import bz2
import gzip
import lzma
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toolkit.data import contract as contracts
from toolkit.data import table
from toolkit.data.contract import Contract
from toolkit.data.table import Table
from toolkit.errors import DataError
from toolkit.tests import customers

PLAIN = """\
name,age,tenure_months,monthly_spend,plan type,left
Ada,40,3,20.5,full,no
Bob,,0,1234.5,basic,yes
Zoë,51,12,99,full,no
"""


def contract_of(folder: Path, old: str = "", new: str = "") -> Contract:
    """Return the tests' contract, with one text replaced."""
    path = customers.write(folder, [])
    assert old in customers.CONTRACT
    path.write_text(customers.CONTRACT.replace(old, new, 1), encoding="utf-8")
    return contracts.load(path)


def read(folder: Path, content: bytes, csv: str = "") -> Table:
    """Read a file under a contract with this CSV format."""
    contract = contract_of(folder, "\n[[column]]", f"\n[csv]\n{csv}\n\n[[column]]")
    contract.data.write_bytes(content)
    return table.read(contract)


@pytest.mark.parametrize(
    ("content", "csv"),
    [
        (PLAIN.encode(), ""),
        (PLAIN.encode("utf-8-sig"), ""),
        (PLAIN.replace("\n", "\r\n").encode(), ""),
        (PLAIN.replace("\n", "\r").encode(), ""),
        (PLAIN.rstrip().encode(), ""),
        (f"{PLAIN}\n\n".encode(), ""),
        (PLAIN.replace(",", ", ").encode(), ""),
        (PLAIN.encode("utf-16"), 'encoding = "utf-16"'),
        (PLAIN.encode("latin-1"), 'encoding = "latin-1"'),
        (PLAIN.replace(",", "\t").encode(), r'sep = "\t"'),
        (PLAIN.replace(",", ";").replace(".", ",").encode(), 'sep = ";"\ndecimal = ","'),
        (
            PLAIN.replace(",", ";").replace("1234.5", "1.234,5").replace("20.5", "20,5").encode(),
            'sep = ";"\ndecimal = ","\nthousands = "."',
        ),
        (PLAIN.replace("1234.5", '"1,234.5"').encode(), 'thousands = ","'),
        (PLAIN.replace("full", "'full'").encode(), """quotechar = "'\""""),
        (PLAIN.replace("Bob,,", "Bob,NA,").encode(), 'na_values = ["NA"]'),
        (PLAIN.replace("Bob,,", "Bob,  ,").encode(), ""),
    ],
)
def test_every_format_gives_the_same_table(tmp_path: Path, content: bytes, csv: str) -> None:
    plain, other = read(tmp_path, PLAIN.encode()), read(tmp_path, content, csv)
    pd.testing.assert_frame_equal(other.values, plain.values)
    assert other.header == plain.header
    assert other.places([0, 2]) == (2, 4)
    assert not other.unreadable and not len(other.ragged)


def test_numbers_are_numbers_and_nulls_are_nulls(tmp_path: Path) -> None:
    values = read(tmp_path, PLAIN.encode()).values
    np.testing.assert_array_equal(values["age"], [40, np.nan, 51])
    np.testing.assert_array_equal(values["monthly_spend"], [20.5, 1234.5, 99])
    assert list(values["name"]) == ["Ada", "Bob", "Zoë"]


def test_a_compressed_table_is_read(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, "customers.csv", "customers.csv.gz")
    contract.data.write_bytes(gzip.compress(PLAIN.encode()))
    assert len(table.read(contract)) == 3


def test_a_parquet_table_is_read_and_has_row_numbers(tmp_path: Path) -> None:
    plain = read(tmp_path, PLAIN.encode())
    contract = contract_of(tmp_path, "customers.csv", "customers.parquet")
    plain.values.to_parquet(contract.data)
    loaded = table.read(contract)
    pd.testing.assert_frame_equal(loaded.values, plain.values)
    assert (loaded.unit, loaded.places([0, 2])) == ("row", (1, 3))


def test_numbers_and_flags_of_parquet_are_read_as_text_labels(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, "customers.csv", "customers.parquet")
    frame = pd.DataFrame({"name": [7, 8], "plan type": [1.0, None], "left": [True, False]})
    frame.to_parquet(contract.data)
    values = table.read(contract).values
    assert list(values["name"]) == ["7", "8"]
    assert values["plan type"][0] == "1" and pd.isna(values["plan type"][1])
    assert list(values["left"]) == ["True", "False"]


def test_a_row_keeps_its_line_after_a_field_with_line_breaks(tmp_path: Path) -> None:
    content = PLAIN.replace("Ada", '"Ada\nthe\nfirst"').encode()
    assert read(tmp_path, content).places([0, 1, 2]) == (2, 5, 6)


def test_a_row_with_too_few_fields_has_its_line(tmp_path: Path) -> None:
    loaded = read(tmp_path, PLAIN.replace(",basic,yes", "").encode())
    assert loaded.places(loaded.ragged) == (3,)


def test_a_blank_line_is_a_row_with_too_few_fields(tmp_path: Path) -> None:
    loaded = read(tmp_path, PLAIN.replace("\nZoë", "\n\nZoë").encode())
    assert loaded.places(loaded.ragged) == (4,)
    assert loaded.places([3]) == (5,)


@pytest.mark.parametrize("text", ["forty", "0x28", "4 0", "True", "1e999", "1e39", "40.5", "٤٠x"])
def test_a_value_that_is_not_an_integer_is_kept_as_text(tmp_path: Path, text: str) -> None:
    loaded = read(tmp_path, PLAIN.replace("Ada,40", f"Ada,{text}").encode())
    assert list(loaded.unreadable) == ["age"]
    assert np.isnan(loaded.values["age"][0])
    assert loaded.values["age"][2] == 51


def test_a_date_is_read_as_utc(tmp_path: Path) -> None:
    dated = '[[column]]\nname = "since"\nrole = "date"\ntype = "date"\n\n[[column]]'
    contract = contract_of(tmp_path, "[[column]]", dated)
    lines = ["since", "2026-11-24", "2026-11-24T01:00:00+02:00", "24.11.2026", ""]
    contract.data.write_text("\n".join(f"{line},x" for line in lines), encoding="utf-8")
    loaded = table.read(contract)
    assert [str(date) for date in loaded.values["since"][:2]] == [
        *("2026-11-24 00:00:00+00:00", "2026-11-23 23:00:00+00:00"),
    ]
    assert list(loaded.unreadable["since"]) == ["24.11.2026"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 is empty, but must name the columns"),
        (b"\n\n\n", "line 1 is empty, but must name the columns"),
        (PLAIN.replace("basic", "ba,sic").encode(), "not valid CSV: .* line 3, saw 7"),
        (PLAIN.replace("full", "fu,ll", 1).encode(), "not valid CSV: "),
        (PLAIN.replace("Bob", '"Bob').encode(), "not valid CSV: .*EOF inside string"),
        (PLAIN.encode("latin-1"), "line 4: not valid utf-8: "),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "line 1: not valid utf-8: "),
        (PLAIN.encode("utf-16"), "line 1: not valid utf-8: "),
    ],
)
def test_a_file_that_is_not_a_table_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read(tmp_path, content)
    assert str(refused.value).startswith(f"{tmp_path / 'customers.csv'}: ")
    assert refused.value.next_step


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("customers.csv.gz", PLAIN.encode(), "not valid gzip: Not a gzipped file"),
        ("customers.csv.gz", gzip.compress(PLAIN.encode())[:-9], "not valid gzip: "),
        ("customers.parquet", PLAIN.encode(), "not valid Parquet: "),
        ("customers.parquet", b"", "not valid Parquet: "),
    ],
)
def test_a_file_of_another_type_than_its_suffix_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    contract = contract_of(tmp_path, "customers.csv", name)
    contract.data.write_bytes(content)
    with pytest.raises(DataError, match=message):
        table.read(contract)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    contract = contract_of(tmp_path)
    contract.data.unlink()
    with pytest.raises(DataError, match=re.escape(f"{contract.data}: No such file")):
        table.read(contract)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    contract = contract_of(tmp_path)
    contract.data.unlink()
    contract.data.mkdir()
    with pytest.raises(DataError, match="customers.csv: Is a directory"):
        table.read(contract)


def test_a_file_that_is_being_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = contract_of(tmp_path)
    read_bytes = Path.read_bytes

    def read_during_a_write(path: Path) -> bytes:
        content = read_bytes(path)
        with path.open("ab") as file:
            file.write(b"Eve,1,1,1,full,no\n")
            os.fsync(file.fileno())
        return content

    monkeypatch.setattr(Path, "read_bytes", read_during_a_write)
    with pytest.raises(DataError, match="customers.csv: changed while it was read"):
        table.read(contract)


def test_tables_of_no_row_and_of_one_row_are_read(tmp_path: Path) -> None:
    lines = PLAIN.splitlines()
    assert len(read(tmp_path, lines[0].encode())) == 0
    assert len(read(tmp_path, "\n".join(lines[:2]).encode())) == 1


def test_thousands_of_columns_are_read(tmp_path: Path) -> None:
    extra = [f"extra {number}" for number in range(5000)]
    rows = [[*line.split(","), *extra] for line in PLAIN.splitlines()]
    loaded = read(tmp_path, "\n".join(",".join(row) for row in rows).encode())
    assert len(loaded.header) == 5006
    assert len(loaded.values.columns) == 6


def test_of_duplicate_columns_none_is_read(tmp_path: Path) -> None:
    loaded = read(tmp_path, PLAIN.replace("tenure_months", "age").encode())
    assert loaded.header.count("age") == 2
    assert "age" not in loaded.values


@pytest.mark.parametrize("name", ["customers.csv.bz2", "customers.csv.xz"])
def test_a_table_in_other_compressions_is_read(tmp_path: Path, name: str) -> None:
    packed = {".bz2": bz2.compress(PLAIN.encode()), ".xz": lzma.compress(PLAIN.encode())}
    contract = contract_of(tmp_path, "customers.csv", name)
    contract.data.write_bytes(packed[contract.data.suffix])
    assert len(table.read(contract)) == 3
    contract.data.write_bytes(PLAIN.encode())
    with pytest.raises(DataError, match="not valid (bzip2|xz): "):
        table.read(contract)


@pytest.mark.parametrize(("head", "csv"), [("sep=,\n", ""), ("# by x\n# y\n", 'comment = "#"')])
def test_lines_before_the_header_are_skipped_and_counted(
    tmp_path: Path, head: str, csv: str
) -> None:
    loaded = read(tmp_path, (head + PLAIN.replace("Ada,40", "Ada,forty")).encode(), csv)
    skipped = head.count("\n")
    assert loaded.places([0, 2]) == (2 + skipped, 4 + skipped)
    assert list(loaded.unreadable) == ["age"]


def test_a_null_word_is_one_in_its_column_alone(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, "max = 99\n", 'max = 99\nna_values = ["None", "-1"]\n')
    content = PLAIN.replace("Ada,40", "Ada, None").replace("Bob,", "None,-1").replace("51", "-1.0")
    contract.data.write_text(content, encoding="utf-8")
    values = table.read(contract).values
    assert values["age"].isna().all()
    assert list(values["name"]) == ["Ada", "None", "Zoë"]


@pytest.mark.parametrize("text", ["1,2,3", "12,34", "0,416", "1,2345", "1.5.5"])
def test_a_group_that_is_none_of_three_separates_no_thousands(tmp_path: Path, text: str) -> None:
    content = PLAIN.replace("1234.5", f'"{text}"').encode()
    loaded = read(tmp_path, content, 'thousands = ","')
    assert list(loaded.unreadable["monthly_spend"]) == [text]


def test_a_decimal_comma_admits_no_point(tmp_path: Path) -> None:
    content = PLAIN.replace(",", ";").replace("20.5", "20,5").encode()
    loaded = read(tmp_path, content, 'sep = ";"\ndecimal = ","')
    assert list(loaded.unreadable["monthly_spend"]) == ["1234.5"]


def test_an_integer_that_a_float_cannot_hold_is_refused(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, "customers.csv", "customers.parquet")
    large = pd.array([2**53 - 1, 2**53 + 1, None], "Int64")
    frame = pd.DataFrame({"tenure_months": large})
    frame.to_parquet(contract.data)
    loaded = table.read(contract)
    assert list(loaded.unreadable["tenure_months"]) == [str(2**53 + 1)]
    assert loaded.values["tenure_months"][0] == 2**53 - 1


def test_a_parquet_column_of_lists_is_refused_where_the_contract_has_it(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, "customers.csv", "customers.parquet")
    pd.DataFrame({"age": [[40], [41]], "other": [[1], [2]]}).to_parquet(contract.data)
    with pytest.raises(DataError, match="but age is of the type list<") as refused:
        table.read(contract)
    assert "extra_columns" in refused.value.next_step
