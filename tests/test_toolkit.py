"""The toolkit in a repository: left alone it costs nothing, and what was changed is tested there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from living import Living, renew_checksums
from test_update import Source
from toolkit.checks import checksums

from demo.repository import TEMPLATE, Repository

ENVIRONMENT = TEMPLATE / ".nox" / "toolkit"
# A module, its tests, and a fault that no type and no style betrays.
MODULE = "toolkit/release/canary/exact_tests.py"
TESTS = "toolkit/tests/unit/release/test_exact_tests.py"
RIGHT, WRONG = "odds = p / (1 - p)", "odds = p / (2 - p)"


def test_checksums_are_those_of_the_toolkit() -> None:
    changed = [f"{change}: toolkit/{name}" for name, change in checksums.differences()]
    assert changed == [], "nox -s checksums writes them anew"


@pytest.fixture
def repository(
    living: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Repository]:
    """A repository whose toolkit's tests are few: those of the module that is changed."""
    repository = living.generate(tmp_path)
    if ENVIRONMENT.exists():
        (repository.folder / ".nox" / "toolkit").symlink_to(ENVIRONMENT)
    monkeypatch.setenv("PYTEST_ADDOPTS", TESTS)
    yield repository


def found(repository: Repository) -> dict[str, str]:
    """Return what the session has reported: each file, and how it differs."""
    document = json.loads((repository.folder / "reports" / "toolkit.json").read_bytes())
    assert document["verdict"] == ("changed" if document["findings"] else "passed")
    return {finding["path"]: finding["change"] for finding in document["findings"]}


def test_an_untouched_toolkit_is_not_tested_again(repository: Repository) -> None:
    done = repository.nox("-s", "toolkit")
    assert done.returncode == 0, done.stderr
    assert "every file is as toolkit/CHECKSUMS says, tested by the template" in done.stderr
    assert "toolkit_tests" not in done.stderr
    assert found(repository) == {}


def change(repository: Repository) -> dict[str, str]:
    """Change a file of the toolkit, add one, take one away; return how each is to be named."""
    module = repository.folder / MODULE
    module.write_bytes(module.read_bytes() + b"\n\n# Ours.\n")
    (repository.folder / "toolkit" / "ours.py").write_text('"""Ours."""\n', encoding="utf-8")
    (repository.folder / "toolkit" / "LICENSE").unlink()
    return {MODULE: "changed", "toolkit/ours.py": "new", "toolkit/LICENSE": "missing"}


def test_what_was_changed_is_named_and_checked_and_a_fault_there_is_found(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of the toolkit's tests take minutes: here those of the faulty module, in `full` all.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k test_exact_tests")
    named = change(repository)
    repository.replace(MODULE, RIGHT, WRONG)
    done = repository.nox("-s", "toolkit")
    assert done.returncode != 0
    assert found(repository) == named
    for name, how in named.items():
        assert f"{name}: {how}" in done.stderr
    for program in (
        "bin/flake8",
        "bin/ruff",
        "bin/lint-imports",
        "bin/mypy",
        "checks/run.py pytest",
    ):
        assert f"toolkit/{program} " in done.stderr, "it is checked as the template checks it"
    report = json.loads((repository.folder / "reports" / "toolkit_tests.json").read_bytes())
    assert report["verdict"] == "failed", done.stdout + done.stderr
    assert "test_exact_tests" in report["failed_tests"][0]["test"]


# It runs all of the toolkit's tests, two thousand changes of a ledger among them.
@pytest.mark.full
@pytest.mark.timeout(2700)
def test_a_change_that_passes_the_toolkit_s_checks_is_named_and_passes(
    repository: Repository,
) -> None:
    named = change(repository)
    done = repository.nox("-s", "toolkit")
    assert done.returncode == 0, done.stdout + done.stderr
    assert found(repository) == named
    results = (repository.folder / "reports" / "toolkit_tests.xml").read_text(encoding="utf-8")
    assert "test_a_trained_model_answers_over_http" not in results, "the owner's test ran too"


def test_a_change_whose_checksum_was_edited_along_is_named_against_the_template(
    living: Living, tmp_path: Path
) -> None:
    repository = Source.of_template(tmp_path).create(tmp_path / "made")
    living.lend_environments(repository)
    repository.replace(MODULE, RIGHT, WRONG)
    renew_checksums(repository)
    repository.commit("Believe us")
    unseen = repository.nox("-s", "toolkit")
    assert "every file is as toolkit/CHECKSUMS says" in unseen.stderr
    seen = repository.nox("-s", "template")
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert f"{MODULE}:1: own: changed here, not by the template" in seen.stdout
    report = (repository.folder / "reports" / "template.json").read_text(encoding="utf-8")
    assert MODULE in report


@pytest.mark.full
def test_the_toolkit_that_a_repository_does_not_search_again_holds_no_secret(
    living: Living,
) -> None:
    done = living.repository.nox("-s", "secrets", "--", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of toolkit/" not in done.stdout, "nothing was left out"
