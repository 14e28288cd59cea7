"""The champion is scored by its own code, as it serves; altered and missing files are named."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.errors import ConfigurationError
from toolkit.model import champion as champions
from toolkit.model import training
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.model.training import Trained
from toolkit.tests import customers, releases

Requests = list[dict[str, Any]]


@pytest.fixture(scope="module")
def requests(trained: Trained, contract: Contract) -> Requests:
    return training.as_requests(trained.holdout.customers, contract)


@pytest.fixture(scope="module")
def files(trained: Trained, contract: Contract) -> dict[str, bytes]:
    evidence = json.dumps({"rows": {"held_out": 123}})
    return {
        "model.onnx": trained.model,
        "contract.toml": contract.path.read_bytes(),
        "gate.json": evidence.encode(),
    }


@pytest.fixture
def folder(tmp_path: Path, files: dict[str, bytes]) -> Path:
    releases.write(tmp_path / "champion", files)
    return tmp_path / "champion"


def test_a_champion_predicts_what_it_serves(
    folder: Path, requests: Requests, predictor: Predictor, contract: Contract
) -> None:
    champion = champions.load(folder, requests)
    assert champion.state == champions.SCORED, champion.why
    expected = [one["churn_probability"] for one in predictor.answer(requests)]
    np.testing.assert_array_equal(champion.probabilities, expected)
    assert champion.threshold == predictor.threshold
    assert champion.model_sha256 == predictor.sha256
    assert champion.features == tuple((one.name, one.type) for one in contract.features)
    assert (champion.release, champion.environment) == ("c0ffeec0ffee-01234567", "prod")
    assert champion.rows == 123
    assert champion.age_days == pytest.approx(0, abs=0.01)


def test_its_age_is_the_time_since_it_was_fetched(
    tmp_path: Path, files: dict[str, bytes], requests: Requests
) -> None:
    releases.write(tmp_path / "old", files, fetched=timedelta(days=3))
    assert champions.load(tmp_path / "old", requests).age_days == pytest.approx(3, abs=0.01)


def test_without_a_folder_it_was_not_fetched(tmp_path: Path) -> None:
    champion = champions.load(tmp_path / "champion", [])
    assert champion.state == champions.NOT_FETCHED
    assert "invoke champion --env prod" in champion.why


def test_an_environment_that_serves_nothing_has_none_yet(tmp_path: Path) -> None:
    releases.write(tmp_path / "champion", {}, release=None)
    champion = champions.load(tmp_path / "champion", [])
    assert (champion.state, champion.why) == (champions.NONE_YET, "prod has served nothing yet")


def test_a_champion_with_other_features_is_scored_by_its_own_code(
    tmp_path: Path,
    dataset: Dataset,
    contract: Contract,
    policy: Policy,
    requests: Requests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("toolkit.tests.example.features.FEATURES", ())
        older = training.train(dataset, contract, policy.training)
        expected = [
            one["churn_probability"] for one in Predictor(contract, older.model).answer(requests)
        ]
    with pytest.raises(ConfigurationError, match="its feature_names is"):
        Predictor(contract, older.model)
    code = {"tests/example/features.py": ("FEATURES = (", "FEATURES = () and (")}
    files = {"model.onnx": older.model, "contract.toml": contract.path.read_bytes()}
    releases.write(tmp_path / "champion", files, package=releases.wheel(code))
    champion = champions.load(tmp_path / "champion", requests)
    assert champion.state == champions.SCORED, champion.why
    np.testing.assert_array_equal(champion.probabilities, expected)


def test_customers_whom_it_would_refuse_have_no_prediction(
    folder: Path, requests: Requests
) -> None:
    changed = [dict(request) for request in requests]
    changed[0]["plan type"] = "gold"
    changed[1]["age"] = 7
    changed[2]["tenure_months"] = None
    champion = champions.load(folder, changed)
    assert list(np.flatnonzero(~champion.is_scored)) == [0, 1, 2]
    labels = np.ones(len(changed), dtype=np.int64)
    assert len(champion.predictions(labels)) == len(changed) - 3


def test_it_is_not_given_columns_that_it_does_not_know(folder: Path, requests: Requests) -> None:
    wider = [request | {"region": "north"} for request in requests]
    assert champions.load(folder, wider).is_scored.all()


def test_integers_may_have_become_floats_since(folder: Path, requests: Requests) -> None:
    as_floats = [
        request | {"tenure_months": float(request["tenure_months"])} for request in requests
    ]
    assert champions.load(folder, as_floats).is_scored.all()


def test_a_champion_that_needs_a_removed_column_cannot_be_scored(
    folder: Path, requests: Requests
) -> None:
    narrower = [{"age": request["age"]} for request in requests]
    champion = champions.load(folder, narrower)
    assert champion.state == champions.UNSCORABLE
    assert champion.why == "it needs the column 'tenure_months', which the table does not have"
    assert champion.release == "c0ffeec0ffee-01234567"


def test_a_champion_that_no_longer_loads_cannot_be_scored(
    tmp_path: Path, files: dict[str, bytes], requests: Requests
) -> None:
    releases.write(tmp_path / "champion", files | {"model.onnx": b"of another runtime"})
    champion = champions.load(tmp_path / "champion", requests)
    assert champion.state == champions.UNSCORABLE
    assert "the model cannot be loaded" in champion.why


def test_a_champion_whose_code_breaks_cannot_be_scored(
    tmp_path: Path, files: dict[str, bytes], requests: Requests
) -> None:
    code = {"serving/scoring.py": ("import argparse", "import something_that_was_never_installed")}
    releases.write(tmp_path / "champion", files, package=releases.wheel(code))
    champion = champions.load(tmp_path / "champion", requests)
    assert champion.state == champions.UNSCORABLE
    assert "something_that_was_never_installed" in champion.why


def test_a_champion_with_too_few_predictions_cannot_be_scored(
    tmp_path: Path, files: dict[str, bytes], requests: Requests
) -> None:
    code = {"serving/scoring.py": ('"probabilities": probabilities', '"probabilities": [0.5]')}
    releases.write(tmp_path / "champion", files, package=releases.wheel(code))
    champion = champions.load(tmp_path / "champion", requests)
    assert champion.state == champions.UNSCORABLE
    assert "it gave (1,) predictions for" in champion.why


def test_a_champion_from_before_there_was_scoring_cannot_be_scored(
    tmp_path: Path, files: dict[str, bytes], requests: Requests
) -> None:
    releases.write(tmp_path / "champion", files, package=b"PK\x05\x06" + 18 * b"\x00")
    champion = champions.load(tmp_path / "champion", requests)
    assert champion.state == champions.UNSCORABLE
    assert champion.why == "its wheel has no scoring.py: it was built before there was one"


def test_policies_that_ask_for_less_than_at_its_commit_are_told(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    quality = tmp_path / "quality.toml"
    quality.write_text(customers.QUALITY, encoding="utf-8")
    stricter = customers.QUALITY.replace("min = 0.7", "min = 0.75")
    releases.write(tmp_path / "champion", files, policies={"quality.toml": stricter})
    assert champions.policy_changes(tmp_path / "champion", tmp_path) == [
        {
            **{"file": "quality.toml", "key": "rule roc_auc.min"},
            **{"old": "0.75", "new": "0.7", "laxer": True},
        }
    ]
    quality.write_text(stricter, encoding="utf-8")
    assert champions.policy_changes(tmp_path / "champion", tmp_path) == []


def test_without_a_champion_no_policy_has_changed(tmp_path: Path) -> None:
    (tmp_path / "quality.toml").write_text(customers.QUALITY, encoding="utf-8")
    assert champions.policy_changes(tmp_path / "champion", tmp_path) == []
    releases.write(tmp_path / "champion", {}, release=None)
    assert champions.policy_changes(tmp_path / "champion", tmp_path) == []


@pytest.mark.parametrize("policies", ["[7]", '{"quality.toml": 7}', "null"])
def test_policies_that_cannot_be_read_are_refused(
    folder: Path, tmp_path: Path, policies: str
) -> None:
    path = folder / "champion.json"
    text = path.read_text(encoding="utf-8")
    assert '"policies": {}' in text
    path.write_text(text.replace('"policies": {}', f'"policies": {policies}'), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(str(path))) as refused:
        champions.policy_changes(folder, tmp_path)
    assert "invoke champion" in refused.value.next_step


@pytest.mark.parametrize("name", ["model.onnx", "contract.toml", "gate.json"])
def test_a_file_that_was_altered_is_refused(folder: Path, requests: Requests, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes() + b" ")
    said = re.escape(f"{path}: it is not the file that was released")
    with pytest.raises(ConfigurationError, match=said) as refused:
        champions.load(folder, requests)
    assert "invoke champion" in refused.value.next_step


def test_a_file_that_is_missing_is_refused(folder: Path, requests: Requests) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(ConfigurationError, match="model.onnx: No such file"):
        champions.load(folder, requests)


def test_a_release_without_a_model_is_refused(tmp_path: Path, requests: Requests) -> None:
    releases.write(tmp_path / "champion", {"contract.toml": b""})
    with pytest.raises(ConfigurationError, match="model.onnx: the release has no model"):
        champions.load(tmp_path / "champion", requests)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"schema": 2', '"schema": 1', "schema is 1, and this code reads 2"),
        ('"release"', '"version"', "KeyError('release')"),
        ("{", "", "JSONDecodeError"),
    ],
)
def test_a_champion_file_that_cannot_be_read_is_refused(
    folder: Path, requests: Requests, old: str, new: str, message: str
) -> None:
    path = folder / "champion.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        champions.load(folder, requests)
