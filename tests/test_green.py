"""A fresh repository is green before any edit, and stays clean."""

from __future__ import annotations

from pathlib import Path

from living import Living

from demo.repository import Repository

DEFAULT_SESSIONS = ("lint", "types", "tests", "data", "features", "gate")


def test_nox_is_green_in_a_fresh_repository_and_leaves_it_clean(
    living: Living, tmp_path: Path
) -> None:
    repository = Repository.generate(tmp_path, doors=living.repository.doors)
    repository.begin(tmp_path / "remote.git")
    done = repository.nox()
    assert done.returncode == 0, done.stdout + done.stderr
    for session in DEFAULT_SESSIONS:
        assert f"Session {session} was successful" in done.stderr
    assert repository.git("status", "--porcelain", "--ignored=no") == ""
    reports = {path.name for path in (repository.folder / "reports").iterdir()}
    for name in ("lint", "types", "tests", "data", "features", "quick-gate"):
        assert {f"{name}.json", f"{name}.md"} <= reports


def test_dev_makes_a_virtual_environment_to_type_in(living: Living, tmp_path: Path) -> None:
    repository = Repository.generate(tmp_path, doors=living.repository.doors)
    done = repository.nox("-s", "dev")
    assert done.returncode == 0, done.stdout + done.stderr
    python = str(repository.folder / ".venv" / "bin" / "python")
    imported = repository.capture(python, "-c", "import churn_model, nox, invoke, mypy, pytest")
    assert imported.returncode == 0, imported.stderr
