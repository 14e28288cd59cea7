"""Any content of a file ends in a verdict or in one clear error, never in a traceback."""

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.__main__ import main
from toolkit.tests import customers
from toolkit.tests.customers import HEADER

# The same tables every time: a check that guards a merge must not be random.
SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

CELLS = st.one_of(
    st.sampled_from(["", " ", "0", "-1", "17", "40", "1e400", "nan", "inf", "full", "yes", "no"]),
    st.sampled_from(
        ["2026-11-24", "1,5", "1.234,5", "NA", "?", '"', "'", "\n", "\r\n", "\x00", "٣"]
    ),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=8),
)
NAMES = st.one_of(st.sampled_from([*HEADER, "", "age ", "predictions"]), st.text(max_size=5))


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    """Draw a table that is nearly valid, or far from it."""
    header = draw(st.one_of(st.permutations(HEADER), st.lists(NAMES, max_size=8)))
    valid = [[row[name] for name in HEADER] for row in customers.make(400)]
    rows = draw(st.sampled_from([valid, valid[:1], []]))
    wild = draw(st.lists(st.lists(CELLS, max_size=8), max_size=5))
    columns = draw(st.dictionaries(st.integers(0, 5), CELLS, max_size=2))
    changed = [
        [columns.get(place, value) if number % 3 else value for place, value in enumerate(row)]
        for number, row in enumerate(rows)
    ]
    return [list(header), *changed, *wild]


def as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    customers.write(tmp_path / "data", customers.make())
    for name in ("quality.toml", "model_card.toml"):
        (tmp_path / "data" / name).rename(tmp_path / name)
    (tmp_path / "data" / "make_sample.py").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["reference"]) == 0
    return tmp_path


def ends_in_a_verdict(repository: Path, content: bytes) -> None:
    """Check a file, and require a report with the reasons where it fails."""
    (repository / "data" / "customers.csv").write_bytes(content)
    code = main(["data"])
    report = json.loads((repository / "reports" / "data.json").read_bytes())
    assert code in (0, 1)
    assert (report["verdict"] == "passed") == (code == 0)
    assert bool(report["reasons"]) == (code == 1)


@SETTINGS
@given(rows=tables())
def test_any_table_ends_in_a_verdict(repository: Path, rows: list[list[str]]) -> None:
    ends_in_a_verdict(repository, as_csv(rows))


@SETTINGS
@given(content=st.binary(max_size=200))
def test_any_bytes_end_in_a_verdict(repository: Path, content: bytes) -> None:
    ends_in_a_verdict(repository, content)


@SETTINGS
@given(at=st.integers(0, 15_000), content=st.binary(min_size=1, max_size=4))
def test_any_damage_ends_in_a_verdict(repository: Path, at: int, content: bytes) -> None:
    customers.write(repository / "data", customers.make())
    valid = (repository / "data" / "customers.csv").read_bytes()
    ends_in_a_verdict(repository, valid[:at] + content + valid[at + len(content) :])


@SETTINGS
@given(content=st.one_of(tables().map(as_csv), st.binary(max_size=200)))
def test_any_table_is_adopted_or_refused(repository: Path, content: bytes) -> None:
    (repository / "other.csv").write_bytes(content)
    before = sorted(path.name for path in (repository / "data").iterdir())
    code = main(["adopt", "other.csv", "--target", "left", "--id", "name"])
    if code == 0:
        assert main(["data"]) == 0
        (repository / "data" / "make_sample.py").touch()
    else:
        assert code in (1, 2)
        assert "other.csv" in before or not (repository / "data" / "other.csv").exists()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        pd.DataFrame({"name": [["a"], ["b"]], "age": [{"years": 3}, None]}),
        pd.DataFrame({"age": pd.to_timedelta([1, 2], unit="D"), "left": [b"no", b"yes"]}),
        pd.DataFrame({"age": pd.Categorical(["40", "41"]), "left": pd.array([True, None])}),
        pd.DataFrame({3: [1e300, 2**60], "monthly_spend": [complex(1).real, 2]}),
    ],
)
def test_any_parquet_ends_in_a_verdict(repository: Path, frame: pd.DataFrame) -> None:
    contract = repository / "data" / "contract.toml"
    text = contract.read_text(encoding="utf-8").replace("customers.csv", "customers.parquet")
    contract.write_text(text, encoding="utf-8")
    frame.columns = frame.columns.astype("str")
    frame.to_parquet(repository / "data" / "customers.parquet")
    assert main(["data"]) == 1
    report = json.loads((repository / "reports" / "data.json").read_bytes())
    assert report["verdict"] == "failed" and report["reasons"]
