"""A generated repository releases nothing on the word of a file that can be computed again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.repository import Repository
from living import Living, scan
from trivy_database import PYTHON, Database

pytestmark = pytest.mark.full

GATE, PRECONDITION = 10, 14


@pytest.fixture(scope="module")
def trained(living: Living) -> Repository:
    """A repository with a commit that is trained, and no release of it yet."""
    repository = living.repository
    repository.replace("README.md", "# churn-model", "# Our churn model")
    repository.commit("Say whose it is")
    repository.ask("champion", "--env", "prod")
    done = repository.nox("-s", "train")
    assert done.returncode == 0, done.stdout + done.stderr
    return repository


@pytest.fixture
def repository(trained: Repository, tmp_path: Path) -> Iterator[Repository]:
    """That repository, whose reports and settings are put back after a test."""
    kept = tmp_path / "reports"
    shutil.copytree(trained.folder / "reports", kept)
    exclude = trained.folder / ".git" / "info" / "exclude"
    before = exclude.read_bytes()
    yield trained
    shutil.rmtree(trained.folder / "reports")
    shutil.copytree(kept, trained.folder / "reports")
    exclude.write_bytes(before)
    for flag in ("--no-skip-worktree", "--no-assume-unchanged"):
        trained.git("update-index", flag, "quality.toml")
    trained.git("checkout", "--quiet", "--", ".")
    trained.git("clean", "--quiet", "-d", "--force")


def refused(repository: Repository, code: int) -> str:
    """Try to release HEAD, and insist on an exit code, and on no release; return what was said."""
    before = repository.git("tag")
    done = repository.invoke("build", "--push")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "state: no release was made" in done.stderr
    assert repository.git("tag") == before
    return done.stderr


def edit(path: Path, **changes: Any) -> dict[str, Any]:
    """Change keys of a JSON file, and return what it holds then."""
    document: dict[str, Any] = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps(document), encoding="utf-8")
    return document


def test_a_failed_gate_that_was_edited_to_passed_is_decided_again(repository: Repository) -> None:
    gate = repository.folder / "reports" / "gate.json"
    rule = '[[rule]]\nmetric = "accuracy"\nmin = '
    repository.replace("quality.toml", f"{rule}0.85", f"{rule}0.99")
    repository.commit("Ask for more")
    try:
        assert repository.nox("-s", "train").returncode != 0
        edit(gate, verdict="passed", reasons=[])
        said = refused(repository, GATE)
        assert "the gate fails: accuracy is" in said
        assert "the evidence's verdict are not what its figures and quality.toml give" in said
    finally:
        repository.git("reset", "--quiet", "--hard", "HEAD~")
        repository.git("push", "--quiet", "--force", "origin", "main")


def test_figures_that_were_edited_are_measured_again(repository: Repository) -> None:
    gate = repository.folder / "reports" / "gate.json"
    metrics = json.loads(gate.read_bytes())["metrics"]
    edit(gate, metrics=metrics | {"accuracy": metrics["accuracy"] | {"value": 0.97}})
    said = refused(repository, GATE)
    assert "metrics.accuracy.value is 0.97, not 0.9" in said
    assert "reports/gate.html is not the page of this evidence" in said


def test_a_stray_file_beside_the_model_does_not_reach_the_release(repository: Repository) -> None:
    (repository.folder / "reports" / "model" / "extra.py").write_text("import os\n")
    assert "reports/model/extra.py is no file of a release" in refused(repository, GATE)


def test_looser_limits_behind_a_flag_are_not_used(repository: Repository) -> None:
    repository.git("update-index", "--skip-worktree", "quality.toml")
    repository.replace(
        "quality.toml", 'metric = "accuracy"\nmin = 0.85', 'metric = "accuracy"\nmin = 0.1'
    )
    assert repository.git("status", "--porcelain") == ""
    said = refused(repository, PRECONDITION)
    assert "git was told to overlook changes of some files" in said and "quality.toml" in said


def test_looser_limits_at_the_training_are_found_out_afterwards(repository: Repository) -> None:
    """Somebody trains with a flag and other limits, and puts both back before the build."""
    repository.git("update-index", "--assume-unchanged", "quality.toml")
    repository.replace(
        "quality.toml", 'metric = "accuracy"\nmin = 0.85', 'metric = "accuracy"\nmin = 0.1'
    )
    assert repository.nox("-s", "train").returncode == 0
    repository.git("update-index", "--no-assume-unchanged", "quality.toml")
    repository.git("checkout", "--quiet", "--", "quality.toml")
    assert "the evidence is of another quality.toml" in refused(repository, GATE)


def test_a_file_that_is_ignored_in_this_clone_alone_reaches_no_wheel(
    repository: Repository,
) -> None:
    exclude = repository.folder / ".git" / "info" / "exclude"
    exclude.write_text("src/churn_model/extra.py\n")
    extra = repository.folder / "src" / "churn_model" / "extra.py"
    extra.write_text("import os\n")
    try:
        assert repository.git("status", "--porcelain") == ""
        assert "src/churn_model/extra.py" in refused(repository, PRECONDITION)
    finally:
        extra.unlink()


def test_where_a_scan_is_wanted_nothing_is_released_before_it(
    repository: Repository, known_holes: Database
) -> None:
    repository.replace("release.toml", "scan = false\n", "scan = true\n")
    repository.commit("Scan what we release")
    try:
        assert repository.nox("-s", "train").returncode == 0
        assert repository.invoke("build").returncode == 0
        said = refused(repository, GATE)
        assert "the release has not passed a scan for vulnerabilities" in said
        assert "next:  invoke build, then nox -s scan, then invoke build --push" in said
        known_holes.plant(PYTHON, "onnxruntime", "CVE-2026-1", "CRITICAL", fixed="99.1")
        assert repository.nox("-s", "scan").returncode != 0
        assert "its verdict is 'failed', not 'passed'" in refused(repository, GATE)
        known_holes.forget()
        scan(repository)
        edit(repository.folder / "reports" / "scanned.json", digest="sha256:" + "0" * 64)
        assert "it is about the bundle sha256:0000" in refused(repository, GATE)
        scan(repository)
        record = repository.ask("build", "--push")["record"]
        kept = repository.git("show", f"release/{record['version']}:scanned.json")
        assert json.loads(kept)["digest"] == record["digest"]
    finally:
        repository.git("reset", "--quiet", "--hard", "HEAD~")
        repository.git("push", "--quiet", "--force", "origin", "main")


def test_what_nobody_has_touched_is_released(repository: Repository) -> None:
    assert repository.ask("build", "--push")["is_released"]
