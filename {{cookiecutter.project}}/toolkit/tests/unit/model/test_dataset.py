"""Splits depend on nothing but the customer's id."""

import numpy as np

from toolkit.data import dataset as datasets
from toolkit.data.dataset import Dataset


def test_empty_fields_are_nulls(dataset: Dataset) -> None:
    assert np.isnan(dataset.columns["age"]).sum() == 2
    assert dataset.columns["plan type"][0] in ("basic", "full")
    assert set(dataset.labels) == {0, 1}


def test_a_position_is_the_same_on_every_machine() -> None:
    assert datasets.position(["customer 1"], "hold-out")[0] == 0.9812139634151542


def test_a_customer_stays_in_the_holdout_while_others_come_and_go(dataset: Dataset) -> None:
    before = dict(zip(dataset.ids, datasets.is_held_out(dataset, 0.25), strict=True))
    fewer = dataset.select(np.arange(len(dataset))[::-3])
    after = dict(zip(fewer.ids, datasets.is_held_out(fewer, 0.25), strict=True))
    assert after.items() <= before.items()


def test_the_holdout_has_the_share_of_the_policy(dataset: Dataset) -> None:
    assert 0.2 < datasets.is_held_out(dataset, 0.25).mean() < 0.3


def test_folds_are_of_about_equal_size_and_independent_of_the_holdout(dataset: Dataset) -> None:
    counts = np.bincount(
        datasets.folds(dataset, 4)[datasets.is_held_out(dataset, 0.5)], minlength=4
    )
    assert counts.sum() > 150
    assert counts.min() > 25


def test_the_quick_gate_uses_the_same_customers_in_any_order(dataset: Dataset) -> None:
    reversed_rows = dataset.select(np.arange(len(dataset))[::-1])
    chosen = set(dataset.ids[datasets.quick_rows(dataset, 100)])
    assert chosen == set(reversed_rows.ids[datasets.quick_rows(reversed_rows, 100)])
    assert len(chosen) == 100


def test_the_quick_gate_uses_all_of_a_small_table(dataset: Dataset) -> None:
    assert len(datasets.quick_rows(dataset, 10_000)) == len(dataset)
