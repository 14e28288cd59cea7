"""The sample of a generated repository: made by its generator, believable, without a leak."""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from living import Living

from demo.repository import TEMPLATE

DATA = TEMPLATE / "{{cookiecutter.project}}" / "data"
QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def customers() -> list[dict[str, str]]:
    with (DATA / "sample.csv").open(encoding="ascii", newline="") as file:
        return list(csv.DictReader(file))


def python(version: str) -> str | None:
    """Return an interpreter of this machine that runs as this version, or None.

    pyenv keeps its interpreters off the path, behind shims that may refuse to run.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python")]
    for candidate in (str(candidate) for candidate in candidates if candidate):
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


@pytest.mark.parametrize("version", QUESTIONS["python"])
def test_the_generator_gives_the_same_bytes_on_every_python(tmp_path: Path, version: str) -> None:
    interpreter = python(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} on this machine")
    generator = tmp_path / "make_sample.py"
    generator.write_bytes((DATA / "make_sample.py").read_bytes())
    subprocess.run([interpreter, str(generator)], check=True)
    assert (tmp_path / "sample.csv").read_bytes() == (DATA / "sample.csv").read_bytes()


def test_the_header_is_the_one_that_everybody_relies_on() -> None:
    first = (DATA / "sample.csv").read_bytes().partition(b"\n")[0]
    assert first == b"customer_id,age,tenure_months,monthly_spend,churned"


def test_a_quarter_to_three_tenths_leave(customers: list[dict[str, str]]) -> None:
    assert len(customers) == 10_000
    assert 0.25 <= sum(row["churned"] == "1" for row in customers) / len(customers) <= 0.30


def test_there_are_customers_of_this_month(customers: list[dict[str, str]]) -> None:
    assert 300 < sum(row["tenure_months"] == "0" for row in customers) < 700


@pytest.mark.parametrize("column", ["age", "tenure_months", "monthly_spend"])
def test_no_column_alone_tells_who_leaves(customers: list[dict[str, str]], column: str) -> None:
    known = sorted((float(row[column]), row["churned"]) for row in customers if row[column])
    left = sum(churned == "1" for _, churned in known)
    # The best cut of one column, whichever side leaves: no better than 0.85 of all.
    best = max(left, len(known) - left)
    correct = len(known) - left
    for _, churned in known:
        correct += 1 if churned == "1" else -1
        best = max(best, correct, len(known) - correct)
    assert best / len(known) < 0.85


def test_the_reference_is_that_of_the_sample(living: Living) -> None:
    made = living.repository.nox("-s", "reference")
    assert made.returncode == 0, made.stderr
    path = living.repository.folder / "data" / "reference.json"
    found, kept = json.loads(path.read_bytes()), json.loads((DATA / "reference.json").read_bytes())
    living.repository.git("checkout", "--", "data")
    for part in ("numbers", "categories"):
        assert found["profile"][part] == kept["profile"][part]
    assert found.keys() == kept.keys()
    # Where these differ, the first data check of every new repository begins with a warning.
    assert found["data_sha256"] == kept["data_sha256"]
    assert found["contract_sha256"] == kept["contract_sha256"]
    # Other processors round the last digit of a weight otherwise.
    assert found["model"]["weights"] == pytest.approx(kept["model"]["weights"], rel=1e-3)
