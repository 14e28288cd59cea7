"""The model in the reference is small, and predicts whatever a table holds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toolkit.data import dataset as datasets
from toolkit.data import reference as references
from toolkit.data import reference_model as models
from toolkit.data.contract import Contract
from toolkit.data.reference_model import ReferenceModel
from toolkit.data.table import Table
from toolkit.tests import customers


@pytest.fixture
def read(tmp_path: Path) -> tuple[Contract, Table]:
    return customers.read(tmp_path, customers.make())


@pytest.fixture
def model(read: tuple[Contract, Table]) -> ReferenceModel:
    contract, table = read
    return references.make(table, datasets.from_table(table, contract), contract).model


def test_it_separates_churned_from_retained_customers(
    read: tuple[Contract, Table], model: ReferenceModel
) -> None:
    contract, table = read
    y_prob = models.predict(table, contract, model)
    churned = (table.values["left"] == "yes").to_numpy()
    assert y_prob[churned].mean() - y_prob[~churned].mean() > 0.2
    assert y_prob.mean() == pytest.approx(churned.mean(), abs=0.01)


def test_it_imputes_nulls_with_the_mean(model: ReferenceModel) -> None:
    average = np.array([model.means], dtype=np.float32)
    nulls = np.full_like(average, np.nan)
    np.testing.assert_allclose(model.predict(nulls), model.predict(average), rtol=1e-5)


def test_an_unknown_category_is_predicted_as_a_null(
    read: tuple[Contract, Table], model: ReferenceModel
) -> None:
    contract, table = read
    table.values[["age", "tenure_months", "monthly_spend"]] = 20.0
    table.values["plan type"] = pd.Series(["gold", None, *["full"] * 398], dtype="str")
    first, second, *_ = models.predict(table, contract, model)
    assert first == second


def test_predictions_do_not_depend_on_the_chunk_size(
    read: tuple[Contract, Table], model: ReferenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, table = read
    whole = models.predict(table, contract, model)
    monkeypatch.setattr(models, "CHUNK_ROWS", 130)
    parts = models.predict(table, contract, model)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
