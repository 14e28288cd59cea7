"""A table whose columns are as before and whose labels are not, or are leaked, is told apart."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from toolkit.data import dataset as datasets
from toolkit.data import drift, relation
from toolkit.data import reference as references
from toolkit.data.contract import Contract
from toolkit.data.effect import Drift
from toolkit.data.reference import Reference
from toolkit.model.comparison import placements, sd_of_mean_placement
from toolkit.model.policy import Policy
from toolkit.tests import customers
from toolkit.tests.customers import Row

ROWS = 4000

Compare = Callable[[list[Row]], list[Drift]]


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contract, Reference]:
    folder = tmp_path_factory.mktemp("reference")
    contract, table = customers.read(folder, customers.make(ROWS))
    return contract, references.make(table, datasets.from_table(table, contract), contract)


@pytest.fixture
def compare(tmp_path: Path, accepted: tuple[Contract, Reference], policy: Policy) -> Compare:
    """Return a function that compares rows with the reference, and returns what is not ok."""
    contract, reference = accepted

    def compare(rows: list[Row]) -> list[Drift]:
        _, table = customers.read(tmp_path, rows)
        profile = references.measure(table, contract, reference)
        drifts = drift.compare(profile, reference.profile, contract, policy.drift)
        return [one for one in drifts if one.level != "ok"]

    return compare


def turned(row: Row) -> None:
    row["left"] = "no" if row["left"] == "yes" else "yes"


def test_labels_that_are_swapped_in_pairs_are_seen_though_no_column_moves(
    compare: Compare,
) -> None:
    rows = customers.make(ROWS)
    for label in ("yes", "no"):
        for row in [row for row in rows if row["left"] == label][:120]:
            row["left"] = f"turned {row['left']}"
    for row in rows:
        if row["left"].startswith("turned "):
            row["left"] = row["left"].removeprefix("turned ")
            turned(row)
    drifts = compare(rows)
    assert ("predictions", "ranking") in [(one.column, one.aspect) for one in drifts]
    [told] = [one for one in drifts if (one.column, one.aspect) == ("predictions", "ranking")]
    assert str(told).startswith(
        "predictions: drift of the relation to the target: the ROC AUC of the reference's model "
        "for all customers is 0.8"
    )
    assert "(warns from 0.02, fails from 0.05), p = 1e-06" in str(told)
    assert not {"distribution", "nulls", "extremes"} & {one.aspect for one in drifts}


def test_labels_that_are_turned_over_for_the_old_are_seen_in_their_slice(compare: Compare) -> None:
    rows = customers.make(ROWS)
    for row in rows:
        if row["age"] and int(row["age"]) > 80 and row["left"] == "yes":
            turned(row)
    drifts = {(one.column, one.aspect): one for one in compare(rows)}
    told = drifts["age", "calibration"]
    assert told.level == "fail"
    assert str(told).startswith("age: drift of the relation to the target: of over 72 ")
    assert "churned and the reference's model expects" in told.moved


def test_a_column_that_leaks_the_target_is_seen_though_its_values_are_the_same(
    compare: Compare,
) -> None:
    rows = customers.make(ROWS)
    rng = np.random.default_rng(1)
    known = [row for row in rows if row["age"]]
    ages = sorted(int(row["age"]) for row in known)
    score = np.array([2.9 * (row["left"] == "yes") for row in known]) + rng.normal(size=len(known))
    for place, age in zip(np.argsort(score), ages, strict=True):
        known[place]["age"] = str(age)
    drifts = {(one.column, one.aspect): one for one in compare(rows)}
    told = drifts["age", "alone"]
    assert told.level == "fail"
    assert str(told).startswith(
        "age: drift of what the column alone tells of the target: the ROC AUC of the column alone "
        "is 0.97"
    ) or "column alone is 0.98" in str(told)
    assert ("age", "distribution") not in drifts


def test_customers_far_beyond_all_others_are_seen(compare: Compare) -> None:
    rows = customers.make(ROWS)
    for row in rows[:36]:
        row["monthly_spend"] = "100000"
    [told] = compare(rows)
    assert (told.level, told.column, told.aspect) == ("fail", "monthly_spend", "extremes")
    assert str(told).startswith(
        "monthly_spend: drift of the extremes: 36 values, reference 0, below -"
    )
    assert "to 100000, reference 0 to 199.9" in told.moved


def test_five_customers_far_beyond_all_others_are_no_drift(compare: Compare) -> None:
    rows = customers.make(ROWS)
    for row in rows[:3]:
        row["monthly_spend"] = "100000"
    assert compare(rows) == []


def test_other_customers_of_the_same_kind_have_the_same_relation(
    tmp_path: Path, accepted: tuple[Contract, Reference], policy: Policy
) -> None:
    contract, _ = accepted
    rng, rows = np.random.default_rng(2), customers.make(5000)
    for _ in range(10):
        drawn = [rows[place] for place in rng.permutation(len(rows))]
        _, table = customers.read(tmp_path, drawn[:2500])
        made = references.make(table, datasets.from_table(table, contract), contract)
        _, table = customers.read(tmp_path, drawn[2500:])
        profile = references.measure(table, contract, made)
        drifts = drift.compare(profile, made.profile, contract, policy.drift)
        assert [str(one) for one in drifts if one.level != "ok"] == []


def test_the_ranking_is_that_of_scikit_learn_and_of_delong() -> None:
    rng = np.random.default_rng(5)
    y_prob = np.round(rng.uniform(size=3000), 2)
    churned = rng.uniform(size=3000) < y_prob
    found = relation.rank_of(churned, y_prob, np.unique(y_prob).tolist())
    assert found is not None and found.rows == 3000
    assert found.auc == pytest.approx(roc_auc_score(churned, y_prob), abs=1e-6)
    sd = sd_of_mean_placement(*placements(churned, y_prob))
    assert found.sd == pytest.approx(sd, rel=1e-5)


def test_too_few_customers_have_no_ranking() -> None:
    y_prob = np.linspace(0, 1, 100)
    assert relation.rank_of(y_prob > 0.9, y_prob, [0.5]) is None


def test_the_slices_of_a_column_hold_all_customers(accepted: tuple[Contract, Reference]) -> None:
    found = accepted[1].profile.relation
    assert found is not None
    assert list(found.slices["plan type"]) == ["= basic", "= full"]
    assert list(found.slices["age"])[-1] == "is null"
    for slices in found.slices.values():
        assert sum(one.rows for one in slices.values()) == ROWS
        assert sum(one.churned for one in slices.values()) == found.all.churned
