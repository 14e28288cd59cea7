"""Training and serving use one feature matrix, in which nulls are NaN."""

from pathlib import Path

import numpy as np
import pytest

from toolkit.data import contract as contracts
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.model.features import Features
from toolkit.tests.customers import CONTRACT

COLUMNS: dict[str, list[float | str | None]] = {
    "age": [40, None],
    "tenure_months": [0, 10],
    "monthly_spend": [30.0, 55.0],
    "plan type": ["full", None],
}
NAMES = (
    *("age", "tenure_months", "monthly_spend", "plan type=basic", "plan type=full"),
    *("is_new_customer", "spend_per_tenure_month"),
)


def test_the_matrix_has_named_columns(contract: Contract) -> None:
    assert Features(contract).names == NAMES


def test_numbers_are_kept_categories_are_one_hot_and_nulls_are_nan(contract: Contract) -> None:
    matrix = Features(contract).matrix(COLUMNS)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(
        matrix,
        [[40, 0, 30, 0, 1, 1, 30], [np.nan, 10, 55, np.nan, np.nan, 0, 5.5]],
    )


def test_the_first_month_divides_by_one(contract: Contract) -> None:
    matrix = Features(contract).matrix(COLUMNS)
    assert matrix[0, NAMES.index("spend_per_tenure_month")] == 30


def test_a_derived_feature_of_a_null_is_null(contract: Contract) -> None:
    matrix = Features(contract).matrix({**COLUMNS, "tenure_months": [None, None]})
    assert np.isnan(matrix[:, NAMES.index("is_new_customer") :]).all()


def test_a_derived_feature_without_its_inputs_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT.replace('"tenure_months"', '"months"'), encoding="utf-8")
    names = Features(contracts.load(path)).names
    assert "is_new_customer" not in names
    assert "spend_per_tenure_month" not in names


def test_a_customer_alone_has_the_same_features_as_in_a_table(
    contract: Contract, dataset: Dataset
) -> None:
    features = Features(contract)
    table = features.matrix(dataset.columns)
    for row in range(0, len(dataset), 50):
        customer = {name: [values[row]] for name, values in dataset.columns.items()}
        np.testing.assert_array_equal(features.matrix(customer)[0], table[row])


def test_an_unknown_category_is_an_error(contract: Contract) -> None:
    with pytest.raises(KeyError, match="gold"):
        Features(contract).matrix({**COLUMNS, "plan type": ["gold", "full"]})


@pytest.mark.parametrize("name", ["age", "tenure_months", "monthly_spend", "plan type"])
def test_customers_who_differ_in_one_column_have_its_features_altered(
    contract: Contract, dataset: Dataset, name: str
) -> None:
    features = Features(contract)
    matrix = features.matrix(dataset.columns)
    before = matrix.copy()
    columns = dataset.columns | {name: dataset.columns[name][::-1]}
    altered = features.altered(matrix, columns, name)
    np.testing.assert_array_equal(altered, features.matrix(columns))
    np.testing.assert_array_equal(matrix, before)
    changed = np.flatnonzero(~((altered == matrix) | (np.isnan(altered) & np.isnan(matrix))).all(0))
    assert features.places_of(name) == changed.tolist()
