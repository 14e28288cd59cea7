"""The command line: reports are left in every case, and exit codes say what happened."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from {{ cookiecutter.package }}.__main__ import main
from tests import customers


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small repository that is the current folder."""
    (tmp_path / "data").mkdir()
    customers.write(tmp_path / "data", customers.make())
    (tmp_path / "data" / "quality.toml").rename(tmp_path / "quality.toml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(repository: Path, name: str) -> dict[str, Any]:
    """Return a JSON report, whose page must be there as well."""
    folder = repository / "reports"
    assert (folder / f"{name}.md").read_text(encoding="utf-8").startswith("# ")
    document: dict[str, Any] = json.loads((folder / f"{name}.json").read_bytes())
    return document


def break_data(repository: Path) -> None:
    """Put an age of 7 into the first row."""
    rows = customers.make()
    rows[0]["age"] = "7"
    customers.write(repository / "data", rows)


def test_sound_data_pass(repository: Path) -> None:
    assert main(["data"]) == 0
    assert report(repository, "data")["verdict"] == "passed"


def test_broken_data_fail_and_are_named(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_data(repository)
    assert main(["data"]) == 1
    finding = "data/customers.csv: age: range: 7.0; allowed: 18 to 99 (1 row, line 2)"
    assert finding in capsys.readouterr().err
    document = report(repository, "data")
    assert document["verdict"] == "failed"
    assert document["findings"][0]["first_lines"] == [2]


def test_the_quick_gate_leaves_its_evidence_and_no_model(repository: Path) -> None:
    assert main(["gate"]) == 0
    document = report(repository, "quick-gate")
    assert (document["training"], document["verdict"]) == ("quick", "passed")
    assert document["model_sha256"] is None
    assert not (repository / "reports" / "model").exists()


def test_a_full_training_leaves_what_a_release_needs(repository: Path) -> None:
    assert main(["train"]) == 0
    document = report(repository, "gate")
    assert (document["training"], document["verdict"]) == ("full", "passed")
    model = repository / "reports" / "model"
    contract = repository / "data" / "contract.toml"
    assert {path.name for path in model.iterdir()} == {
        *("model.onnx", "contract.toml", "smoke.json"),
    }
    for key, path in (
        ("model_sha256", model / "model.onnx"),
        ("contract_sha256", contract),
        ("data_sha256", repository / "data" / "customers.csv"),
    ):
        assert document[key] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (model / "contract.toml").read_bytes() == contract.read_bytes()
    rules = [(rule["metric"], rule["bound"], rule["threshold"]) for rule in document["rules"]]
    assert rules == [("roc_auc", "min", 0.7), ("brier", "max", 0.2)]


@pytest.mark.parametrize(("run", "name"), [("gate", "quick-gate"), ("train", "gate")])
def test_a_metric_under_its_threshold_fails(
    repository: Path, capsys: pytest.CaptureFixture[str], run: str, name: str
) -> None:
    policy = customers.QUALITY.replace("min = 0.7", "min = 0.999")
    (repository / "quality.toml").write_text(policy, encoding="utf-8")
    assert main([run]) == 1
    assert "below the min of 0.999: the order matters" in capsys.readouterr().err
    document = report(repository, name)
    assert document["verdict"] == "failed"
    assert len(document["reasons"]) == 1


@pytest.mark.parametrize(("run", "name"), [("gate", "quick-gate"), ("train", "gate")])
def test_broken_data_are_not_trained_on(repository: Path, run: str, name: str) -> None:
    break_data(repository)
    assert main([run]) == 1
    document = report(repository, name)
    assert document["verdict"] == "failed"
    assert document["metrics"] == {}
    assert "age: range: 7.0" in document["reasons"][0]


@pytest.mark.parametrize(("run", "name"), [("gate", "quick-gate"), ("train", "gate")])
def test_a_policy_that_is_not_understood_exits_2_and_names_the_key(
    repository: Path, capsys: pytest.CaptureFixture[str], run: str, name: str
) -> None:
    policy = customers.QUALITY.replace("brier", "briar")
    (repository / "quality.toml").write_text(policy, encoding="utf-8")
    assert main([run]) == 2
    error = capsys.readouterr().err
    assert "quality.toml: rule[2].metric: 'briar' is none of" in error
    assert "Next: mend quality.toml." in error
    assert report(repository, name)["verdict"] == "failed"


def test_a_contract_that_is_not_understood_exits_2_and_leaves_a_report(repository: Path) -> None:
    (repository / "data" / "contract.toml").write_text("schema = 1", encoding="utf-8")
    assert main(["data"]) == 2
    assert report(repository, "data")["reasons"] == ["data/contract.toml: rows: missing"]


def test_a_failed_training_leaves_no_model_of_an_earlier_one(repository: Path) -> None:
    assert main(["train"]) == 0
    break_data(repository)
    assert main(["train"]) == 1
    assert not (repository / "reports" / "model").exists()
    assert report(repository, "gate")["verdict"] == "failed"


def test_an_unknown_run_is_refused() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["promote"])
    assert ended.value.code == 2
