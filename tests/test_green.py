"""A fresh repository is green before any edit, and stays clean."""

from __future__ import annotations

from pathlib import Path

import pytest
from advisories import advisories
from living import Living

from demo.repository import Repository

CHECKS = (
    *("lint", "types", "tests", "data", "features", "gate", "secrets", "pipelines", "toolkit"),
)
# What a check calls its report, where that is not the session's name.
REPORTS = {"gate": "quick-gate"}


def test_nox_is_green_in_a_fresh_repository_and_leaves_it_clean(living: Living) -> None:
    said = living.fresh["output"]
    assert living.fresh["returncode"] == 0, said
    for check in CHECKS:
        assert f"Session {check} was successful" in said
        name = REPORTS.get(check, check)
        assert {f"{name}.json", f"{name}.md"} <= set(living.fresh["reports"])
    assert "Session toolkit_tests" not in said, "the template tests the toolkit, not each owner"
    assert living.fresh["changed"] == ""


@pytest.mark.parametrize("platform", [pytest.param("docker", marks=pytest.mark.full), "kubernetes"])
def test_nothing_looks_like_a_secret_whatever_was_chosen(
    living: Living, tmp_path: Path, platform: str
) -> None:
    answers = {"platform": platform, "ci": "both", "license": "Proprietary", "python": "3.13"}
    repository = living.generate(tmp_path, **answers)
    repository.begin(tmp_path / "remote.git")
    done = repository.nox("-s", "secrets")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_audit_is_green_where_nothing_is_known(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    with advisories(monkeypatch):
        done = living.repository.nox("-s", "audit")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (living.repository.folder / "reports" / "audit.md").read_text(encoding="utf-8")
    assert page.startswith("# audit: passed\n\nNo finding.\n")


def test_dev_makes_a_virtual_environment_to_type_in(living: Living, tmp_path: Path) -> None:
    repository = Repository.generate(tmp_path, programs=living.repository.programs)
    done = repository.nox("-s", "dev")
    assert done.returncode == 0, done.stdout + done.stderr
    python = str(repository.folder / ".venv" / "bin" / "python")
    imported = repository.capture(python, "-c", "import churn_model, nox, invoke, mypy, pytest")
    assert imported.returncode == 0, imported.stderr
