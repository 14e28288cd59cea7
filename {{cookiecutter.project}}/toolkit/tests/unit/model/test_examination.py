"""What is unknown is told by the data check and again by a training; nobody chooses a holdout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import examination, table
from toolkit.data import reference as references
from toolkit.data.contract import Contract
from toolkit.data.examination import Examination
from toolkit.errors import ConfigurationError, DataError
from toolkit.model.policy import Policy
from toolkit.reports import data_report
from toolkit.tests import customers
from toolkit.tests.customers import CONTRACT, Row

ROWS = 2000

Examine = Callable[[list[Row]], Examination]


@pytest.fixture
def here(tmp_path: Path) -> Contract:
    """Return the contract of a table and of its reference."""
    contract, read = customers.read(tmp_path, customers.make(ROWS))
    made = references.make(read, datasets.from_table(read, contract), contract)
    contract.reference.write_bytes(references.to_json(made))
    return contract


@pytest.fixture
def examine(here: Contract, policy: Policy) -> Examine:
    """Return a function that checks rows against the reference."""

    def examine(rows: list[Row]) -> Examination:
        customers.write(here.path.parent, rows)
        return examination.examine(contracts.load(here.path), policy)

    return examine


def edit(here: Contract, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(here.reference.read_bytes())
    change(document)
    here.reference.write_text(json.dumps(document), encoding="utf-8")


def make_older(document: dict[str, Any]) -> None:
    """Take from a reference what its older schema did not have."""
    document["schema"] = 1
    for name in ("contract_sha256", "accepted", "sketch", "sha256"):
        del document[name]
    del document["profile"]["relation"]
    numbers = [*document["profile"]["numbers"].values(), document["profile"]["predictions"]]
    for one in numbers:
        for name in ("lowest", "highest", "far"):
            del one[name]


def test_the_accepted_table_has_neither_a_failure_nor_a_warning(examine: Examine) -> None:
    examined = examine(customers.make(ROWS))
    assert (examined.failures, examined.warnings) == ([], [])
    assert {("holdout", "churn rate"), ("holdout", "difficulty"), ("name", "ids")} <= {
        (one.column, one.aspect) for one in examined.drifts
    }


def test_the_table_of_a_reference_is_measured_with_it(here: Contract) -> None:
    read = table.read(here)
    customers_read = datasets.from_table(read, here)
    made = references.make(read, customers_read, here)
    known = examination.of_reference(made, read, customers_read, here)
    found = examination.inspect(here, references.load(here))
    assert known.profile == found.profile
    assert (known.findings, found.findings) == ((), ())
    np.testing.assert_array_equal(known.y_prob, found.y_prob)
    assert known.dataset is not None and found.dataset is not None
    np.testing.assert_array_equal(known.dataset.groups, found.dataset.groups)
    pd.testing.assert_frame_equal(known.table.values, found.table.values)


def test_a_reference_of_the_older_schema_is_read_and_what_it_does_not_know_is_told(
    here: Contract, examine: Examine, policy: Policy
) -> None:
    edit(here, make_older)
    examined = examine(customers.make(ROWS))
    sentence = (
        f"{here.reference} has the older schema 1: whether the relation to the target, the "
        "extremes or the ids have changed is unknown until nox -s reference"
    )
    assert (examined.failures, examined.warnings) == ([], [sentence])
    data = examination.load_training_data(here, policy)
    assert data.warnings == (sentence,)


def test_a_reference_of_five_rows_is_refused_in_data_and_in_train(
    here: Contract, policy: Policy
) -> None:
    rows = customers.make(ROWS)
    wanted = [row for row in rows if row["age"]][:40]
    path = customers.write(here.path.parent, wanted)
    path.write_text(CONTRACT.replace("min = 50", "min = 5"), encoding="utf-8")
    few = contracts.load(path)
    read = table.read(few)
    made = references.make(read, datasets.from_table(read, few), few)
    here.reference.write_bytes(references.to_json(made))
    customers.write(here.path.parent, rows)
    with pytest.raises(DataError) as refused:
        examination.load_training_data(here, policy)
    assert (
        "the reference is of 40 rows, and a comparison takes 300: nothing would be noticed"
        in str(refused.value)
    )


def test_a_reference_of_fewer_rows_than_a_table_must_have_fails(
    here: Contract, policy: Policy
) -> None:
    customers.write(here.path.parent, customers.make(2 * ROWS))
    text = CONTRACT.replace("min = 50", f"min = {ROWS + 1}")
    here.path.write_text(text, encoding="utf-8")
    [failure] = examination.examine(contracts.load(here.path), policy).failures
    assert failure == (
        f"the reference is of {ROWS} rows, and {here.path} allows no table of fewer than "
        f"{ROWS + 1} (rows.min): less would be noticed than in such a table; make it from a table "
        "that you trust: nox -s reference"
    )


def test_a_reference_that_was_edited_to_five_rows_is_refused(
    here: Contract, examine: Examine
) -> None:
    edit(here, lambda document: document["profile"].update(rows=5))
    with pytest.raises(ConfigurationError, match="it was edited by hand: the figures of 'age'"):
        examine(customers.make(ROWS))


def test_a_reference_whose_counts_are_not_those_of_its_table_fails(
    here: Contract, examine: Examine
) -> None:
    reference = references.load(here)
    age = reference.profile.numbers["age"]
    first, second, *others = age.counts
    age.__dict__["counts"] = (first + 1, second - 1, *others)
    here.reference.write_bytes(references.to_json(reference))
    [failure] = examine(customers.make(ROWS)).failures
    assert failure == (
        "the reference says that it was made of this very table, but its counts of 'age' are "
        "others: make it again: nox -s reference"
    )


def test_a_reference_that_was_made_under_other_columns_is_told(
    here: Contract, examine: Examine, policy: Policy
) -> None:
    customers.write(here.path.parent, customers.make(ROWS))
    here.path.write_text(CONTRACT.replace("max = 99", "max = 120"), encoding="utf-8")
    [warning] = examination.examine(contracts.load(here.path), policy).warnings
    assert "was made under other columns of" in warning and "nox -s reference" in warning


def leaking(rows: list[Row]) -> list[Row]:
    """Give those who churned the higher ages and spends, and raise all spends."""
    rng = np.random.default_rng(1)
    churned = np.array([row["left"] == "yes" for row in rows])
    score = 2.5 * churned + rng.normal(size=len(rows))
    for name in ("age", "monthly_spend"):
        values = sorted((row[name] for row in rows), key=lambda text: float(text or 0))
        for place, value in zip(np.argsort(score), values, strict=True):
            rows[place][name] = value
    for row in rows:
        row["monthly_spend"] = str(float(row["monthly_spend"]) + 10)
    return rows


def test_a_column_that_leaks_is_told_once_and_so_is_the_relation_to_the_target(
    here: Contract, examine: Examine, policy: Policy
) -> None:
    examined = examine(leaking(customers.make(ROWS)))
    failing = [one for one in examined.drifts if one.level == "fail"]
    assert len(failing) > 2 * len(examined.failures)
    age, spend, relation, predictions = examined.failures
    assert age.startswith("age: drift of what the column alone tells of the target: ")
    assert spend.startswith("monthly_spend: drift of what the column alone tells of the target: ")
    assert spend.endswith("; 1 further comparison of monthly_spend fails: distribution drift")
    assert ": drift of the relation to the target: " in relation
    assert "further comparisons of the relation to the target fail: " in relation
    assert predictions.startswith("predictions: distribution drift: ")
    with pytest.raises(DataError) as refused:
        examination.load_training_data(here, policy)
    assert str(refused.value).splitlines() == [
        f"{here.data}: {failure}" for failure in examined.failures
    ]


def test_the_report_keeps_every_comparison(examine: Examine) -> None:
    examined = examine(leaking(customers.make(ROWS)))
    document = data_report.as_json(examined)
    assert len(document["drifts"]) == len(examined.drifts) > 2 * len(examined.failures)
    columns = data_report.columns_of(examined)
    assert sum(len(column.drifts) for column in columns) == len(examined.drifts)


def renamed_into_the_holdout(rows: list[Row], count: int) -> list[Row]:
    """Give some customers who are trained on ids that are held out."""
    rest = [row for row in rows if datasets.position([row["name"]], "hold-out")[0] >= 0.25]
    for row in rest[:count]:
        names = (f"{row['name']} {number}" for number in range(100))
        row["name"] = next(
            name for name in names if datasets.position([name], "hold-out")[0] < 0.25
        )
    return rows


def test_ids_that_bring_unchanged_customers_into_the_holdout_are_counted(
    examine: Examine,
) -> None:
    examined = examine(renamed_into_the_holdout(customers.make(ROWS), 30))
    [failure] = examined.failures
    assert failure.startswith("name: other ids of unchanged customers: ")
    assert "under their own; 30 of them came into the holdout, 0 left it" in failure
    [told] = [fact for fact in data_report.facts_of(examined) if "under another id" in fact]
    assert told.endswith("30 of them under another id.")


def test_two_other_ids_are_told_and_do_not_fail(examine: Examine) -> None:
    examined = examine(renamed_into_the_holdout(customers.make(ROWS), 2))
    assert examined.failures == []
    [told] = [fact for fact in data_report.facts_of(examined) if "under another id" in fact]
    assert told.endswith("2 of them under another id.")


def test_other_customers_are_not_taken_for_the_same_under_other_ids(examine: Examine) -> None:
    rows = [row | {"name": f"other {row['name']}"} for row in customers.make(2 * ROWS)[ROWS:]]
    examined = examine(rows)
    assert examined.failures == []


def test_a_holdout_of_other_customers_than_the_rest_is_told(examine: Examine) -> None:
    rows = customers.make(ROWS)
    held_out = datasets.position([row["name"] for row in rows], "hold-out") < 0.25
    without_retained = [
        row for row, held in zip(rows, held_out, strict=True) if not held or row["left"] == "yes"
    ]
    rows = [*without_retained, *customers.make(2 * ROWS)[ROWS:]]
    failures = examine(rows).failures
    [told] = [one for one in failures if one.startswith("holdout: churn rate apart from the rest")]
    assert "68.4% churned, of the rest 51.7%" in told


def test_the_report_has_a_line_about_copies_and_one_about_the_holdout(examine: Examine) -> None:
    rows = customers.make(ROWS)
    rows += [row | {"name": f"{row['name']} again"} for row in rows[:20]]
    facts = data_report.facts_of(examine(rows))
    assert facts[0] == (
        "20 rows (0.99%) are the same as an earlier one but for the id; at most 5.00% are allowed. "
        "Rows with the same features stand on one side of every split."
    )
    assert " are held out (" in facts[1] and "ranked by the reference's model" in facts[1]
