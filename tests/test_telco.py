"""Real input: another company's table is taken in by one command, and not one edit of code."""

from __future__ import annotations

import csv
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from living import Living, release

from demo.repository import TEMPLATE, Repository

TABLE = TEMPLATE.parent / "shared" / "data" / "telco_customer_churn.csv"
CUSTOMER = {
    "gender": "Female",
    "SeniorCitizen": 0,
    "Partner": "Yes",
    "Dependents": "No",
    "tenure": 1,
    "PhoneService": "No",
    "MultipleLines": "No phone service",
    "InternetService": "DSL",
    "OnlineSecurity": "No",
    "OnlineBackup": "Yes",
    "DeviceProtection": "No",
    "TechSupport": "No",
    "StreamingTV": "No",
    "StreamingMovies": "No",
    "Contract": "Month-to-month",
    "PaperlessBilling": "Yes",
    "PaymentMethod": "Electronic check",
    "MonthlyCharges": 29.85,
    "TotalCharges": 29.85,
}

Row = dict[str, str]

pytestmark = [
    # As tests/test_public_tables.py does: only where somebody has put the table there.
    pytest.mark.full,
    pytest.mark.skipif(not TABLE.exists(), reason="the Telco table is not beside this checkout"),
]


def adopt(repository: Repository) -> str:
    """Take the table in as a user would, and return what was said."""
    columns = ("--target", "Churn", "--id", "customerID")
    done = repository.nox("-s", "adopt", "--", str(TABLE), *columns)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def telco(living: Living, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Return a repository that has taken the table in, and committed that."""
    workspace = tmp_path_factory.mktemp("telco")
    repository = living.generate(workspace)
    repository.release_unscanned()
    adopt(repository)
    repository.begin(workspace / "remote.git")
    return repository


@pytest.fixture
def rows(telco: Repository) -> Iterator[list[Row]]:
    """Return the table's rows, and put the repository back after the test."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        yield list(csv.DictReader(file))
    telco.git("checkout", "--", ".")


def predict(repository: Repository, customer: dict[str, Any]) -> tuple[int, Any]:
    """Ask staging about a customer; return the status and the answer."""
    request = urllib.request.Request(
        f"http://{repository.address('staging')}/predict",
        json.dumps(customer).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_table_is_green_and_serves(telco: Repository) -> None:
    # The other checks look at no data.
    checked = telco.nox("-s", "tests", "data", "features", "gate")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    record = release(telco)
    try:
        telco.ask("promote", "--env", "staging", "--yes")
        status, answer = predict(telco, CUSTOMER)
        new, _ = predict(telco, CUSTOMER | {"tenure": 0, "TotalCharges": None})
        refused, reasons = predict(telco, CUSTOMER | {"Contract": "Ten years"})
    finally:
        telco.stop()
    assert (status, new) == (200, 200)
    assert 0.3 < answer["churn_probability"] < 0.95, "a new month-to-month customer may well leave"
    assert refused == 422
    assert [reason["field"] for reason in reasons["detail"]] == ["Contract"]
    assert record["data_sha256"]


def test_the_blank_charges_of_new_customers_are_seen_and_named(telco: Repository) -> None:
    summary = (telco.folder / "data" / "adoption.md").read_text(encoding="utf-8")
    lines = "11 rows, first lines 490, 755, 938, 1084, 1342"
    columns = summary.partition("\n## Columns\n")[2]
    [row] = [line for line in columns.splitlines() if line.startswith("| TotalCharges ")]
    assert f"0.16%: {lines}; exactly where tenure is 0" in row


def test_a_second_adoption_changes_nothing(telco: Repository) -> None:
    assert "is already adopted: nothing has changed" in adopt(telco)
    assert telco.git("status", "--porcelain") == ""


def shift_a_column(rows: list[Row]) -> None:
    for row in rows:
        row["MonthlyCharges"] = f"{float(row['MonthlyCharges']) + 7.5:.2f}"


def lose_two_percent(rows: list[Row]) -> None:
    for row in rows[::50]:
        row["MonthlyCharges"] = ""


def sell_an_unseen_contract(rows: list[Row]) -> None:
    rows[6]["Contract"] = "Three year"


def swap_the_values_of_two_columns(rows: list[Row]) -> None:
    for row in rows:
        row["Partner"], row["PaperlessBilling"] = row["PaperlessBilling"], row["Partner"]


@pytest.mark.full
@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (shift_a_column, ["MonthlyCharges: distribution drift: mean 72.26, reference 64.76"]),
        (lose_two_percent, ["MonthlyCharges: nulls: 2.00%; expected: at most 1.00%"]),
        (sell_an_unseen_contract, ["Contract: category: 1 rows (0.01%); expected: one of Month"]),
        (
            swap_the_values_of_two_columns,
            ["Partner: distribution drift", "PaperlessBilling: distribution drift"],
        ),
    ],
)
def test_a_fault_in_the_table_is_caught_with_its_name(
    telco: Repository,
    rows: list[Row],
    damage: Callable[[list[Row]], None],
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damage(rows)
    table = tmp_path / TABLE.name
    monkeypatch.setenv("CUSTOMERS", str(table))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    done = telco.nox("-s", "snapshot")
    assert done.returncode != 0
    for text in expected:
        assert text in done.stdout + done.stderr


def test_a_table_that_cannot_be_used_leaves_the_repository_as_it_was(
    living: Living, tmp_path: Path
) -> None:
    repository = living.generate(tmp_path)
    repository.begin(tmp_path / "remote.git")
    lines = TABLE.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "few.csv").write_text("".join(lines[:51]), encoding="utf-8")
    columns = ("--target", "Churn", "--id", "customerID")
    done = repository.nox("-s", "adopt", "--", str(tmp_path / "few.csv"), *columns)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "few.csv: 50 rows are too few: every metric would be mostly noise" in said
    assert repository.git("status", "--porcelain") == ""
