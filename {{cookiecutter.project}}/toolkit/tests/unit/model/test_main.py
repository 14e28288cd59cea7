"""The command line: every command writes its report, and the exit code says how it ended."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier

from toolkit.__main__ import main
from toolkit.model.predictor import Predictor
from toolkit.tests import customers
from toolkit.tests.customers import Row
from toolkit.tests.example.estimators import ESTIMATORS


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small repository; it is the current folder."""
    (tmp_path / "data").mkdir()
    customers.write(tmp_path / "data", customers.make())
    for name in ("quality.toml", "model_card.toml"):
        (tmp_path / "data" / name).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert main(["reference"]) == 0
    return tmp_path


def report(repository: Path, name: str) -> dict[str, Any]:
    """Return a JSON report, which must have a Markdown page beside it."""
    folder = repository / "reports"
    assert (folder / f"{name}.md").read_text(encoding="utf-8").startswith("# ")
    document: dict[str, Any] = json.loads((folder / f"{name}.json").read_bytes())
    return document


def break_data(repository: Path) -> None:
    """Put an age of 7 into the first row."""
    rows = customers.make()
    rows[0]["age"] = "7"
    customers.write(repository / "data", rows)


def double_the_bills(repository: Path) -> None:
    """Double all bills, which the contract allows."""
    rows = customers.make()
    for row in rows:
        row["monthly_spend"] = str(2 * float(row["monthly_spend"]))
    customers.write(repository / "data", rows)


def test_valid_data_passes(repository: Path) -> None:
    assert main(["data"]) == 0
    document = report(repository, "data")
    assert (document["verdict"], document["reasons"]) == ("passed", [])
    assert (document["rows"], document["reference"]["rows"]) == (400, 400)
    page = (repository / "reports" / "data.html").read_text(encoding="utf-8")
    assert "<title>Data check: passed</title>" in page


def test_broken_data_fails_with_its_place(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_data(repository)
    assert main(["data"]) == 1
    finding = "data/customers.csv: age: range: 7; expected: 18 to 99 (0.25%: 1 row, line 2)"
    assert finding in capsys.readouterr().err
    document = report(repository, "data")
    assert document["verdict"] == "failed"
    assert document["findings"][0]["places"] == [2]


def test_drift_fails_and_says_what_changed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double_the_bills(repository)
    assert main(["data"]) == 1
    output = capsys.readouterr().err
    assert (
        "data/customers.csv: monthly_spend: distribution drift: mean 197.2, reference 98.58"
        in output
    )
    assert "data/customers.csv: predictions: distribution drift: mean" in output
    document = report(repository, "data")
    failed = [drift["column"] for drift in document["drifts"] if drift["level"] == "fail"]
    assert set(failed) == {"monthly_spend", "predictions"}


def test_accepted_drift_becomes_the_reference(repository: Path) -> None:
    double_the_bills(repository)
    assert main(["reference"]) == 0
    assert main(["data"]) == 0


@pytest.mark.parametrize("command", ["gate", "train"])
def test_a_training_tells_what_the_data_check_warns_of(
    repository: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    contract = repository / "data" / "contract.toml"
    text = contract.read_text(encoding="utf-8")
    contract.write_text(text.replace("max = 99", "max = 120"), encoding="utf-8")
    assert main([command]) == 0
    warning = "the data: data/reference.json was made under other columns of data/contract.toml"
    assert warning in capsys.readouterr().err


def test_broken_data_cannot_become_the_reference(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (repository / "data" / "reference.json").read_bytes()
    break_data(repository)
    assert main(["reference"]) == 1
    assert "age: range: 7;" in capsys.readouterr().err
    assert (repository / "data" / "reference.json").read_bytes() == before


@pytest.mark.parametrize("command", ["data", "features", "gate", "train"])
def test_without_a_reference_no_command_passes(
    repository: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (repository / "data" / "reference.json").unlink()
    assert main([command]) == 2
    output = capsys.readouterr().err
    assert "data/reference.json: No such file" in output
    assert "Next: make it from a table that you trust: nox -s reference." in output


def test_a_null_that_is_served_as_a_number_fails_with_a_report(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = Predictor.matrix
    monkeypatch.setattr(Predictor, "matrix", lambda self, rows: np.nan_to_num(matrix(self, rows)))
    assert main(["features"]) == 1
    document = report(repository, "features")
    assert "feature age: 2 of 400 customers differ" in document["reasons"][0]


@pytest.mark.parametrize(
    ("command", "name"), [("features", "features"), ("gate", "quick-gate"), ("train", "gate")]
)
def test_drifted_data_is_not_trained_on(repository: Path, command: str, name: str) -> None:
    double_the_bills(repository)
    assert main([command]) == 1
    document = report(repository, name)
    assert document["verdict"] == "failed"
    assert "monthly_spend: distribution drift" in document["reasons"][0]


def test_a_missing_table_leaves_a_failed_report(repository: Path) -> None:
    (repository / "data" / "customers.csv").unlink()
    assert main(["data"]) == 1
    assert report(repository, "data")["reasons"] == [
        "data/customers.csv: No such file or directory"
    ]
    page = (repository / "reports" / "data.html").read_text(encoding="utf-8")
    assert "data/customers.csv: No such file or directory" in page


def test_features_served_as_trained_pass(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["features"]) == 0
    assert "7 features of 400 customers, trained and served" in capsys.readouterr().err
    document = report(repository, "features")
    assert (document["verdict"], document["feature_difference"]) == ("passed", 0.0)


def test_features_served_otherwise_fail(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = Predictor.matrix

    def serve_in_cents(self: Predictor, customers: Any) -> Any:
        return matrix(
            self, [one | {"monthly_spend": one["monthly_spend"] * 100} for one in customers]
        )

    monkeypatch.setattr(Predictor, "matrix", serve_in_cents)
    assert main(["features"]) == 1
    output = capsys.readouterr().err
    assert "feature monthly_spend: " in output and "feature spend_per_tenure_month: " in output
    assert report(repository, "features")["verdict"] == "failed"


def test_the_quick_gate_writes_its_evidence_and_no_model(repository: Path) -> None:
    assert main(["gate"]) == 0
    document = report(repository, "quick-gate")
    assert (document["training"], document["verdict"]) == ("quick", "passed")
    assert document["model_sha256"] is None
    assert not (repository / "reports" / "model").exists()


def test_a_full_training_writes_what_a_release_needs(repository: Path) -> None:
    assert main(["train"]) == 0
    document = report(repository, "gate")
    assert (document["training"], document["verdict"]) == ("full", "passed")
    model = repository / "reports" / "model"
    contract = repository / "data" / "contract.toml"
    assert {path.name for path in model.iterdir()} == {
        *("model.onnx", "contract.toml", "smoke.json", "expectation.json"),
    }
    for key, path in (
        ("model_sha256", model / "model.onnx"),
        ("contract_sha256", contract),
        ("data_sha256", repository / "data" / "customers.csv"),
    ):
        assert document[key] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (model / "contract.toml").read_bytes() == contract.read_bytes()
    assert (
        document["policy_sha256"]
        == hashlib.sha256((repository / "quality.toml").read_bytes()).hexdigest()
    )
    rules = [(rule["subject"], rule["rule"], rule["level"]) for rule in document["rules"]]
    assert rules == [
        ("data", "the data check warns of nothing", "ok"),
        ("distinct probabilities", "more than one", "ok"),
        ("roc_auc", "significantly better than random guessing", "ok"),
        ("roc_auc", "at least 0.7", "ok"),
        ("brier", "at most 0.2", "ok"),
        ("missed_cost", "at most 30 EUR per customer", "ok"),
        ("latency_ms", "at most 1000", "ok"),
        ("slices: roc_auc", rules[7][1], "ok"),
        ("champion", "fetched", "warn"),
    ]
    for name in ("gate.html", "model_card.md", "model_card.html"):
        assert (repository / "reports" / name).stat().st_size > 1000


@pytest.mark.parametrize(("command", "name"), [("gate", "quick-gate"), ("train", "gate")])
def test_a_metric_below_its_threshold_fails(
    repository: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    policy = customers.QUALITY.replace("min = 0.7", "min = 0.999")
    (repository / "quality.toml").write_text(policy, encoding="utf-8")
    assert main([command]) == 1
    assert "below the min of 0.999: the order matters" in capsys.readouterr().err
    document = report(repository, name)
    assert document["verdict"] == "failed"
    assert len(document["reasons"]) == 1


@pytest.mark.parametrize(("command", "name"), [("gate", "quick-gate"), ("train", "gate")])
def test_broken_data_is_not_trained_on(repository: Path, command: str, name: str) -> None:
    break_data(repository)
    assert main([command]) == 1
    document = report(repository, name)
    assert document["verdict"] == "failed"
    assert document["metrics"] == {}
    assert "age: range: 7;" in document["reasons"][0]


@pytest.mark.parametrize(("command", "name"), [("gate", "quick-gate"), ("train", "gate")])
def test_an_invalid_policy_exits_2_and_names_the_key(
    repository: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    policy = customers.QUALITY.replace("brier", "briar")
    (repository / "quality.toml").write_text(policy, encoding="utf-8")
    assert main([command]) == 2
    error = capsys.readouterr().err
    assert "quality.toml: rule[2].metric: must be one of roc_auc, " in error
    assert "Next: fix quality.toml." in error
    assert report(repository, name)["verdict"] == "failed"


def test_an_invalid_contract_exits_2_and_leaves_a_report(repository: Path) -> None:
    (repository / "data" / "contract.toml").write_text("schema = 1", encoding="utf-8")
    assert main(["data"]) == 2
    assert report(repository, "data")["reasons"] == ["data/contract.toml: rows: missing"]


def test_a_failed_training_removes_the_model_of_an_earlier_one(repository: Path) -> None:
    assert main(["train"]) == 0
    break_data(repository)
    assert main(["train"]) == 1
    assert not (repository / "reports" / "model").exists()
    assert report(repository, "gate")["verdict"] == "failed"


def test_a_card_without_its_owner_s_words_stops_the_training(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train"]) == 0
    card = customers.CARD.replace("limits", "limit")
    (repository / "model_card.toml").write_text(card, encoding="utf-8")
    assert main(["train"]) == 2
    assert "model_card.toml: limits: missing" in capsys.readouterr().err
    assert report(repository, "gate")["verdict"] == "failed"
    assert not (repository / "reports" / "model_card.md").exists()


# Models that a reviewer would reject: each fails, with the reason that the reviewer would give


def write_customers(
    repository: Path, change: Callable[[Row, int], None], count: int = 2000
) -> None:
    """Write customers after a change to each, and accept them as the reference."""
    rows = customers.make(count)
    for number, row in enumerate(rows):
        change(row, number)
    customers.write(repository / "data", rows)
    assert main(["reference"]) == 0


def test_a_model_of_shuffled_labels_fails(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    write_customers(repository, lambda row, _: row.update(left=rng.choice(["yes", "no"])))
    assert main(["train"]) == 1
    output = capsys.readouterr().err
    guessing = "the model is not significantly better than random guessing, 0.5: its roc_auc is 0."
    assert guessing in output
    assert "below the min of 0.7: the order matters" in output


def test_target_leakage_fails_and_the_column_is_named(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def bill(row: Row, number: int) -> None:
        row["monthly_spend"] = str(400 + number % 50 if row["left"] == "yes" else number % 200)

    ceiling = customers.QUALITY.replace("min = 0.7", "min = 0.7\nmax = 0.99")
    (repository / "quality.toml").write_text(ceiling, encoding="utf-8")
    write_customers(repository, bill)
    assert main(["train"]) == 1
    output = capsys.readouterr().err
    assert "above the max of 0.99: the order matters" in output
    assert "; the column monthly_spend alone reaches " in output


def test_a_constant_model_fails(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lazy(seed: int) -> BaseEstimator:
        return HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=10_000)

    monkeypatch.setitem(ESTIMATORS, "boosting", lazy)
    assert main(["train"]) == 1
    output = capsys.readouterr().err
    assert "the model predicts the same probability for every customer" in output


def test_a_model_that_is_useless_for_one_slice_fails_and_the_slice_is_named(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(2)

    def mix(row: Row, number: int) -> None:
        row["plan type"] = "basic" if number % 7 == 0 else "full"
        if row["plan type"] == "basic":
            row["left"] = str(rng.choice(["yes", "no"]))

    policy = customers.QUALITY.replace("max_below = 0.25", "max_below = 0.15")
    (repository / "quality.toml").write_text(policy, encoding="utf-8")
    write_customers(repository, mix, 5000)
    assert main(["train"]) == 1
    output = capsys.readouterr().err
    assert "in plan type = basic (0.5" in output
    assert len(report(repository, "gate")["reasons"]) == 1


def test_a_lower_true_positive_rate_for_one_protected_group_fails(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(4)

    def mix(row: Row, number: int) -> None:
        if row["plan type"] == "basic" and row["left"] == "yes" and number % 3:
            row["tenure_months"] = str(rng.integers(60))
            row["monthly_spend"] = str(rng.integers(200))

    policy = customers.QUALITY.replace("columns = []", 'columns = ["plan type"]')
    policy = policy.replace("max_gap = 0.2", "max_gap = 0.15")
    (repository / "quality.toml").write_text(policy, encoding="utf-8")
    write_customers(repository, mix)
    assert main(["train"]) == 1
    output = capsys.readouterr().err
    assert "for plan type = basic and" in output and ": each group is found alike" in output


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["promote"])
    assert ended.value.code == 2
