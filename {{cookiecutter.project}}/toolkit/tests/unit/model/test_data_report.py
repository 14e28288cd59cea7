"""The report says the verdict first, then why, and shows every column now and in the reference."""

from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.data import dataset as datasets
from toolkit.data import examination
from toolkit.data import reference as references
from toolkit.data.examination import Examination
from toolkit.model.policy import Policy
from toolkit.reports import data_report
from toolkit.tests import customers
from toolkit.tests.customers import Row
from toolkit.tests.page import Page

Examine = Callable[[list[Row]], Examination]


@pytest.fixture
def examine(tmp_path: Path, policy: Policy) -> Examine:
    """Return a function that examines rows against the reference of sound ones."""
    contract, table = customers.read(tmp_path, customers.make())
    made = references.make(table, datasets.from_table(table, contract), contract)
    contract.reference.write_bytes(references.to_json(made))

    def examine(rows: list[Row]) -> Examination:
        customers.write(tmp_path, rows)
        return examination.examine(contract, policy.drift)

    return examine


def broken() -> list[Row]:
    """Return customers of whom one is a child, and who all pay twice as much."""
    rows = customers.make()
    for row in rows:
        row["monthly_spend"] = str(2 * float(row["monthly_spend"]))
    rows[7]["age"] = "7"
    return rows


def document(examined: Examination) -> dict[str, object]:
    """Return what the run would leave as JSON."""
    known = {"contract": "contract.toml", "file": "customers.csv", "created": "2026-11-24"}
    return {"contract_sha256": "c" * 64, "data_sha256": "d" * 64, **known} | data_report.as_json(
        examined
    )


def pages(examined: Examination) -> tuple[str, Page]:
    """Return the Markdown and the HTML of an examination."""
    columns = data_report.columns_of(examined)
    markdown = data_report.to_markdown(document(examined), columns)
    return markdown, Page(data_report.to_html(document(examined), columns))


def test_a_sound_table_passes_and_shows_every_column(examine: Examine) -> None:
    markdown, page = pages(examine(customers.make()))
    assert markdown.startswith("# Data check: passed\n")
    assert "Data check: ✓ passed" in page.text
    for name in (*customers.HEADER, "predictions"):
        assert f"| {name} | " in markdown and name in page.text
    assert page.tags.count("svg") == 6


def test_a_broken_table_fails_and_begins_with_the_reasons(examine: Examine) -> None:
    markdown, page = pages(examine(broken()))
    assert markdown.startswith(
        "# Data check: failed\n\n- **fails**: age: range: 7; allowed: 18 to 99"
    )
    assert "- **fails**: monthly_spend: drift of the distribution: mean 98.58 in the" in markdown
    assert "| monthly_spend | ok | **fail** |" in markdown
    assert page.text.index("What is wrong") < page.text.index("All columns")
    assert "age: range: 7; allowed: 18 to 99 (0.25%: 1 row, line 9)" in page.text


def test_the_columns_with_faults_are_shown_first(examine: Examine) -> None:
    _, page = pages(examine(broken()))
    cards = page.text.partition("Distributions")[2]
    assert max(map(cards.index, ("age", "monthly_spend"))) < cards.index("plan type")


def test_nulls_are_named_with_their_lines(examine: Examine) -> None:
    _, page = pages(examine(customers.make()))
    assert "2 rows, first lines 7, 207" in page.text


def test_a_small_table_says_that_it_is_too_small_to_tell(examine: Examine) -> None:
    examined = examine(customers.make(200))
    assert examined.failures == []
    assert examined.warnings == ["11 of 11 comparisons have too few rows to tell of drift"]
    markdown, page = pages(examined)
    assert "- warns: 11 of 11 comparisons" in markdown
    assert "Worth a look" in page.text


def test_the_page_needs_nothing_from_elsewhere(examine: Examine) -> None:
    _, page = pages(examine(broken()))
    assert page.addresses == []
    assert {"link", "script", "img", "iframe"}.isdisjoint(page.tags)


def test_no_value_of_the_table_becomes_markup(examine: Examine) -> None:
    rows = customers.make()
    rows[0]["plan type"] = "<script>alert(1)</script>"
    rows[1]["plan type"] = "a|b"
    markdown, page = pages(examine(rows))
    assert "<script>alert(1)</script>" in page.text and "script" not in page.tags
    assert "<script>" not in markdown


def test_a_page_of_very_many_columns_leaves_the_plain_ones_out(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_report, "PICTURES", 3)
    _, page = pages(examine(broken()))
    assert page.tags.count("svg") == 3
    assert "those in which something was found come first" in page.text
