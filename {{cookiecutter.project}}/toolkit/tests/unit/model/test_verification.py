"""What a training has reported is computed again, and nothing that was edited passes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit.__main__ import main
from toolkit.tests import customers, releases

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="session")
def trained_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository with the reports of a full training, which met a champion."""
    root = tmp_path_factory.mktemp("repository")
    with pytest.MonkeyPatch.context() as patch:
        (root / "data").mkdir()
        customers.write(root / "data", customers.make())
        for name in ("quality.toml", "model_card.toml"):
            (root / "data" / name).rename(root / name)
        (root / "requirements").mkdir()
        (root / "requirements" / "model.txt").write_text("numpy==2\n", encoding="utf-8")
        patch.chdir(root)
        assert main(["reference"]) == 0
        assert main(["train"]) == 0
        model = {one.name: one.read_bytes() for one in (root / "reports" / "model").iterdir()}
        stricter = customers.QUALITY.replace("min = 0.7", "min = 0.75")
        policies = {"quality.toml": stricter, "data/contract.toml": customers.CONTRACT}
        releases.write(root / "reports" / "champion", model, policies=policies)
        assert main(["train"]) == 0
    return root


@pytest.fixture
def repository(trained_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    root = tmp_path / "repository"
    shutil.copytree(trained_repository, root)
    monkeypatch.chdir(root)
    return root


def reasons(repository: Path) -> list[str]:
    """Verify, and return why it fails."""
    code = main(["verify"])
    answer = json.loads((repository / "reports" / "verified.json").read_bytes())
    assert (code, answer["verdict"]) == ((1, "failed") if answer["reasons"] else (0, "passed"))
    found: list[str] = answer["reasons"]
    return found


def edit(path: Path, change: Edit) -> None:
    """Change a report, as a person with an editor does."""
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def gate(repository: Path, change: Edit) -> None:
    edit(repository / "reports" / "gate.json", change)


def test_what_a_training_has_reported_passes(repository: Path) -> None:
    assert reasons(repository) == []
    answer = json.loads((repository / "reports" / "verified.json").read_bytes())
    assert set(answer["files"]) == {"model.onnx", "contract.toml", "smoke.json", "expectation.json"}


def test_a_failed_verdict_that_was_edited_to_passed_fails(repository: Path) -> None:
    quality = repository / "quality.toml"
    text = quality.read_text(encoding="utf-8")
    quality.write_text(text + '\n[[rule]]\nmetric = "recall"\nmin = 1.0\nreason = "all"\n')
    assert main(["train"]) == 1
    gate(repository, lambda document: document.update(verdict="passed", reasons=[]))
    found = reasons(repository)
    assert any(one.startswith("the gate fails: recall is") for one in found)
    assert "the evidence's verdict are not what its figures and quality.toml give" in found


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda one: one["metrics"]["roc_auc"].update(value=0.97), "metrics.roc_auc.value is 0.97"),
        (lambda one: one["metrics"]["brier"].update(high=0.0), "metrics.brier.high is 0"),
        (lambda one: one["metrics"]["train_test_gap"].update(value=0.0), "train_test_gap"),
        (lambda one: one["metrics"]["model_mb"].update(value=0.0), "metrics.model_mb.value"),
        (lambda one: one["metrics"].pop("brier"), "metrics is"),
        (lambda one: one["slices"].pop(), "slices is"),
        (lambda one: one["slices"][0].update(rows=1), "slices[0].rows is 1"),
        (lambda one: one.update(answers=7), "answers is 7"),
        (lambda one: one["curves"]["confusion"].update(true_positives=1), "true_positives is 1"),
        (lambda one: one["champion"]["comparisons"][0].update(champion=0.1), "champion is 0.1"),
        (lambda one: one["champion"].update(state="unscorable"), 'state is "unscorable"'),
    ],
)
def test_a_figure_that_was_edited_is_measured_again(
    repository: Path, change: Edit, named: str
) -> None:
    gate(repository, change)
    [found] = [one for one in reasons(repository) if "model and the table give" in one]
    assert found.startswith("reports/gate.json is not") and named in found


@pytest.mark.parametrize(
    ("path", "old", "new", "named"),
    [
        ("quality.toml", "seed = ", "# Looser.\nseed = ", "another quality.toml"),
        ("data/contract.toml", "rows = ", "# Looser.\nrows = ", "another data/contract.toml"),
        ("data/customers.csv", "\n", "\r\n", "another data/customers.csv"),
        ("requirements/model.txt", "numpy==2", "numpy==1", "another requirements/model.txt"),
    ],
)
def test_evidence_of_another_policy_contract_table_or_lock_fails(
    repository: Path, path: str, old: str, new: str, named: str
) -> None:
    file = repository / path
    content = file.read_bytes()
    assert old.encode() in content
    file.write_bytes(content.replace(old.encode(), new.encode()))
    assert any(f"the evidence is of {named}: it names" in one for one in reasons(repository))


POLICY_CHANGES = "the evidence's policy changes are not those between the champion and this commit"


def test_policy_changes_that_were_taken_out_are_compared_again(repository: Path) -> None:
    document = json.loads((repository / "reports" / "gate.json").read_bytes())
    [change] = document["policy_changes"]
    assert (change["key"], change["old"], change["new"]) == ("rule roc_auc.min", "0.75", "0.7")
    gate(repository, lambda document: document.update(policy_changes=[]))
    assert POLICY_CHANGES in reasons(repository)


def test_the_policies_of_a_champion_of_one_s_own_are_found_out(repository: Path) -> None:
    """The build verifies with the champion that the ledger has."""

    def as_lax(champion: dict[str, Any]) -> None:
        champion["policies"]["quality.toml"] = customers.QUALITY

    champion = repository / "reports" / "champion" / "champion.json"
    true = champion.read_bytes()
    edit(champion, as_lax)
    assert main(["train"]) == 0
    assert json.loads((repository / "reports" / "gate.json").read_bytes())["policy_changes"] == []
    champion.write_bytes(true)
    assert POLICY_CHANGES in reasons(repository)


@pytest.mark.parametrize("name", ["gate.html", "model_card.md"])
def test_a_page_that_tells_people_something_else_fails(repository: Path, name: str) -> None:
    page = repository / "reports" / name
    page.write_text(page.read_text(encoding="utf-8") + "All is well.\n", encoding="utf-8")
    assert reasons(repository) == [f"reports/{name} is not the page of this evidence"]


def test_a_model_that_answers_otherwise_than_its_smoke_cases_fails(repository: Path) -> None:
    def answer_more(smoke: dict[str, Any]) -> None:
        smoke["cases"][0]["response"]["churn_probability"] += 0.01

    edit(repository / "reports" / "model" / "smoke.json", answer_more)
    found = reasons(repository)
    assert found[0].startswith("the model does not predict what reports/model/smoke.json says: ")


@pytest.mark.parametrize(
    "change",
    [
        lambda smoke: smoke.update(cases=[]),
        lambda smoke: smoke.update(tolerance=1.0),
        lambda smoke: smoke.update(tolerance=-1.0),
    ],
)
def test_smoke_cases_that_prove_nothing_fail(repository: Path, change: Edit) -> None:
    edit(repository / "reports" / "model" / "smoke.json", change)
    assert any("smoke.json has no case, or a tolerance" in one for one in reasons(repository))


def test_an_expectation_that_was_edited_fails(repository: Path) -> None:
    def forget(document: dict[str, Any]) -> None:
        document["columns"]["age"]["nulls"] = 99

    edit(repository / "reports" / "model" / "expectation.json", forget)
    [found] = reasons(repository)
    assert "model/expectation.json is not what the model and the table give" in found


@pytest.mark.parametrize("name", ["model.onnx", "contract.toml", "smoke.json", "expectation.json"])
def test_a_file_of_the_model_that_is_missing_or_another_fails(repository: Path, name: str) -> None:
    file = repository / "reports" / "model" / name
    file.write_bytes(b"{}")
    assert reasons(repository)
    file.unlink()
    assert f"reports/model/{name} is missing" in reasons(repository)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"metrics": 7}', "\x00"])
def test_evidence_that_cannot_be_read_fails(repository: Path, content: str) -> None:
    (repository / "reports" / "gate.json").write_text(content, encoding="utf-8")
    assert reasons(repository)


def test_without_its_table_the_rest_is_still_computed_again(repository: Path) -> None:
    """A team keeps its table outside of git: an export of the commit is without it."""
    (repository / "data" / "customers.csv").unlink()
    assert reasons(repository) == []
    gate(repository, lambda document: document.update(verdict="failed"))
    assert "the evidence's verdict are not what" in reasons(repository)[0]
