"""How each column of an unknown table is read: proven by the table, told, or asked for."""

import datetime
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolkit.data import adoption_text, source
from toolkit.data.source import Answers, Source
from toolkit.errors import ConfigurationError, DataError
from toolkit.tests import random_tables

ROWS = 120
NONE = Answers()
LABELS = random.Random(3).choices(["no", "no", "yes"], k=ROWS)


def cycle(*texts: str) -> list[str]:
    """Return these texts again and again, one for each row."""
    return [texts[row % len(texts)] for row in range(ROWS)]


def numbers(pattern: str = "{}", start: int = 0) -> list[str]:
    """Return a number for each row; all but the last ten differ, as no column of ids does."""
    return [pattern.format(start + row % (ROWS - 10)) for row in range(ROWS)]


def write(folder: Path, *columns: Sequence[str], separator: str = "\t") -> Path:
    """Write a table with an id, these columns (x, y, ...), and a target."""
    names = ["customer", *"xyz"[: len(columns)], "left"]
    keys = [f"K{row}" for row in range(ROWS)]
    rows = [names, *zip(keys, *columns, LABELS, strict=True)]
    path = folder / "table.csv"
    path.write_text("\n".join(map(separator.join, rows)), encoding="utf-8")
    return path


def read(path: Path, answers: Answers = NONE) -> Source:
    return source.read(path, answers, ("customer", "left"))


def values(path: Path, answers: Answers = NONE) -> dict[str, list[Any]]:
    """Return what the data check and training read by the contract that is inferred."""
    _, table = random_tables.adopted(path, answers)
    return {str(name): column.tolist() for name, column in table.values.items()}


def refusal(path: Path, answers: Answers = NONE) -> str:
    """Return why a table is refused, and what to do."""
    with pytest.raises(DataError) as refused:
        read(path, answers)
    return f"{refused.value} Next: {refused.value.next_step}"


def test_three_decimals_are_no_thousands(tmp_path: Path) -> None:
    spend = [f"{5 + row}.{row % 900:03}" for row in range(ROWS)]
    path = write(tmp_path, spend, numbers("0.{:03}", 416))
    read_values = values(path)
    assert read_values["x"] == [float(text) for text in spend]
    assert read_values["y"][0] == 0.416
    told = adoption_text.how_it_was_read("table.csv", read(path))
    assert told[0] == (
        "table.csv: utf-8, fields separated by tab, decimal mark '.', thousands not separated"
    )
    assert told[2] == "  y: number: '0.416' is 0.416"


@pytest.mark.parametrize("mark", [".", ","])
def test_one_group_of_three_in_every_field_is_asked_for(tmp_path: Path, mark: str) -> None:
    path = write(tmp_path, numbers(f"43{mark}{{:03}}", 100), numbers())
    said = refusal(path)
    assert f"'43{mark}100' in x may be 43.100 or 43100: no number of the table proves which" in said
    assert f"add --csv decimal={mark} for 43.100, or --csv thousands={mark} for 43100" in said
    assert values(path, Answers(csv=(f"decimal={mark}",)))["x"][:2] == [43.1, 43.101]
    assert values(path, Answers(csv=(f"thousands={mark}",)))["x"][:2] == [43100, 43101]


def test_also_numbers_below_a_thousand_prove_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, [*numbers("1.{:03}", 100)[:60], *numbers()[:60]])
    assert "'1.100' in x may be 1.100 or 1100" in refusal(path)


@pytest.mark.parametrize(
    ("column", "decimal", "thousands", "value"),
    [
        (numbers("1.234.{:03}", 100), ",", ".", 1234100),
        (numbers("1.{:03},5", 100), ",", ".", 1100.5),
        (numbers("1,{:03}.5", 100), ".", ",", 1100.5),
        (numbers("1 {:03},25", 100), ",", " ", 1100.25),
        (numbers("1\u202f{:03},25", 100), ",", "\u202f", 1100.25),
        (numbers("1'{:03}.25", 100), ".", "'", 1100.25),
        (numbers("{},5", 100), ",", None, 100.5),
        (numbers("1234,{:03}", 100), ",", None, 1234.1),
        (numbers("{}e3", 100), ".", None, 100_000),
    ],
)
def test_one_proof_holds_for_the_whole_table(
    tmp_path: Path, column: list[str], decimal: str, thousands: str | None, value: float
) -> None:
    path = write(tmp_path, column, numbers())
    dialect = read(path).dialect
    assert (dialect.decimal, dialect.thousands) == (decimal, thousands)
    assert values(path)["x"][0] == value


def test_two_ways_to_write_numbers_in_one_table_are_refused(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, numbers("0.{:02}", 10), numbers("{},5")))
    assert "'.' is the decimal mark ('0.10' in x) and ',' is the decimal mark ('0,5' in y)" in said
    said = refusal(write(tmp_path, numbers("0.{:02}", 10), numbers("1.234.{:03}", 100)))
    assert "'.' is the decimal mark ('0.10' in x) and separates thousands ('1.234.100'" in said


def test_a_null_word_is_one_wherever_it_first_stands(tmp_path: Path) -> None:
    late = [*numbers("{}.98"), "NA"][1:]
    path = write(tmp_path, late)
    assert pd.isna(values(path)["x"][-1])
    assert read(path).readings["x"].na_values == ("NA",)


@pytest.mark.parametrize(
    "word",
    [
        *("\\N", "<NA>", ".", "(null)", "#DIV/0!", "#NULL!", "NaT", "Unknown", "-nan", "inf", "NA"),
        *("None", "n/a", "?", "-", "UNKNOWN", "missing", "#N/A", "NULL"),
    ],
)
def test_a_known_null_word_in_numbers_is_null_and_told(tmp_path: Path, word: str) -> None:
    path = write(tmp_path, [word if row % 10 == 0 else f"{row % 99}" for row in range(ROWS)])
    assert [pd.isna(value) for value in values(path)["x"][:11]] == [True, *[False] * 9, True]
    told = adoption_text.how_it_was_read("table.csv", read(path))
    assert told[1] == f"  x: number: '11' is 11; null: {word!r}"


def test_a_typo_in_numbers_is_refused_with_its_line(tmp_path: Path) -> None:
    column = numbers("{}.5")
    column[17] = "12o.50"
    path = write(tmp_path, column)
    said = refusal(path)
    assert f"{path}: x: nearly all values are numbers, but not '12o.50' (1 row, line 19)" in said
    assert "Next: fix them; or read them as null with --null x=12o.50; or read a column" in said
    for option in ("x=12o.50", "12o.50"):
        read_values = values(path, Answers(nulls=(option,)))["x"]
        assert pd.isna(read_values[17]) and read_values[18] == 18.5
    assert "not '12o.50'" in refusal(path, Answers(nulls=("y=12o.50",)))


def test_every_faulty_column_is_named_at_once(tmp_path: Path) -> None:
    dates = cycle("2024-01-05", "2024-02-29")
    dates[3] = "2024-02-30"
    said = refusal(write(tmp_path, [*numbers()[:-1], "no answer"], dates))
    assert "x: nearly all values are numbers, but not 'no answer' (1 row, line 121)" in said
    assert "y: nearly all values are dates, but not '2024-02-30' (1 row, line 5)" in said


def test_an_unknown_null_word_is_named_also_where_it_is_frequent(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{row}" if row % 3 else "keine Angabe" for row in range(ROWS)])
    said = refusal(path)
    assert "not 'keine Angabe' (40 rows, first lines 2, 5, 8, 11, 14)" in said
    assert "--null 'x=keine Angabe'" in said


def test_a_word_is_a_null_in_one_column_and_a_category_in_another(tmp_path: Path) -> None:
    ages = [*numbers()[:-2], "None", "NA"]
    path = write(tmp_path, ages, cycle("None", "Offer A", "Offer B"), cycle("NA", "EMEA", "APAC"))
    read_values = values(path)
    assert [pd.isna(value) for value in read_values["x"][-3:]] == [False, True, True]
    assert read_values["y"][:2] == ["None", "Offer A"]
    assert read_values["z"][:2] == ["NA", "EMEA"]
    assert (
        "  z: text: 'NA' is 'NA' ('NA' is a category here; if it means null, --null z=NA)"
        in adoption_text.how_it_was_read("table.csv", read(path))
    )
    regions = values(path, Answers(nulls=("z=NA",)))["z"]
    assert pd.isna(regions[0]) and regions[1] == "EMEA"


def test_a_technical_null_word_is_a_null_among_categories_too(tmp_path: Path) -> None:
    read_values = values(write(tmp_path, cycle("\\N", "a", "NULL", "b")))["x"]
    assert [pd.isna(value) for value in read_values[:4]] == [True, False, True, False]


@pytest.mark.parametrize(
    ("texts", "sign", "value"),
    [
        (numbers("{}%"), "%", 0),
        (numbers("{}.5 %"), "%", 0.5),
        (numbers("$1,{:03}.70", 100), "$", 1100.7),
        (numbers("-$1,{:03}.70", 100), "$", -1100.7),
        (numbers("1.{:03},70\u00a0€", 100), "€", 1100.7),
        (numbers("EUR {}"), "EUR", 0),
    ],
)
def test_a_sign_is_no_part_of_a_number(
    tmp_path: Path, texts: list[str], sign: str, value: float
) -> None:
    path = write(tmp_path, texts)
    assert read(path).readings["x"].sign == sign
    assert values(path)["x"][0] == value


def test_two_currencies_in_a_column_are_refused(tmp_path: Path) -> None:
    column = numbers("${}")
    column[4] = "€4"
    said = refusal(write(tmp_path, column))
    assert "x: nearly all values are numbers with '$', but not '€4' (1 row, line 6)" in said


def test_an_unknown_null_word_among_currencies_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{row},50 €" if row % 4 else "k.A." for row in range(ROWS)])
    said = refusal(path)
    assert "x: nearly all values are numbers with '€', but not 'k.A.' (30 rows, first" in said


def test_ranges_of_money_are_categories(tmp_path: Path) -> None:
    ranges = cycle("$0-$50", "$50-$100", "$100+")
    assert read(write(tmp_path, ranges)).readings["x"].kind == "text"


def test_codes_with_leading_zeros_stay_texts(tmp_path: Path) -> None:
    path = write(tmp_path, cycle("02600", "95700", "00100"))
    assert values(path)["x"][:2] == ["02600", "95700"]
    assert "numbers with leading zeros are read as text" in read(path).readings["x"].note


def test_values_that_differ_in_case_only_are_told(tmp_path: Path) -> None:
    readings = read(write(tmp_path, cycle("TRUE", "true", "FALSE"))).readings
    assert readings["x"].note == "some values differ only in upper and lower case"


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (("٣", "٤"), "'٣', '٤' (120 rows, first lines 2, 3, 4, 5, 6)"),
        (("٣٫٥", "-٤"), "'٣٫٥', '-٤' (120 rows, first lines 2, 3, 4, 5, 6)"),
        (("３", "4"), "'３' (60 rows, first lines 2, 4, 6, 8, 10)"),
    ],
)
def test_numbers_in_other_digits_are_asked_about(
    tmp_path: Path, texts: tuple[str, ...], shown: str
) -> None:
    path = write(tmp_path, cycle(*texts))
    said = refusal(path)
    assert f"x: all values are numbers, but in other digits than 0 to 9: {shown}" in said
    assert "read a column as a category with --category x, or leave it out with --ignore x" in said
    assert read(path, Answers(categories=("x",))).readings["x"].kind == "text"


def test_words_with_a_digit_of_another_script_are_categories(tmp_path: Path) -> None:
    assert read(write(tmp_path, cycle("٣", "three"))).readings["x"].kind == "text"


@pytest.mark.parametrize(
    ("texts", "form"),
    [
        (("2024-05-31", "2024-06-01"), None),
        (("2024-05-31T10:00:00Z", "9999-12-31"), None),
        (("2024/05/31", "2024/06/01"), None),
        (("31.05.2024", "01.06.2024"), "%d.%m.%Y"),
        (("05/31/2024", "06/01/2024"), "%m/%d/%Y"),
        (("31-05-24", "01-06-24"), "%d-%m-%y"),
        (("31 May 2024", "01 Jun 2024"), "%d %b %Y"),
        (("31.05.2024 10:30", "01.06.2024 09:15"), "%d.%m.%Y %H:%M"),
    ],
)
def test_dates_of_other_forms_are_dates(
    tmp_path: Path, texts: tuple[str, str], form: str | None
) -> None:
    path = write(tmp_path, cycle(*texts), numbers())
    reading = read(path).readings["x"]
    assert (reading.kind, reading.format) == ("date", form)
    assert values(path)["x"][0].date() == datetime.date(2024, 5, 31)


def test_a_date_of_zeros_is_null(tmp_path: Path) -> None:
    path = write(tmp_path, cycle("2024-05-31", "0000-00-00", "2024-06-01"), numbers())
    assert read(path).readings["x"].na_values == ("0000-00-00",)
    assert [pd.isna(value) for value in values(path)["x"][:2]] == [False, True]


def test_dates_that_may_be_of_two_months_are_left_out_by_name(tmp_path: Path) -> None:
    reading = read(write(tmp_path, cycle("04/05/2024", "05/06/2024"))).readings["x"]
    assert (reading.kind, reading.value) == ("unread", "2024-05-04 or 2024-04-05")
    assert "day or month may come first, and none proves which" in reading.note


def test_a_column_of_numbers_can_be_a_category_or_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, cycle("1", "2", "4+"), [*numbers("{}.5")[:-1], "x"])
    answers = Answers(categories=("x",), ignored=("y",))
    assert values(path, answers)["x"][:3] == ["1", "2", "4+"]
    assert "y" not in read(path, answers).readings
    with pytest.raises(ConfigurationError, match="--ignore: .*table.csv has no column 'q'"):
        read(path, Answers(ignored=("q",)))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pd.array([1.5, None], "Float64"), [1.5, None]),
        (pd.array([1.0, None], "Float32"), [1, None]),
        (pd.array([7, None], "Int64"), [7, None]),
        (pd.array([7, 8], "UInt8"), [7, 8]),
        (pd.array([True, None], "boolean"), ["True", None]),
        (pd.array(["a", None], "string"), ["a", None]),
        (pd.Categorical(["a", None]), ["a", None]),
        (pd.array(["NA", "b"], "string"), ["NA", "b"]),
        (pa.array([Decimal("1.25"), None], pa.decimal128(9, 2)), [1.25, None]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array([0.1, None], pa.float32()), [float(np.float32(0.1)), None]),
        (pa.array([datetime.date(2024, 5, 31), None], pa.date32()), ["2024-05-31", None]),
        (pa.array([datetime.datetime(2024, 5, 31)] * 2, pa.timestamp("ns")), ["2024-05-31"] * 2),
        (pa.array([1.5, float("inf")]), [1.5, None]),
    ],
)
def test_every_type_of_parquet_is_read_as_what_it_is(
    tmp_path: Path, array: Any, expected: list[Any]
) -> None:
    column = pa.array(array).take(pa.array([row % 2 for row in range(ROWS)]))
    # A column that changes, so that the other one may be constant.
    other = pa.array(range(ROWS))
    keys, labels = [f"K{row}" for row in range(ROWS)], LABELS
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"customer": keys, "x": column, "y": other, "left": labels}), path)
    reading = read(path).readings["x"]
    assert reading.kind == {float: "number", int: "number"}.get(type(expected[0]), reading.kind)
    for value, known in zip(read(path).column("x")[:2], expected, strict=True):
        assert (
            pd.isna(value)
            if known is None
            else str(value).removesuffix(" 00:00:00")
            == str(float(known) if isinstance(value, float) else known)
        )
    values(path)


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array([["a", "b"], ["c"]]), "list<"),
        (pa.array([{"a": 1}, {"a": 2}]), "struct<"),
        (pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64())), "map<"),
        (pa.array([b"a", b"b"]), "binary"),
        (pa.array([datetime.timedelta(1)] * 2), "duration"),
        (pa.array([datetime.time(1)] * 2), "time64"),
    ],
)
def test_a_type_that_is_no_value_is_named_and_refused(
    tmp_path: Path, array: pa.Array, kind: str
) -> None:
    column = array.take(pa.array([row % 2 for row in range(ROWS)]))
    keys, labels = [f"K{row}" for row in range(ROWS)], LABELS
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"customer": keys, "x": column, "left": labels}), path)
    said = refusal(path)
    assert (
        f"a column must hold numbers, text, dates or true and false, but x is of the type {kind}"
        in said
        and "--ignore x" in said
    )
    assert "x" not in read(path, Answers(ignored=("x",))).readings


def test_a_named_index_of_parquet_is_a_column_and_another_is_none(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    keys = [f"K{row}" for row in range(ROWS)]
    frame = pd.DataFrame({"x": range(ROWS), "left": LABELS})
    frame.set_axis(pd.Index(keys, name="customer")).to_parquet(path)
    assert read(path).header == ("x", "left", "customer")
    assert list(read(path).column("customer")) == keys
    frame.assign(customer=keys).set_axis(pd.Index(keys)).to_parquet(path)
    assert read(path).header == ("x", "left", "customer")


def test_numbers_that_are_texts_in_parquet_are_read_as_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    keys, labels = [f"K{row}" for row in range(ROWS)], LABELS
    pd.DataFrame({"customer": keys, "x": numbers("1.{:03},5", 100), "left": labels}).to_parquet(
        path
    )
    assert values(path)["x"][0] == 1100.5
