"""Real input: another company's table, its contract and thresholds, and not one edit of code."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
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


@pytest.mark.skipif(not TABLE.exists(), reason="the Telco table is not beside this checkout")
def test_the_telco_table_takes_the_sample_s_place(living: Living, tmp_path: Path) -> None:
    repository = Repository.generate(tmp_path, doors=living.repository.doors)
    data = repository.folder / "data"
    shutil.copy(TABLE, data / "telco.csv")
    shutil.copy(TEMPLATE / "tests" / "telco" / "contract.toml", data)
    shutil.copy(TEMPLATE / "tests" / "telco" / "quality.toml", repository.folder)
    for name in ("sample.csv", "make_sample.py"):
        (data / name).unlink()
    repository.begin(tmp_path / "remote.git")
    checked = repository.nox()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    record = release(repository)
    try:
        repository.ask("promote", "--env", "staging", "--yes")
        status, answer = predict(repository, CUSTOMER)
        refused, reasons = predict(repository, CUSTOMER | {"Contract": "Ten years"})
    finally:
        repository.stop()
    assert status == 200
    assert 0.3 < answer["churn_probability"] < 0.95, "a new month-to-month customer may well leave"
    assert refused == 422
    assert [reason["field"] for reason in reasons["detail"]] == ["Contract"]
    assert record["data_sha256"]
