"""A gate's report begins with the verdict, and shows candidate and champion side by side."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from toolkit.__main__ import main
from toolkit.errors import ConfigurationError
from toolkit.reports import gate_report, model_card
from toolkit.tests import customers, releases
from toolkit.tests.page import Page

Document = dict[str, Any]
# The champion's policy: one value is laxer now, another is stricter.
STRICTER = customers.QUALITY.replace("max_refused = 0.05", "max_refused = 0.01").replace(
    "max = 0.2\n", "max = 0.3\n"
)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the reports of a training that was compared with itself, fetched long ago."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "data").mkdir()
    customers.write(folder / "data", customers.make(1500))
    for name in ("quality.toml", "model_card.toml"):
        (folder / "data" / name).rename(folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["reference"]) == 0
        assert main(["train"]) == 0
        files = {path.name: path.read_bytes() for path in Path("reports/model").iterdir()}
        policies = {"quality.toml": STRICTER, "data/contract.toml": customers.CONTRACT}
        releases.write(
            Path("reports/champion"), files, fetched=timedelta(days=3), policies=policies
        )
        assert main(["train"]) == 1
    return folder / "reports"


@pytest.fixture
def document(reports: Path) -> Document:
    loaded: Document = json.loads((reports / "gate.json").read_bytes())
    return loaded


def test_policy_changes_come_before_the_figures_with_both_values(
    reports: Path, document: Document
) -> None:
    assert [one["key"] for one in document["policy_changes"]] == [
        "champion.max_refused",
        "rule brier.max",
    ]
    markdown = (reports / "gate.md").read_text(encoding="utf-8")
    assert (
        "## Policy changes\n\nWhat decides here, held against release c0ffeec0ffee-01234567: "
        "2 changed, 1 of them laxer.\n" in markdown
    )
    assert "| quality.toml | champion.max_refused | 0.01 | 0.05 | laxer |\n" in markdown
    assert "| quality.toml | rule brier.max | 0.3 | 0.2 |  |\n" in markdown
    text = Page((reports / "gate.html").read_text(encoding="utf-8")).text
    assert text.index("Policy changes") < text.index("Metrics")
    assert re.search(r"champion\.max_refused\s*0\.01\s*0\.05\s*▲ laxer", text)


def test_without_policy_changes_there_is_no_section(document: Document) -> None:
    unchanged = document | {"policy_changes": []}
    assert "Policy changes" not in gate_report.to_markdown(unchanged)
    assert "Policy changes" not in gate_report.to_html(unchanged)


def test_of_many_policy_changes_the_first_are_shown_and_all_are_counted(
    document: Document,
) -> None:
    [laxer, *_] = document["policy_changes"]
    many = document | {"policy_changes": 100 * [laxer]}
    page = gate_report.to_markdown(many)
    assert "100 changed, 100 of them laxer. The first 60 are shown.\n" in page
    assert page.count("| champion.max_refused |") == 60
    assert gate_report.laxer_sentences(many)[0] == (
        "policy change: quality.toml: champion.max_refused 0.01 -> 0.05, laxer"
    )


STALE = "the champion c0ffeec0ffee-01234567 was fetched 3.0 days ago, and prod may serve another"


def test_the_markdown_begins_with_the_verdict_and_the_reasons(reports: Path) -> None:
    page = (reports / "gate.md").read_text(encoding="utf-8")
    assert page.startswith(f"# Quality gate (full training): failed\n\n- **fails**: {STALE}")
    assert "| champion: age | fetched at most 1 days ago | **fail** |" in page


def test_candidate_and_champion_stand_side_by_side(document: Document) -> None:
    [auc] = [row for row in gate_report.metric_rows(document) if row["name"] == "roc_auc"]
    assert auc["value"] == auc["champion"] != ""
    assert auc["difference"] == "equal ± 0.0000"
    assert auc["rules"] == "significantly better than random guessing; at least 0.7"
    assert auc["level"] == "ok"


def test_the_page_shows_curves_of_both_and_every_slice(reports: Path, document: Document) -> None:
    page = Page((reports / "gate.html").read_text(encoding="utf-8"))
    assert "Quality gate: ✗ failed" in page.text
    assert page.text.index("Failures") < page.text.index("Metrics")
    assert page.tags.count("svg") == 6
    assert page.classes.count("then") >= 4
    large = [one for one in document["slices"] if one["metrics"]]
    assert len(large) >= 6
    for one in large:
        assert f"{one['name']} ({one['rows']})" in page.text


def test_the_page_draws_the_permutation_importance_of_every_input_feature(
    reports: Path, document: Document
) -> None:
    measured = document["permutation_importance"]
    assert [one["decrease"] for one in measured["features"]] == sorted(
        (one["decrease"] for one in measured["features"]), reverse=True
    )
    picture = gate_report.importance_picture(document)
    assert picture is not None and "decrease in ROC AUC" in picture
    for name in ("gate.html", "model_card.html"):
        text = Page((reports / name).read_text(encoding="utf-8")).text
        assert f"mean of 5 shuffles, on {measured['rows']} held-out customers." in text
        for feature in ("age", "tenure_months", "monthly_spend", "plan type"):
            assert feature in text


def test_of_many_input_features_the_20_most_important_are_shown(document: Document) -> None:
    many = [
        {"feature": f"feature {n}", "decrease": 0.1 - n / 1000, "low": 0.0, "high": 0.1}
        for n in range(30)
    ]
    measured = {"rows": 2000, "repeats": 5, "features": many}
    wide = document | {"permutation_importance": measured, "training": "quick"}
    page = Page(gate_report.to_html(wide)).text
    assert "feature 19" in page and "feature 20" not in page
    assert (
        "each predicted by a model that was trained on the other folds. The 20 highest of" in page
    )


def test_the_page_loads_nothing_else(reports: Path) -> None:
    for name in ("gate.html", "model_card.html"):
        page = Page((reports / name).read_text(encoding="utf-8"))
        assert page.addresses == []
        assert {"link", "script", "img", "iframe"}.isdisjoint(page.tags)


@pytest.mark.parametrize(
    ("champion", "sentence"),
    [
        (None, "Not compared with a champion."),
        ({"state": "none yet", "why": "prod has served nothing yet"}, "There is no champion yet: "),
        ({"state": "not fetched", "why": "no folder"}, "Not compared with a champion: no folder."),
        (
            {"state": "unscorable", "release": "c0ffee", "why": "it is old"},
            "The champion c0ffee could not be scored: it is old.",
        ),
    ],
)
def test_every_state_of_a_champion_is_reported(
    document: Document, champion: object, sentence: str
) -> None:
    without = document | {"champion": champion}
    assert gate_report.champion_sentence(without).startswith(sentence)
    assert sentence in Page(gate_report.to_html(without)).text
    assert sentence in gate_report.to_markdown(without)


def test_a_run_without_measurements_has_a_page_too(document: Document) -> None:
    nothing: Document = {"metrics": {}, "rules": [], "slices": [], "fairness": [], "curves": {}}
    broken = (
        document
        | nothing
        | {"champion": None, "permutation_importance": None, "reasons": ["data.csv: <b>gone</b>"]}
    )
    page = Page(gate_report.to_html(broken))
    assert "data.csv: <b>gone</b>" in page.text and "b" not in page.tags
    assert "- **fails**: data.csv: &lt;b>gone&lt;/b>" in gate_report.to_markdown(broken)


def test_groups_are_shown_where_columns_are_protected(document: Document) -> None:
    gap = {
        **{"column": "plan type", "metric": "recall", "gap": 0.12, "p_value": 0.01},
        "shares": {"basic": 0.5, "full": 0.62},
    }
    page = Page(gate_report.to_html(document | {"fairness": [gap]}))
    assert "Fairness" in page.text and "basic 0.500" in page.text and "0.120" in page.text


# The card


def test_the_card_has_the_sections_of_the_hub_and_the_owner_s_words(reports: Path) -> None:
    card = (reports / "model_card.md").read_text(encoding="utf-8")
    front, _, text = card.removeprefix("---\n").partition("---\n")
    assert 'license: "mit"\n' in front and '"type": "tabular-classification"' in front
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        *("# leavers", "## Model description", "## Intended use", "## Training data"),
        *(
            "## Evaluation",
            "## Input features",
            "## Weakest slices",
            "## Limits",
            "## How to reproduce",
        ),
    ]
    for words in ("Predicts churn.", "Calling people.", "Punishing people.", "It is small."):
        assert words in text


def test_every_figure_of_the_card_is_the_evidence_s(reports: Path, document: Document) -> None:
    card = (reports / "model_card.md").read_text(encoding="utf-8")
    for row, estimate in zip(
        gate_report.metric_rows(document), document["metrics"].values(), strict=True
    ):
        name = gate_report.name_and_unit(row)
        assert f"| {name} | {estimate['value']:.4f} |" in card
    for key in ("model_sha256", "data_sha256", "contract_sha256"):
        assert document[key] in card
    assert f"{document['rows']['held_out']} others were held out" in card
    assert "Compared with release c0ffeec0ffee-01234567, served by prod since" in card
    worst = min(
        (one for one in document["slices"] if one["metrics"]),
        key=lambda one: one["metrics"]["roc_auc"]["value"],
    )
    table = card.partition("lowest ROC AUC:")[2].splitlines()
    assert table[4].startswith(f"| {worst['name']} | {worst['rows']} | {worst['churned']} |")


def test_the_card_names_the_slices_that_are_too_small(document: Document) -> None:
    small = {"name": "is_new_customer", "rows": 9, "churned": 2, "metrics": None}
    words = model_card.Words(*9 * ("x",))
    card = model_card.to_markdown(words, document | {"slices": [small]})
    assert "Too small to evaluate: is_new_customer." in card


def test_the_card_has_the_permutation_importance_with_its_intervals(
    reports: Path, document: Document
) -> None:
    card = (reports / "model_card.md").read_text(encoding="utf-8")
    for one in document["permutation_importance"]["features"]:
        figures = f"{one['decrease']:.4f} | {one['low']:.4f} to {one['high']:.4f}"
        assert f"| {one['feature']} | {figures} |" in card


def test_the_card_is_the_same_twice(document: Document) -> None:
    words = model_card.Words(*9 * ("x",))
    later = document | {"created": "2027-01-01", "seconds": 99.0}
    assert model_card.to_markdown(words, document) == model_card.to_markdown(words, later)


def test_no_word_of_the_owner_becomes_markup(document: Document) -> None:
    words = model_card.Words(*9 * ("<script>alert(1)</script>",))
    page = Page(model_card.to_html(words, document))
    assert "script" not in page.tags and "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("limits", "limit", "limits: missing"),
        ('name = "leavers"', "name = 1", "name: must be a string, not 1"),
        ("schema = 1", "schema = 1\nauthor = 'me'", "author: unknown key"),
    ],
)
def test_a_mistake_in_the_owner_s_words_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "model_card.toml"
    path.write_text(customers.CARD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        model_card.load(path)
