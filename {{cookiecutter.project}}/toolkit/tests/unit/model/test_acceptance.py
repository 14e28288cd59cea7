"""What `nox -s reference` accepts stands in the reference and in a report, for a reviewer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit.data import commands
from toolkit.data import contract as contracts
from toolkit.data.reference import contract_sha256
from toolkit.places import Places
from toolkit.tests import customers
from toolkit.tests.customers import CONTRACT, Row

Accept = Callable[[list[Row]], list[dict[str, Any]]]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(
        root=tmp_path,
        contract=tmp_path / "contract.toml",
        quality=tmp_path / "quality.toml",
        reports=tmp_path / "reports",
    )


@pytest.fixture
def accept(places: Places) -> Accept:
    """Return a function that accepts rows, and returns what the reference says of itself."""

    def accept(rows: list[Row]) -> list[dict[str, Any]]:
        customers.write(places.root, rows)
        assert commands.accept_reference(places)
        found = json.loads((places.root / "reference.json").read_bytes())["accepted"]
        assert isinstance(found, list)
        return found

    return accept


def older(rows: list[Row], years: int) -> list[Row]:
    for row in rows:
        if row["age"]:
            row["age"] = str(int(row["age"]) + years)
    return rows


def test_the_first_reference_says_so(accept: Accept) -> None:
    [entry] = accept(customers.make())
    assert entry["moved"] == ["the first reference: there was none to compare the table with"]
    assert entry["rows"] == 400


def test_a_reference_says_which_columns_have_moved_and_how_far(
    accept: Accept, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(customers.make(1000))
    _, entry = accept(older(customers.make(1000), 8))
    [moved] = entry["moved"]
    assert moved.startswith("fail: age: distribution drift: mean 61.")
    page = (places.reports / "reference.md").read_text(encoding="utf-8")
    assert f"\n- {moved.replace('<', '&lt;')}\n" in page
    assert "## All comparisons with the earlier reference" in page
    assert f"accepted: {moved}" in capsys.readouterr().err
    line = json.dumps(moved, ensure_ascii=False)
    assert f"\n        {line}\n" in (places.root / "reference.json").read_text(encoding="utf-8")


def test_accepting_the_same_table_again_hides_nothing(accept: Accept, places: Places) -> None:
    accept(customers.make(1000))
    moved = accept(older(customers.make(1000), 8))
    before = (places.root / "reference.json").read_bytes()
    assert accept(older(customers.make(1000), 8)) == moved
    assert (places.root / "reference.json").read_bytes() == before


def test_accepting_another_table_after_it_hides_nothing(accept: Accept) -> None:
    accept(customers.make(1000))
    earlier = accept(older(customers.make(1000), 8))
    again = accept(older(customers.make(999), 8))
    assert again[:2] == earlier
    assert again[2]["moved"] == ["no drift from the earlier reference, of 1000 rows"]


def test_a_new_column_does_not_stop_the_comparison_of_the_others(
    accept: Accept, places: Places
) -> None:
    accept(customers.make(1000))
    rows = older(customers.make(1000), 8)
    for number, row in enumerate(rows):
        row["calls"] = str(number % 7)
    customers.write(places.root, rows, [*customers.HEADER[:-1], "calls", "left"])
    column = '[[column]]\nname = "calls"\nrole = "feature"\ntype = "integer"\n\n'
    places.contract.write_text(
        CONTRACT.replace('[[column]]\nname = "left"', f'{column}[[column]]\nname = "left"'),
        encoding="utf-8",
    )
    assert commands.accept_reference(places)
    found = json.loads((places.root / "reference.json").read_bytes())["accepted"][-1]["moved"]
    assert found[0].startswith(
        "calls: a new column, of the type integer; alone ranks customers with a ROC AUC of 0.5"
    )
    assert found[1].startswith("fail: age: distribution drift: mean 61.")


def test_a_new_column_that_nearly_is_the_target_is_named(accept: Accept, places: Places) -> None:
    rows = customers.make(1000)
    for number, row in enumerate(rows):
        row["monthly_spend"] = str(int(row["left"] == "yes") * 100 + number % 104)
    [entry] = accept(rows)
    assert entry["moved"][1].startswith(
        "monthly_spend alone ranks customers with a ROC AUC of 0.99"
    )


def test_a_reference_that_was_edited_is_not_compared_with(accept: Accept, places: Places) -> None:
    accept(customers.make(1000))
    path = places.root / "reference.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"mean": 5', '"mean": 6', 1))
    moved = accept(customers.make(1000))[-1]["moved"]
    assert moved == [
        "not compared with the earlier reference, which cannot be trusted: its sha256 is not that "
        "of its content"
    ]


def test_a_reference_that_cannot_be_read_is_said_to_be_none(accept: Accept, places: Places) -> None:
    (places.root / "reference.json").write_text("{", encoding="utf-8")
    [entry] = accept(customers.make(1000))
    assert entry["moved"][0].startswith("not compared with the earlier reference: ")
    assert "Invalid JSON" in entry["moved"][0]


def test_the_digest_of_the_contract_is_that_of_its_columns_and_not_of_its_words(
    tmp_path: Path,
) -> None:
    path = customers.write(tmp_path, customers.make())
    before = contract_sha256(contracts.load(path))
    path.write_text(f"# Other words.\n{CONTRACT}", encoding="utf-8")
    assert contract_sha256(contracts.load(path)) == before
    path.write_text(CONTRACT.replace("max = 99", "max = 120"), encoding="utf-8")
    assert contract_sha256(contracts.load(path)) != before
