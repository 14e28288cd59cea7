"""Slices hold the same customers every night: categories, bands, nulls, and new customers."""

import numpy as np
import pytest

from toolkit.data import reference as references
from toolkit.data import table
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.data.reference import Reference
from toolkit.model.slices import Slice, slices_of


@pytest.fixture(scope="module")
def reference(dataset: Dataset, contract: Contract) -> Reference:
    return references.make(table.read(contract), dataset, contract)


@pytest.fixture(scope="module")
def slices(dataset: Dataset, contract: Contract, reference: Reference) -> dict[str, Slice]:
    return {one.name: one for one in slices_of(dataset, contract, reference, bands=2)}


def test_every_feature_is_divided(slices: dict[str, Slice]) -> None:
    assert list(slices) == [
        *("age up to 52", "age over 52", "age is null"),
        *("tenure_months up to 27", "tenure_months over 27"),
        *("monthly_spend up to 99.1", "monthly_spend over 99.1"),
        *("plan type = basic", "plan type = full"),
        "is_new_customer",
    ]


def test_the_slices_of_a_feature_hold_each_customer_once(
    slices: dict[str, Slice], dataset: Dataset
) -> None:
    for feature in ("age", "tenure_months", "monthly_spend", "plan type"):
        parts = [one.rows for name, one in slices.items() if name.startswith(feature)]
        assert (np.sum(parts, axis=0) == 1).all()


def test_new_customers_are_a_slice(slices: dict[str, Slice], dataset: Dataset) -> None:
    new = dataset.columns["tenure_months"] == 0
    assert new.any()
    np.testing.assert_array_equal(slices["is_new_customer"].rows, new)


def test_the_bands_do_not_move_with_the_customers(
    dataset: Dataset, contract: Contract, reference: Reference, slices: dict[str, Slice]
) -> None:
    fewer = dataset.select(np.arange(0, len(dataset), 3))
    names = [one.name for one in slices_of(fewer, contract, reference, bands=2)]
    assert set(names) <= set(slices)
