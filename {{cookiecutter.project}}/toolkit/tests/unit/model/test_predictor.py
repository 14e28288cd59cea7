"""A model predicts only under the contract that it was trained with."""

import hashlib
from pathlib import Path

import pytest

from toolkit.errors import ConfigurationError
from toolkit.model import predictor as predictors
from toolkit.model.predictor import Predictor
from toolkit.model.training import Trained

CUSTOMER = {"age": None, "tenure_months": 0, "monthly_spend": 199.0, "plan type": "full"}


def test_a_prediction_is_a_probability_and_a_decision(predictor: Predictor) -> None:
    risky, loyal = predictor.answer(
        [CUSTOMER, CUSTOMER | {"tenure_months": 59, "monthly_spend": 1.0}]
    )
    assert risky["churn_probability"] > 0.7 > 0.3 > loyal["churn_probability"] > 0
    assert risky["churn"] and not loyal["churn"]


def test_the_identity_of_a_model_is_the_sha256_of_its_bytes(bundle: Path, trained: Trained) -> None:
    assert predictors.load(bundle).sha256 == hashlib.sha256(trained.model).hexdigest()


def test_another_contract_is_refused(bundle: Path) -> None:
    contract = bundle / "contract.toml"
    contract.write_text(contract.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="its contract_sha256 is .*, the contract gives"):
        predictors.load(bundle)


def test_other_derived_features_are_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.tests.example.features.FEATURES", ())
    with pytest.raises(ConfigurationError, match="its feature_names is .*is_new_customer"):
        predictors.load(bundle)


def test_bytes_that_are_not_a_model_are_refused(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ConfigurationError, match="the model cannot be loaded: "):
        predictors.load(bundle)


def test_a_bundle_without_a_model_is_refused(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    with pytest.raises(ConfigurationError, match="model.onnx: No such file"):
        predictors.load(bundle)
