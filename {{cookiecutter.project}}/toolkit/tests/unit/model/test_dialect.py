"""The format of a CSV file is detected where the file proves it, else asked for."""

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from toolkit.data import dialect
from toolkit.data.contract import Csv
from toolkit.errors import ConfigurationError, DataError

ROWS = [
    ["id", "spend", "plan"],
    ["a", "1234.5", "full"],
    ["b", "7", "basic"],
    ["c", "0.25", "full"],
]


def write(separator: str, old: str = "", new: str = "") -> str:
    return "\n".join(separator.join(row) for row in ROWS).replace(old, new)


def detect(folder: Path, content: bytes, *options: str, name: str = "a.csv") -> Csv:
    """Return the format of a file of three rows with the columns id, spend, plan."""
    given = dialect.parse_options(options)
    detected, header, frame = dialect.read_unknown(folder / name, content, given)
    assert header == ("id", "spend", "plan")
    assert list(frame[0]) == ["a", "b", "c"]
    return detected


@pytest.mark.parametrize(
    ("text", "dialect_of_text"),
    [
        (write(","), Csv()),
        (write("\t"), Csv(sep="\t")),
        (write("|"), Csv(sep="|")),
        (write(";", ".", ","), Csv(sep=";")),
        (write(",", "full", '"f,u,l,l"'), Csv()),
        (write(",", "full", "it's"), Csv()),
        (f"sep=;\n{write(';')}", Csv(sep=";")),
        (f"# exported 2026-11-01\n# by a program\n{write(',')}", Csv(comment="#")),
        (f'# all "5" screens\n{write(",")}', Csv(comment="#")),
    ],
)
def test_a_format_is_detected(tmp_path: Path, text: str, dialect_of_text: Csv) -> None:
    assert detect(tmp_path, text.encode()) == dialect_of_text


def test_lines_are_counted_from_the_first_of_the_file(tmp_path: Path) -> None:
    text = f"sep=,\n# exported\n{write(',')}"
    _, _, frame = dialect.read_unknown(tmp_path / "a.csv", text.encode(), {})
    assert list(frame.index) == [4, 5, 6]


@pytest.mark.parametrize(
    ("encoding", "detected"),
    [
        *(("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-32", "utf-32")),
        *(("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be"), ("utf-32-le", "utf-32-le")),
    ],
)
def test_an_encoding_of_unicode_is_detected(tmp_path: Path, encoding: str, detected: str) -> None:
    content = write(",", "full", "völl").encode(encoding)
    csv, _, frame = dialect.read_unknown(tmp_path / "a.csv", content, {})
    assert csv.encoding == detected
    assert frame[2].iloc[0] == "völl"


def test_an_encoding_of_one_byte_is_asked_for(tmp_path: Path) -> None:
    content = write(",", "full", "völl").encode("cp1252")
    with pytest.raises(
        DataError,
        match="a.csv: line 2: not UTF-8, and it does not say in which encoding it is: 'völl' in "
        "cp1252, 'völl' in cp1250, .* in mac_roman",
    ) as refused:
        detect(tmp_path, content)
    assert refused.value.next_step.startswith("add --csv encoding=cp1252")
    assert detect(tmp_path, content, "encoding=cp1252").encoding == "cp1252"


@pytest.mark.parametrize(
    "pack", [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_a_compressed_file_is_read(tmp_path: Path, pack: tuple[str, type[bytes]]) -> None:
    suffix, compress = pack
    assert detect(tmp_path, compress(write(",").encode()), name=f"a.csv.{suffix}") == Csv()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04...", "a.csv: it is a ZIP archive or an Excel workbook, not CSV"),
        (gzip.compress(b"id,spend\n", mtime=0), "a.csv: it is compressed with gzip, not CSV"),
        (bz2.compress(b"id,spend\n"), "a.csv: it is compressed with bzip2, not CSV"),
        (b"PAR1", "a.csv: it is Parquet, not CSV"),
        (b"<!DOCTYPE html>", "a.csv: it is an HTML page, perhaps of a log-in, not CSV"),
        (b"id,spend\n\x00,1\n", "a.csv: line 2 has a NUL character: it is no text, or not utf-8"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        detect(tmp_path, content)


@pytest.mark.parametrize(
    ("text", "message", "option"),
    [
        (
            "id;spend,plan\na;1,5\nb;2,5\nc;3,5\n",
            r"the fields may be separated by ',' \(2 fields\) or ';' \(2 fields\)",
            "--csv sep=, or --csv 'sep=;'",
        ),
        (
            write(",", "full", "'full'"),
            "the field 'full' stands in apostrophes: they may quote it, or be a part of it",
            """--csv 'quotechar='"'"'' if they quote it, else --csv 'quotechar="'""",
        ),
        (
            write(",", "full", r'"a \"b"'),
            'a backslash stands before a ": it may escape it, or be part of it',
            r"--csv 'escapechar=\' if it escapes it, else --csv escapechar=",
        ),
        (
            write(",", "id,", "#id,"),
            "line 1 begins with '#': it may be a comment or the header",
            "--csv 'comment=#' for a comment, or --csv comment= for the header",
        ),
    ],
)
def test_what_a_file_does_not_prove_is_asked_for(
    tmp_path: Path, text: str, message: str, option: str
) -> None:
    with pytest.raises(DataError, match=message) as refused:
        detect(tmp_path, text.encode())
    assert option in refused.value.next_step


def test_an_answer_is_taken(tmp_path: Path) -> None:
    quoted = write(",", "full", "'f,ull'").encode()
    assert detect(tmp_path, quoted, "quotechar='") == Csv(quotechar="'")
    escaped = write(",", "full", r'"a \"b"').encode()
    assert detect(tmp_path, escaped, "escapechar=\\") == Csv(escapechar="\\")
    assert detect(tmp_path, write("^").encode(), "sep=^") == Csv(sep="^")
    assert detect(tmp_path, write("\t").encode(), "sep=tab") == Csv(sep="\t")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("decimal", "it must be KEY=VALUE, with one of the keys sep, decimal, thousands"),
        ("colour=red", "it must be KEY=VALUE, with one of the keys sep, decimal, thousands"),
        ("decimal=..", "'..' is more than one character"),
    ],
)
def test_an_answer_that_is_none_is_refused(option: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--csv {option}: {message}"):
        dialect.parse_options((option,))


def test_a_short_row_is_named_with_its_line(tmp_path: Path) -> None:
    text = write(",", "\nb,7,basic", "\nb,7") + "\n# 3 rows"
    with pytest.raises(
        DataError, match="fewer fields than the header's 3 in 2 rows, first lines 3, 5"
    ):
        detect(tmp_path, text.encode(), "sep=,")


@pytest.mark.parametrize("text", ["", "one\ntwo\n", "a b c\n1 2 3\n", "a,b\n1,2,3\n1\n1,2,3,4\n"])
def test_text_that_is_not_csv_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        DataError, match="a.csv: not CSV: none of ',' ';' .* gives all lines the same"
    ) as refused:
        dialect.read_unknown(tmp_path / "a.csv", text.encode(), {})
    assert refused.value.next_step.startswith("save it as CSV")
