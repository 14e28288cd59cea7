"""The sample that a repository ships: the same bytes everywhere, and customers worth learning from."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from pathlib import Path

import pytest

GENERATOR = "data/make_sample.py"
SAMPLE = "data/sample.csv"


def supported_pythons() -> dict[str, str]:
    """Return the interpreters of this machine by version, those that the template supports.

    pyenv keeps its interpreters off the path, behind shims that may refuse to run.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for version in ("3.11", "3.12", "3.13"):
        on_path = shutil.which(f"python{version}")
        candidates = [*([on_path] if on_path else []), *pyenv.glob(f"{version}.*/bin/python")]
        for python in map(str, candidates):
            if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
                found[version] = python
                break
    return found


def test_the_generator_writes_the_same_bytes_on_every_python(baked: Path, tmp_path: Path) -> None:
    pythons = supported_pythons()
    if len(pythons) < 2:
        pytest.skip(f"only one supported Python on this machine: {list(pythons)}")
    shipped = (baked / SAMPLE).read_bytes()
    for version, python in pythons.items():
        folder = tmp_path / version / "data"
        folder.mkdir(parents=True)
        shutil.copy(baked / GENERATOR, folder)
        subprocess.run([python, str(folder / Path(GENERATOR).name)], check=True)
        assert (folder / Path(SAMPLE).name).read_bytes() == shipped, f"Python {version}"


@pytest.fixture(scope="module")
def customers(baked: Path) -> list[dict[str, str]]:
    with (baked / SAMPLE).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_header_is_as_promised(baked: Path) -> None:
    with (baked / SAMPLE).open(encoding="utf-8") as file:
        assert file.readline() == "customer_id,age,tenure_months,monthly_spend,churned\n"


def test_there_are_about_ten_thousand_customers(customers: list[dict[str, str]]) -> None:
    assert 9_000 <= len(customers) <= 11_000
    assert len({customer["customer_id"] for customer in customers}) == len(customers)


def test_a_quarter_of_them_leaves(customers: list[dict[str, str]]) -> None:
    assert {customer["churned"] for customer in customers} == {"0", "1"}
    leaving = sum(customer["churned"] == "1" for customer in customers)
    assert 0.25 <= leaving / len(customers) <= 0.30


def test_some_have_only_just_come(customers: list[dict[str, str]]) -> None:
    new = [customer for customer in customers if customer["tenure_months"] == "0"]
    assert 0.01 <= len(new) / len(customers) <= 0.15
    assert {customer["churned"] for customer in new} == {"0", "1"}


def test_no_single_field_gives_the_answer_away(customers: list[dict[str, str]]) -> None:
    """The best cut of any one field beats always saying "stays" by little."""
    majority = sum(customer["churned"] == "0" for customer in customers) / len(customers)
    for field in ("age", "tenure_months", "monthly_spend"):
        known = sorted(
            (float(each[field]), each["churned"] == "1") for each in customers if each[field]
        )
        leavers = sum(left for _, left in known)
        best, leavers_below = 0.0, 0
        for below, (_, left) in enumerate(known, start=1):
            leavers_below += left
            # Those below the cut stay and those above leave, or the other way round.
            right = (below - leavers_below) + (leavers - leavers_below)
            best = max(best, right / len(known), 1 - right / len(known))
        assert best < majority + 0.10, field
