"""A server holds its bundle's smoke cases before it accepts a connection, or ends."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from toolkit.data import expectation as expectations
from toolkit.errors import ConfigurationError
from toolkit.model import predictor as predictors
from toolkit.model.predictor import SMOKE_FILE
from toolkit.serving import __main__ as serving
from toolkit.serving import logs
from toolkit.serving.api import create_app
from toolkit.serving.drain import Drain
from toolkit.serving.proof import prove


def proved(bundle: Path) -> None:
    predictor = predictors.load(bundle)
    expectation = expectations.load(bundle, predictor.contract)
    version = serving.identity(bundle, predictor)
    prove(bundle, create_app(predictor, expectation, version, Drain(), CollectorRegistry()))


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((bundle / SMOKE_FILE).read_bytes())
    change(document)
    (bundle / SMOKE_FILE).write_text(json.dumps(document), encoding="utf-8")


def test_the_gated_model_holds_its_cases_and_logs_none(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        proved(bundle)
    assert caplog.records == []
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda smoke: smoke["cases"][-1]["response"].update(churn_probability=2.0), "answers"),
        (lambda smoke: smoke["cases"][0]["response"].update(churn="maybe"), "answers smoke case 1"),
        (lambda smoke: smoke["cases"][0]["response"].update(surprise=1), "answers smoke case 1"),
        (lambda smoke: smoke["cases"][0]["response"].pop("churn"), "answers smoke case 1"),
        (lambda smoke: smoke["cases"][0]["request"].clear(), "with 422"),
        (lambda smoke: smoke.update(cases=[]), "has no case"),
        (lambda smoke: smoke.pop("tolerance"), "cannot be used: KeyError('tolerance')"),
    ],
)
def test_a_server_that_cannot_hold_its_cases_ends_before_it_accepts(
    bundle: Path,
    change: Callable[[dict[str, Any]], object],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "set_up", lambda: None)
    edit(bundle, change)
    with pytest.raises(ConfigurationError) as refusal:
        proved(bundle)
    assert says in str(refusal.value)
    assert serving.main(["--bundle", str(bundle), "--port", "0"]) == 2
    assert says in capsys.readouterr().err


def test_a_bundle_without_smoke_cases_serves_nothing(bundle: Path) -> None:
    (bundle / SMOKE_FILE).unlink()
    with pytest.raises(ConfigurationError, match="smoke.json is missing"):
        proved(bundle)
