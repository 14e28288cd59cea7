"""The sample of a generated repository: made by its generator, believable, without a leak."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "{{cookiecutter.project}}" / "data"


@pytest.fixture(scope="module")
def customers() -> list[dict[str, str]]:
    with (DATA / "sample.csv").open(encoding="ascii", newline="") as file:
        return list(csv.DictReader(file))


def test_the_generator_gives_the_same_bytes_again(tmp_path: Path) -> None:
    generator = tmp_path / "make_sample.py"
    generator.write_bytes((DATA / "make_sample.py").read_bytes())
    subprocess.run([sys.executable, str(generator)], check=True)
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
