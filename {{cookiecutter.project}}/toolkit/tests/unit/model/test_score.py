"""A batch run gives each customer what /predict gives, or says why nothing was written."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prometheus_client import CollectorRegistry

from toolkit.__main__ import main
from toolkit.data import dataset as datasets
from toolkit.data import expectation as expectations
from toolkit.data import parts, reference, table
from toolkit.data.contract import Contract
from toolkit.model.predictor import Predictor
from toolkit.model.score import judgement, worker
from toolkit.reports import files as reports
from toolkit.serving.api import create_app
from toolkit.serving.drain import Drain
from toolkit.serving.in_memory import post
from toolkit.serving.prediction import PREDICT
from toolkit.tests import customers

ROOT = Path(__file__).parents[4]
DAY = "2026-11-20"
FEATURES = ("age", "tenure_months", "monthly_spend", "plan type")


def environment(folder: Path, *paths: Path) -> Path:
    """Return the interpreter of an environment that sees these folders."""
    venv.create(folder, symlinks=True, with_pip=False)
    [packages] = folder.glob("lib/python*/site-packages")
    # Nothing may be left beside the toolkit's files, and -I looks at no variable.
    lines = ["import sys; sys.dont_write_bytecode = True", *map(str, paths)]
    (packages / "release.pth").write_text("\n".join(lines))
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an interpreter that sees the toolkit as a release's does."""
    installed = Path(sysconfig.get_path("purelib"))
    return environment(tmp_path_factory.mktemp("release"), installed, ROOT)


@pytest.fixture
def places(
    tmp_path: Path, contract: Contract, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a repository with what a release's commit holds; it is the current folder."""
    folder = tmp_path / "commit"
    reports.write_bytes(folder / "data" / "contract.toml", contract.path.read_bytes())
    quality = contract.path.with_name("quality.toml").read_bytes()
    reports.write_bytes(folder / "quality.toml", quality)
    rows = table.read(contract)
    made = reference.make(rows, datasets.from_table(rows, contract), contract)
    reports.write_bytes(folder / "data" / "reference.json", reference.to_json(made))
    monkeypatch.chdir(folder)
    return folder


class Runs:
    """Batch runs of one release."""

    def __init__(self, python: Path, bundle: Path, folder: Path) -> None:
        self.python, self.bundle, self.folder = python, bundle, folder

    def request(self, given: Path | str, output: Path | str, explain: int = 0) -> list[str]:
        """Write a request, and return the arguments that carry it out."""
        said = {"python": self.python, "bundle": self.bundle, "input": given, "output": output}
        words = {name: str(value) for name, value in said.items()}
        who = {"environment": "prod", "by": "Ada Example <ada@example.com>"}
        content = words | who | {"as_of": DAY, "explain": explain}
        (self.folder / "request.json").write_text(json.dumps(content))
        return ["score", "--request", str(self.folder / "request.json")]

    def __call__(self, given: Path, output: Path, explain: int = 0) -> tuple[int, dict[str, Any]]:
        """Carry out a run, and return its exit code and report."""
        code = main(self.request(given, output, explain))
        report: dict[str, Any] = json.loads(Path("reports", "score.json").read_bytes())
        return code, report


@pytest.fixture
def run(python: Path, bundle: Path, places: Path) -> Runs:
    return Runs(python, bundle, places)


def as_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def as_parquet(path: Path, rows: list[dict[str, str]]) -> Path:
    frame = pd.DataFrame(rows)
    for name in FEATURES[:3]:
        frame[name] = pd.to_numeric(frame[name])
    frame["age"] = frame["age"].astype("Int64")
    frame.to_parquet(path, index=False)
    return path


@pytest.fixture
def asked(bundle: Path, predictor: Predictor) -> Callable[..., dict[str, Any]]:
    """Return what /predict answers to a customer."""
    expectation = expectations.load(bundle, predictor.contract)
    version = {"release": None, "commit": None, "digest": None, "model_sha256": predictor.sha256}
    app = create_app(predictor, expectation, version, Drain(), CollectorRegistry())

    def ask(customer: dict[str, Any], path: str = PREDICT) -> dict[str, Any]:
        _, body = asyncio.run(post(app, json.dumps(customer).encode(), path))
        answer: dict[str, Any] = json.loads(body)
        return answer

    return ask


def as_client(row: dict[str, str]) -> dict[str, Any]:
    """Return a row as a client sends it to /predict."""
    sent: dict[str, Any] = {"plan type": row["plan type"] or None}
    for name in FEATURES[:3]:
        sent[name] = float(row[name]) if row[name] else None
    return sent


@pytest.mark.parametrize("write", [as_csv, as_parquet])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_every_customer_gets_what_predict_gives(
    run: Runs,
    tmp_path: Path,
    write: Callable[..., Path],
    suffix: str,
    asked: Callable[..., dict[str, Any]],
    predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "VALUES", 600)
    rows = customers.make()
    output = tmp_path / f"scores.{suffix}"
    code, report = run(
        write(tmp_path / f"in.{'csv' if write is as_csv else 'parquet'}", rows), output
    )
    assert code == 0, report
    scores = pd.read_csv(output) if suffix == "csv" else pd.read_parquet(output)
    assert list(scores["name"]) == [row["name"] for row in rows]
    expected = [asked(as_client(row)) for row in rows]
    assert list(scores["churn_probability"]) == [one["churn_probability"] for one in expected]
    assert list(scores["churn"]) == [one["churn"] for one in expected]
    assert set(scores["model_sha256"]) == {predictor.sha256}
    assert set(scores["as_of"].astype(str)) == {DAY}
    assert (report["rows"], report["scored"], report["rejected"]) == (len(rows), len(rows), 0)
    assert report["churn"] == scores["churn"].sum()
    assert not list(tmp_path.glob(".*"))


BAD = {
    "age": "300",
    "tenure_months": "-1",
    "monthly_spend": "1e999",
    "plan type": "gold",
}


@pytest.mark.parametrize("write", [as_csv, as_parquet])
def test_a_rejected_row_stands_beside_the_result_with_the_error_that_predict_gives(
    run: Runs,
    tmp_path: Path,
    write: Callable[..., Path],
    asked: Callable[..., dict[str, Any]],
) -> None:
    rows = customers.make()
    rows[3]["age"], rows[5]["plan type"], rows[7]["tenure_months"] = "300", "gold", ""
    given = write(tmp_path / f"in.{'csv' if write is as_csv else 'parquet'}", rows)
    code, report = run(given, tmp_path / "scores.csv")
    assert code == 0, report
    with (tmp_path / "scores.rejected.csv").open(newline="") as file:
        rejected = list(csv.DictReader(file))
    expected = []
    first = 2 if write is as_csv else 1
    for position in (3, 5, 7):
        for error in asked(as_client(rows[position]))["detail"]:
            place = {("line" if write is as_csv else "row"): str(first + position)}
            value = "" if error["value"] is None else str(error["value"])
            told = {"name": rows[position]["name"], **error, "value": value}
            expected.append(place | told)
    for one in expected:
        one["value"] = one["value"].removesuffix(".0")
    for one in rejected:
        one["value"] = one["value"].removesuffix(".0")
    assert sorted(rejected, key=str) == sorted(expected, key=str)
    assert (report["rows"], report["rejected"]) == (len(rows), 3)
    scored = pd.read_csv(tmp_path / "scores.csv")
    assert list(scored["name"]) == [
        row["name"] for number, row in enumerate(rows) if number not in (3, 5, 7)
    ]
    assert any("1 rejected by age: less_than_equal, first at" in one for one in report["warnings"])


def test_what_cannot_be_read_as_its_type_is_rejected_with_its_text(
    run: Runs, tmp_path: Path
) -> None:
    rows = customers.make()
    rows[0]["age"], rows[1]["name"] = "old", ""
    given = as_csv(tmp_path / "in.csv", rows)
    lines = given.read_text().splitlines()
    lines[3] = "short,40"
    given.write_text("\n".join(lines))
    code, _ = run(given, tmp_path / "scores.csv")
    assert code == 0
    assert (tmp_path / "scores.rejected.csv").read_text().splitlines() == [
        '"line","name","field","value","rule","reason"',
        '2,"' + rows[0]["name"] + '","age","old","type","it cannot be read as integer"',
        '3,,"name",,"null","nobody would know whose score it is"',
        '4,"short","",,"fields","the row has too few fields"',
    ]


@pytest.mark.parametrize("column", BAD)
def test_a_larger_share_of_rejected_rows_than_allowed_writes_nothing(
    run: Runs, tmp_path: Path, column: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = customers.make()
    for row in rows[: len(rows) // 50]:
        row[column] = BAD[column]
    (tmp_path / "scores.csv").write_text("of yesterday")
    code, report = run(as_csv(tmp_path / "in.csv", rows), tmp_path / "scores.csv")
    assert code == 1
    share = f"{len(rows) // 50} of {len(rows)} customers are rejected (2.00%), allowed are 1.00%"
    assert report["reasons"][0].startswith(share)
    assert f"rejected by {column}: " in report["reasons"][1]
    assert share in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.glob("*scores*")) == ["scores.csv"]
    assert (tmp_path / "scores.csv").read_text() == "of yesterday"
    assert not list(tmp_path.glob(".*"))


def test_customers_that_have_drifted_are_not_scored_unless_the_policy_says_so(
    run: Runs, tmp_path: Path
) -> None:
    rows = customers.make()
    for row in rows:
        row["monthly_spend"] = str(min(500.0, float(row["monthly_spend"] or 0) + 60))
    given = as_csv(tmp_path / "in.csv", rows)
    code, report = run(given, tmp_path / "scores.csv")
    assert code == 1
    assert any(one.startswith("monthly_spend: ") for one in report["reasons"]), report
    assert not (tmp_path / "scores.csv").exists()
    with Path("quality.toml").open("a") as file:
        file.write('\n[score]\ndrift = "warn"\n')
    code, report = run(given, tmp_path / "scores.csv")
    assert code == 0
    assert any(one.startswith("monthly_spend: ") for one in report["warnings"])
    assert len(pd.read_csv(tmp_path / "scores.csv")) == len(rows)


def test_rows_of_one_customer_are_found_wherever_they_stand(run: Runs, tmp_path: Path) -> None:
    rows = customers.make()
    rows[-1]["name"] = rows[0]["name"]
    code, report = run(as_csv(tmp_path / "in.csv", rows), tmp_path / "scores.csv")
    assert code == 1
    wanted = f"name: unique: {1 / len(rows):.2%} of the customers; expected: no duplicates"
    assert report["reasons"] == [wanted]
    assert rows[0]["name"] not in json.dumps(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="age"), "age: schema: no such column"),
        (lambda frame: frame.assign(shoe=43), "shoe: schema: unknown column"),
        (lambda frame: frame[frame.columns[::-1]], "order: in the place of"),
        (lambda frame: frame[:0], "0 of 0 customers are rejected"),
    ],
)
def test_another_table_is_refused(
    run: Runs,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = tmp_path / "in.csv"
    change(pd.DataFrame(customers.make())).to_csv(given, index=False)
    code, report = run(given, tmp_path / "scores.csv")
    assert code == 1
    assert message in capsys.readouterr().err
    assert message in "\n".join(report["reasons"])
    assert not (tmp_path / "scores.csv").exists()


def test_a_table_without_labels_is_scored(run: Runs, tmp_path: Path) -> None:
    given = tmp_path / "in.csv"
    pd.DataFrame(customers.make()).drop(columns="left").to_csv(given, index=False)
    code, report = run(given, tmp_path / "scores.csv")
    assert code == 0, report


def test_each_prediction_is_explained_as_predict_does(
    run: Runs, tmp_path: Path, asked: Callable[..., dict[str, Any]]
) -> None:
    rows = [row for row in customers.make() if all(row.values())][:60]
    with Path("quality.toml").open("a") as file:
        file.write('\n[score]\ndrift = "warn"\n')
    code, _ = run(as_csv(tmp_path / "in.csv", rows), tmp_path / "scores.csv", explain=2)
    assert code == 0
    told = [json.loads(one) for one in pd.read_csv(tmp_path / "scores.csv")["explanation"]]
    path = f"{PREDICT}?explain=2"
    assert told == [asked(as_client(row), path)["explanation"] for row in rows]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("scores.xlsx", "scores.xlsx: the result is CSV or Parquet"),
        ("none/scores.csv", "scores.rejected.csv: cannot be written: No such file or directory"),
        ("in.csv", "in.csv: is the input too"),
    ],
)
def test_a_place_for_the_result_that_is_none_is_refused(
    run: Runs, tmp_path: Path, output: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = as_csv(tmp_path / "in.csv", customers.make())
    content = given.read_bytes()
    code, _ = run(given, tmp_path / output)
    assert code == 2
    assert message in capsys.readouterr().err
    assert given.read_bytes() == content


def test_a_release_from_before_batch_scores_says_so(
    run: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "older" / "toolkit" / "serving"
    older.mkdir(parents=True)
    for folder in (older, older.parent):
        (folder / "__init__.py").touch()
    run.python = environment(tmp_path / "venv", older.parents[1])
    given = as_csv(tmp_path / "in.csv", customers.make())
    code, _ = run(given, tmp_path / "scores.csv")
    assert code == 2
    assert "the release was built before there were batch scores" in capsys.readouterr().err


def test_a_release_that_answers_otherwise_than_the_gated_model_scores_nobody(
    run: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke = json.loads((run.bundle / "smoke.json").read_bytes())
    smoke["cases"][0]["response"]["churn_probability"] += 0.1
    (run.bundle / "smoke.json").write_text(json.dumps(smoke))
    given = as_csv(tmp_path / "in.csv", customers.make())
    code, _ = run(given, tmp_path / "scores.csv")
    assert code == 2
    assert "/predict answers smoke case 1 of" in capsys.readouterr().err
    assert not (tmp_path / "scores.csv").exists()


def test_features_that_fail_are_named_without_a_customer(
    run: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [packages] = run.python.parents[1].glob("lib/python*/site-packages")
    hook = packages / "failing.pth"
    (tmp_path / "failing.py").write_text(
        "from toolkit.model import features\n"
        "matrix = features.Features.matrix\n"
        "def fail(self, columns):\n"
        "    if len(next(iter(columns.values()))) > 100:\n"
        "        raise ValueError('customer 7 is odd')\n"
        "    return matrix(self, columns)\n"
        "features.Features.matrix = fail\n"
    )
    hook.write_text(f"{tmp_path}\nimport failing\n")
    try:
        given = as_csv(tmp_path / "in.csv", customers.make())
        code, report = run(given, tmp_path / "scores.csv")
    finally:
        hook.unlink()
    assert code == 2
    assert report["reasons"] == ["the release cannot score valid customers: ValueError"]
    assert "customer 7" not in capsys.readouterr().err
    assert not (tmp_path / "scores.csv").exists()


def test_a_release_that_dies_leaves_no_result(
    run: Runs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = worker.Worker.ask

    def kill(self: worker.Worker, columns: Any) -> worker.Answer:
        self._process.kill()
        self._process.wait()
        return answer(self, columns)

    monkeypatch.setattr(worker.Worker, "ask", kill)
    given = as_csv(tmp_path / "in.csv", customers.make())
    code, _ = run(given, tmp_path / "scores.csv")
    assert code == 2
    assert "the release has ended by signal 9: it said nothing" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("*scores*")] == []


def test_a_table_that_changes_meanwhile_is_refused(
    run: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = as_csv(tmp_path / "in.csv", customers.make())
    judge = judgement.judge

    def meanwhile(*arguments: Any) -> Any:
        with given.open("a") as file:
            file.write("one more,40,3,20.5,full,no\n")
        return judge(*arguments)

    monkeypatch.setattr(judgement, "judge", meanwhile)
    code, _ = run(given, tmp_path / "scores.csv")
    assert code == 1
    assert "in.csv: changed while it was read" in capsys.readouterr().err
    assert not (tmp_path / "scores.csv").exists()


def slow(folder: Path) -> None:
    """Let the release wait before its first answer, until a file is gone."""
    text = (
        "import os, time\n"
        "import pydantic_core\n"
        "ask = pydantic_core.to_json\n"
        "def wait(*arguments):\n"
        f"    while os.path.exists({str(folder / 'wait')!r}):\n"
        "        time.sleep(0.01)\n"
        "    return ask(*arguments)\n"
        "pydantic_core.to_json = wait\n"
    )
    (folder / "wait").touch()
    (folder / "slow.py").write_text(text)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_killed_leaves_no_result_and_the_next_one_begins_again(
    run: Runs, tmp_path: Path, number: int
) -> None:
    given, output = as_csv(tmp_path / "in.csv", customers.make()), tmp_path / "scores.csv"
    partial = tmp_path / ".scores.csv.partial"
    slow(tmp_path)
    [packages] = run.python.parents[1].glob("lib/python*/site-packages")
    hook = packages / "slow.pth"
    hook.write_text(f"{tmp_path}\nimport slow\n")
    command = [sys.executable, "-m", "toolkit", *run.request(given, output)]
    paths = {"PYTHONPATH": str(ROOT)}
    try:
        killed = subprocess.Popen(command, env=os.environ | paths, stderr=subprocess.DEVNULL)
        while not partial.exists():
            assert killed.poll() is None
            time.sleep(0.01)
        code, report = run(given, output)
        assert code == 2
        assert "another run is writing it" in report["reasons"][0]
        killed.send_signal(number)
        killed.wait()
        assert not output.exists()
    finally:
        hook.unlink()
        (tmp_path / "wait").unlink()
    code, report = run(given, output)
    assert code == 0, report
    assert len(pd.read_csv(output)) == report["scored"]
    assert not partial.exists()


def test_two_runs_at_once_leave_one_whole_result(run: Runs, tmp_path: Path) -> None:
    given, output = as_csv(tmp_path / "in.csv", customers.make()), tmp_path / "scores.csv"
    command = [sys.executable, "-m", "toolkit", *run.request(given, output)]
    codes: list[int] = []
    environment_ = os.environ | {"PYTHONPATH": str(ROOT)}

    def one() -> None:
        done = subprocess.run(command, env=environment_, stderr=subprocess.DEVNULL, check=False)
        codes.append(done.returncode)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {0, 2} and 0 in codes
    assert len(pd.read_csv(output)) == len(customers.make())
