"""Rules that hold for the newest customers, of whom the model was trained on none."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.__main__ import main
from toolkit.data import dataset as datasets
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.errors import ConfigurationError, DataError
from toolkit.model import out_of_time, training, verification
from toolkit.model.policy import TIME, Policy, TrainingPolicy
from toolkit.places import Places
from toolkit.tests import customers, dated

DAYS = 80
LAST = dated.FIRST + timedelta(days=DAYS - 1)


@pytest.fixture
def by_time(policy: Policy) -> TrainingPolicy:
    return replace(policy.training, evaluate=TIME, window_days=20)


@pytest.fixture
def observed(dataset: Dataset) -> Dataset:
    """Return the customers, five of each day."""
    days = np.datetime64(dated.FIRST) + np.arange(len(dataset)) // 5
    return replace(dataset, observed=days)


def test_the_model_is_trained_on_nobody_of_the_holdout_and_of_the_window(
    observed: Dataset, contract: Contract, by_time: TrainingPolicy
) -> None:
    trained = training.train(observed, contract, by_time)
    window = np.arange(400) >= 300
    held_out = datasets.is_held_out(observed, by_time.holdout_share)
    assert trained.out_of_time is not None
    newest = trained.out_of_time.predictions
    assert (trained.out_of_time.first, trained.out_of_time.last) == (
        *(dated.FIRST + timedelta(days=60), LAST),
    )
    np.testing.assert_array_equal(newest.y_true, observed.labels[window])
    assert newest.metrics()["roc_auc"] > 0.7
    assert trained.holdout.rows == {
        **{"table": 400, "trained": int((~window & ~held_out).sum())},
        **{"held_out": int(held_out.sum()), "out_of_time": 100},
    }
    relabelled = np.where(window | held_out, 1 - observed.labels, observed.labels)
    again = training.train(replace(observed, labels=relabelled), contract, by_time)
    assert again.model == trained.model
    read = training.of_model(trained.model, observed, contract, by_time)
    assert read.out_of_time is not None
    np.testing.assert_array_equal(read.out_of_time.predictions.y_prob, newest.y_prob)


def test_the_quick_gate_predicts_the_window_by_a_model_of_the_days_before(
    observed: Dataset, contract: Contract, by_time: TrainingPolicy
) -> None:
    found = training.try_out_of_time(observed, contract, by_time, threshold=0.5)
    assert found is not None
    assert len(found.predictions) == 100
    window = np.arange(400) >= 300
    relabelled = replace(observed, labels=np.where(window, 1 - observed.labels, observed.labels))
    again = training.try_out_of_time(relabelled, contract, by_time, threshold=0.5)
    assert again is not None
    np.testing.assert_array_equal(again.predictions.y_prob, found.predictions.y_prob)


def test_where_rules_hold_for_the_hash_the_newest_customers_are_trained_on(
    observed: Dataset, contract: Contract, policy: Policy
) -> None:
    assert out_of_time.window(observed, policy.training) is None
    assert training.try_out_of_time(observed, contract, policy.training, 0.5) is None


def test_without_days_there_is_no_window(dataset: Dataset, by_time: TrainingPolicy) -> None:
    with pytest.raises(ConfigurationError) as refused:
        out_of_time.window(dataset, by_time)
    assert str(refused.value).startswith(
        "quality.toml: training.evaluate: is 'time', and it is not known when a customer was "
        "observed: data/source.toml has no [labels], or the table is in git"
    )
    assert 'write evaluate = "hash"' in refused.value.next_step


@pytest.mark.parametrize(
    ("days", "sentence", "step"),
    [
        (3, "observed from 2026-03-19 to 2026-03-21 ", "widen the window"),
        (79, "observed before 2026-01-02 ", "narrow the window"),
    ],
)
def test_a_window_of_too_few_customers_of_a_label_is_refused(
    observed: Dataset, by_time: TrainingPolicy, days: int, sentence: str, step: str
) -> None:
    with pytest.raises(DataError) as refused:
        out_of_time.window(observed, replace(by_time, window_days=days))
    assert sentence in str(refused.value)
    assert "and 30 of each are needed" in str(refused.value)
    assert refused.value.next_step.startswith(step)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = dated.make(tmp_path / "churn", 1500, DAYS)
    dated.enter(folder, monkeypatch)
    dated.take(LAST + timedelta(days=30))
    assert main(["reference"]) == 0
    quality = customers.QUALITY.replace("folds = 3", 'folds = 3\nevaluate = "time"')
    (folder / "quality.toml").write_text(quality, encoding="utf-8")
    (folder / "requirements").mkdir()
    (folder / "requirements" / "model.txt").touch()
    return folder


def evidence(repository: Path, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((repository / "reports" / name).read_bytes())
    return document


def test_the_rules_hold_for_the_window_and_report_and_card_say_so(repository: Path) -> None:
    assert main(["train"]) == 0
    document = evidence(repository, "gate.json")
    window = document["out_of_time"]
    assert (document["evaluate"], window["from"], window["to"]) == (
        *("time", "2026-02-20", date.isoformat(LAST)),
    )
    judged = {one["subject"]: one["value"] for one in document["rules"]}
    assert judged["out of time: brier"] == window["metrics"]["brier"]["value"]
    assert judged["latency_ms"] == document["metrics"]["latency_ms"]["value"]
    assert "brier" not in judged
    sentence = f"The rules hold for {window['rows']} customers observed from 2026-02-20 to "
    for page in ("gate.md", "gate.html", "model_card.md", "model_card.html"):
        text = (repository / "reports" / page).read_text(encoding="utf-8")
        assert sentence in text
        assert f"{window['metrics']['roc_auc']['value']:.4f}" in text
        assert f"{document['metrics']['roc_auc']['value']:.4f}" in text
    places = Places(*(Path(one) for one in (".", "data/contract.toml", "quality.toml", "reports")))
    assert list(verification.differences(places)) == []
    document["out_of_time"]["metrics"]["brier"]["value"] -= 0.01
    (repository / "reports" / "gate.json").write_text(json.dumps(document), encoding="utf-8")
    assert any("out_of_time.metrics.brier.value" in x for x in verification.differences(places))


def test_a_model_that_is_worse_on_the_newest_customers_fails(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody of the last month churns as those before did."""
    rows = customers.make(1500)
    for row in rows[950:]:
        row["left"] = "no" if row["left"] == "yes" else "yes"
    dated.write(repository, rows, DAYS)
    dated.take(LAST + timedelta(days=30))
    assert main(["reference"]) == 0
    assert main(["gate"]) == 1
    said = capsys.readouterr().err
    assert "out of time: roc_auc is 0." in said
    document = evidence(repository, "quick-gate.json")
    assert any(one.startswith("out of time: the model is not") for one in document["reasons"])
