"""A fresh repository is green before any edit, and stays clean."""

from __future__ import annotations

from pathlib import Path

import pytest
from advisories import advisories
from living import Living

from demo.repository import Repository

DEFAULT_SESSIONS = ("lint", "types", "tests", "data", "features", "gate", "secrets")


def test_nox_is_green_in_a_fresh_repository_and_leaves_it_clean(
    living: Living, tmp_path: Path
) -> None:
    repository = Repository.generate(tmp_path, programs=living.repository.programs)
    repository.begin(tmp_path / "remote.git")
    done = repository.nox()
    assert done.returncode == 0, done.stdout + done.stderr
    for session in DEFAULT_SESSIONS:
        assert f"Session {session} was successful" in done.stderr
    assert repository.git("status", "--porcelain", "--ignored=no") == ""
    reports = {path.name for path in (repository.folder / "reports").iterdir()}
    for name in ("lint", "types", "tests", "data", "features", "quick-gate", "secrets"):
        assert {f"{name}.json", f"{name}.md"} <= reports


def test_a_repository_for_a_cluster_passes_the_tests_that_the_others_leave_out(
    living: Living, tmp_path: Path
) -> None:
    repository = Repository.generate(tmp_path, programs=living.repository.programs, platform="kubernetes")
    repository.begin(tmp_path / "remote.git")
    chosen = ("tests/integration/release/test_kubernetes.py", "tests/unit/release/test_policy.py")
    done = repository.nox("-s", "tests", "--", "--numprocesses", "3", *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout + done.stderr


@pytest.mark.parametrize("platform", ["docker", "kubernetes"])
def test_nothing_looks_like_a_secret_whatever_was_chosen(
    living: Living, tmp_path: Path, platform: str
) -> None:
    answers = {"platform": platform, "ci": "both", "license": "Proprietary", "python": "3.13"}
    repository = Repository.generate(tmp_path, programs=living.repository.programs, **answers)
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
