"""A release scores customers from its own wheel, or says why it cannot."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.model.predictor import Predictor
from toolkit.serving import scoring

CUSTOMER = {"age": 40, "tenure_months": 3, "monthly_spend": 20.0, "plan type": "full"}


def test_predictions_are_in_the_order_of_the_customers(
    bundle: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "BATCH", 2)
    customers = [CUSTOMER | {"age": age} for age in (20, 30, 300, 40, 50)]
    scores = scoring.score(bundle, customers)
    expected = [one["churn_probability"] for one in predictor.answer(customers)]
    expected[2] = None
    assert scores["probabilities"] == expected
    assert scores["model_sha256"] == predictor.sha256


def run(
    bundle: Path,
    customers: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(customers)))
    code = scoring.main(["--bundle", str(bundle)])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_the_command_prints_one_document(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(bundle, [CUSTOMER], monkeypatch, capsys)
    assert code == 0
    assert len(json.loads(out)["probabilities"]) == 1


def test_a_missing_column_is_named(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(bundle, [{"age": 40}], monkeypatch, capsys)
    assert code == 2
    assert error == "it needs the column 'tenure_months', which the table does not have\n"
