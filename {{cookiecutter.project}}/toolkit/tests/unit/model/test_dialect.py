"""The format of a CSV file is detected, and what is not CSV is refused."""

from pathlib import Path

import pytest

from toolkit.data import dialect
from toolkit.data.contract import Csv
from toolkit.errors import DataError

ROWS = [
    ["id", "spend", "plan"],
    ["a", "1234.5", "full"],
    ["b", "7", "basic"],
    ["c", "0.25", "full"],
]


def write(separator: str, old: str = "", new: str = "") -> str:
    return "\n".join(separator.join(row) for row in ROWS).replace(old, new)


@pytest.mark.parametrize(
    ("text", "dialect_of_text"),
    [
        (write(","), Csv()),
        (write("\t"), Csv(sep="\t")),
        (write("|"), Csv(sep="|")),
        (write(";", ".", ","), Csv(sep=";", decimal=",")),
        (write(";", "1234.5", "1.234,5").replace("0.25", "0,25"), Csv(";", ",", ".")),
        (write(",", "1234.5", '"1,234.5"'), Csv(thousands=",")),
        (write(",", "\n7", "\nb"), Csv()),
        (write(",", "basic", "NA"), Csv(na_values=("NA",))),
        (write(",", ",7", ",?"), Csv(na_values=("?",))),
        (write(",", "basic", "?"), Csv()),
        (write(",", "full", '"f,u,l,l"'), Csv()),
    ],
)
def test_a_format_is_detected(tmp_path: Path, text: str, dialect_of_text: Csv) -> None:
    detected, header, frame = dialect.read_unknown(tmp_path / "a.csv", text.encode())
    assert detected == dialect_of_text
    assert header == ("id", "spend", "plan")
    assert len(frame) == 3


@pytest.mark.parametrize(
    ("encoding", "detected"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("cp1252", "cp1252")],
)
def test_an_encoding_is_detected(tmp_path: Path, encoding: str, detected: str) -> None:
    content = write(",", "full", "völl").encode(encoding)
    csv, _, frame = dialect.read_unknown(tmp_path / "a.csv", content)
    assert csv.encoding == detected
    assert frame[2].iloc[0] == "völl"


def test_null_strings_become_nulls(tmp_path: Path) -> None:
    text = write(",", "basic", "NULL")
    _, _, frame = dialect.read_unknown(tmp_path / "a.csv", text.encode())
    assert list(frame[2].isna()) == [False, True, False]


def test_a_comma_that_does_not_separate_fields_is_a_decimal_separator(tmp_path: Path) -> None:
    text = "id;spend\na;1,234\nb;2,345\n"
    csv, _, _ = dialect.read_unknown(tmp_path / "a.csv", text.encode())
    assert (csv.decimal, csv.thousands) == (",", None)


@pytest.mark.parametrize("text", ["", "one\ntwo\n", "a b c\n1 2 3\n", "a,b\n1,2,3\n1\n1,2,3,4\n"])
def test_text_that_is_not_csv_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(
        DataError, match="a.csv: not CSV: none of ',' ';' .* gives all lines the same"
    ) as refused:
        dialect.read_unknown(path, text.encode())
    assert refused.value.next_step.startswith("save it as CSV")
