"""The report starts with the verdict and the failures, and folds away columns without findings."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

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
    """Return a function that checks rows against the reference of a valid table."""
    contract, table = customers.read(tmp_path, customers.make())
    made = references.make(table, datasets.from_table(table, contract), contract)
    contract.reference.write_bytes(references.to_json(made))

    def examine(rows: list[Row]) -> Examination:
        customers.write(tmp_path, rows)
        return examination.examine(contract, policy)

    return examine


def broken() -> list[Row]:
    """Return customers of whom one is 7 years old, and whose bills have all doubled."""
    rows = customers.make()
    for row in rows:
        row["monthly_spend"] = str(2 * float(row["monthly_spend"]))
    rows[7]["age"] = "7"
    return rows


def document(examined: Examination) -> dict[str, object]:
    """Return the report as JSON, as the command writes it."""
    facts = {"contract": "contract.toml", "file": "customers.csv", "created": "2026-11-24"}
    return {"contract_sha256": "c" * 64, **facts, **data_report.as_json(examined)}


def pages(examined: Examination) -> tuple[str, Page]:
    """Return the Markdown and the HTML report."""
    columns = data_report.columns_of(examined)
    markdown = data_report.to_markdown(document(examined), columns)
    return markdown, Page(data_report.to_html(document(examined), columns))


def test_the_report_of_a_valid_table_shows_every_column_and_folds_the_details_away(
    examine: Examine,
) -> None:
    markdown, page = pages(examine(customers.make()))
    assert markdown.startswith("# Data check: passed\n")
    assert "Data check: ✓ passed" in page.text
    for name in (*customers.HEADER, "predictions"):
        assert f"| {name} | " in markdown and name in page.text
    assert page.tags.count("svg") == 6
    above, _, folded = markdown.partition(
        "<details>\n<summary>7 columns without findings</summary>"
    )
    assert "| age |" not in above and "| age | ok | ok |" in folded
    assert page.details == [False] * 6


def test_the_report_of_a_broken_table_starts_with_the_failures(examine: Examine) -> None:
    markdown, page = pages(examine(broken()))
    assert markdown.startswith(
        "# Data check: failed\n\n- **fails**: age: range: 7; expected: 18 to 99"
    )
    assert (
        "- **fails**: monthly_spend: distribution drift: mean 197.2, reference 98.58; " in markdown
    )
    assert "| monthly_spend | ok | **fail** |" in markdown
    assert page.text.index("Failures") < page.text.index("Columns")
    assert "age: range: 7; expected: 18 to 99 (0.25%: 1 row, line 9)" in page.text


def test_columns_with_findings_come_first_and_open(examine: Examine) -> None:
    markdown, page = pages(examine(broken()))
    cards = page.text.partition("Distributions")[2]
    assert max(map(cards.index, ("age", "monthly_spend"))) < cards.index("plan type")
    assert page.details == [True] * 3 + [False] * 3
    above, _, folded = markdown.partition("<details>")
    for name in ("age", "monthly_spend", "predictions"):
        assert f"| {name} | " in above and f"| {name} | " not in folded
    assert "<summary>4 columns without findings</summary>" in folded


def test_a_column_with_a_finding_and_then_the_one_that_moved_furthest_come_first(
    examine: Examine,
) -> None:
    _, page = pages(examine(broken()))
    cards = page.text.partition("Distributions")[2]
    assert cards.index("age") < cards.index("monthly_spend") < cards.index("predictions")


def test_of_one_column_the_failing_comparisons_come_first(examine: Examine) -> None:
    columns = data_report.columns_of(examine(broken()))
    [spend] = [column for column in columns if column.name == "monthly_spend"]
    levels = [drift.level for drift in spend.drifts]
    assert "fail" in levels and "ok" in levels
    assert levels == sorted(levels, key=data_report.LEVELS.index)
    assert spend.drifts[0].level == "fail"


def test_a_finding_about_a_column_without_a_distribution_has_a_card(examine: Examine) -> None:
    rows = customers.make()
    rows[1]["name"] = rows[0]["name"]
    _, page = pages(examine(rows))
    cards = page.text.partition("Distributions")[2]
    assert "name: unique: customer 0; expected: no duplicates (0.25%: 1 row, line 3)" in cards
    assert page.details == [True] + [False] * 6


def test_a_comparison_of_a_column_without_a_distribution_has_a_card(examine: Examine) -> None:
    rows = customers.make()
    for row in rows[:30]:
        row["name"] = f"{row['name']} again"
    _, page = pages(examine(rows))
    cards = page.text.partition("Distributions")[2]
    assert "30 of 400 customers of the reference are there with the same features under" in cards
    assert page.details == [True] + [False] * 6


def test_the_report_names_the_bytes_that_were_checked(examine: Examine) -> None:
    examined = examine(customers.make())
    digest = hashlib.sha256(examined.contract.data.read_bytes()).hexdigest()
    assert document(examined)["data_sha256"] == digest
    assert digest in pages(examined)[1].text


def test_nulls_have_their_lines(examine: Examine) -> None:
    _, page = pages(examine(customers.make()))
    assert "2 rows, first lines 7, 207" in page.text


def test_a_table_too_small_for_drift_gets_a_warning(examine: Examine) -> None:
    examined = examine(customers.make(200))
    assert examined.failures == []
    assert examined.warnings == ["20 of 21 drift comparisons have too few rows"]
    markdown, page = pages(examined)
    assert "- warns: 20 of 21 drift comparisons" in markdown
    assert "Warnings" in page.text


def test_the_page_loads_nothing(examine: Examine) -> None:
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


def test_of_very_many_columns_those_with_findings_are_shown(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_report, "CARDS", 3)
    _, page = pages(examine(broken()))
    assert page.tags.count("svg") == 3 and page.details == [True] * 3
    assert "Columns with findings come first; 3 columns after the first 3" in page.text


def test_a_picture_names_its_column_and_its_axes(examine: Examine) -> None:
    age = next(
        one for one in data_report.columns_of(examine(customers.make())) if one.name == "age"
    )
    assert age.picture is not None
    words = [text.text for text in ElementTree.fromstring(age.picture).iter("text")]
    assert "age" in words and "share of rows" in words
