"""A bundle is made of what the gate saw, small enough for git, and once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from release.build import Built, build
from release.errors import BuildFailed, GateRefused, PreconditionFailed
from release.progress import Progress
from tests.workshop import Workshop, git

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "stand-in"
version = "1"

[tool.hatch.build.targets.wheel]
packages = ["src/stand_in"]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A repository with a package that can be built, and reports that git ignores."""
    shop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    package = shop.folder / "src" / "stand_in"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (shop.folder / "pyproject.toml").write_text(PYPROJECT)
    (shop.folder / "requirements.txt").touch()
    (shop.folder / ".gitignore").write_text("reports/\ndist/\n")
    git(shop.folder, "add", "--all")
    git(shop.folder, "commit", "--quiet", "--message=a package")
    train(shop, b"model")
    return shop


def train(shop: Workshop, model: bytes) -> None:
    """Leave in reports/ what a training leaves."""
    reports = shop.folder / "reports"
    (reports / "model").mkdir(parents=True, exist_ok=True)
    (reports / "model" / "model.onnx").write_bytes(model)
    evidence = {
        "schema": 1,
        "training": "full",
        "verdict": "passed",
        "reasons": [],
        "commit": shop.machine.repository.head(),
        "tree_clean": True,
        "data_sha256": "0" * 64,
        "model_sha256": hashlib.sha256(model).hexdigest(),
    }
    (reports / "gate.json").write_text(json.dumps(evidence))


def built(shop: Workshop) -> Built:
    return build(shop.ledger(), shop.machine.policy, Progress())


def test_a_bundle_is_in_the_tag_in_dist_and_at_the_remote(shop: Workshop, tmp_path: Path) -> None:
    release = built(shop)
    bundle = shop.ledger().bundle(release.record.version)
    assert {path.name: path.read_bytes() for path in release.folder.iterdir()} == bundle
    assert bundle["model.onnx"] == b"model"
    tag = f"release/{release.record.version}"
    assert git(tmp_path / "remote.git", "rev-parse", tag) == git(shop.folder, "rev-parse", tag)
    assert git(shop.folder, "rev-parse", f"{tag}~") == release.record.commit


def test_a_second_build_does_nothing_and_brings_back_the_folder(shop: Workshop) -> None:
    first = built(shop)
    (first.folder / "model.onnx").unlink()
    for path in first.folder.iterdir():
        path.unlink()
    first.folder.rmdir()
    before = git(shop.folder, "for-each-ref")
    second = built(shop)
    assert (second.record, second.is_new) == (first.record, False)
    assert (second.folder / "model.onnx").read_bytes() == b"model"
    assert git(shop.folder, "for-each-ref") == before


def test_uncommitted_work_is_named_and_refused(shop: Workshop) -> None:
    (shop.folder / "half done.py").touch()
    with pytest.raises(PreconditionFailed, match="uncommitted changes") as refusal:
        built(shop)
    assert "half done.py" in refusal.value.why


def test_a_model_that_the_gate_did_not_see_is_refused(shop: Workshop) -> None:
    (shop.folder / "reports" / "model" / "model.onnx").write_bytes(b"another")
    with pytest.raises(GateRefused) as refusal:
        built(shop)
    assert refusal.value.why == "no file in reports/model is the model that it is about"


def test_a_bundle_that_git_should_not_carry_is_refused(shop: Workshop) -> None:
    train(shop, b"x" * 1_500_000)
    small = replace(shop.machine.policy, max_bundle_mb=1)
    with pytest.raises(BuildFailed, match=r"the bundle has 1\.5 MB"):
        build(shop.ledger(), small, Progress())
    assert shop.ledger().versions() == []


def test_a_wheel_that_cannot_be_built_is_told_with_its_reason(shop: Workshop) -> None:
    wrong = PYPROJECT.replace('version = "1"', 'version = "first"')
    (shop.folder / "pyproject.toml").write_text(wrong)
    git(shop.folder, "commit", "--quiet", "--all", "--message=a mistake")
    train(shop, b"model")
    with pytest.raises(BuildFailed, match="the wheel could not be built") as refusal:
        built(shop)
    assert "first" in refusal.value.why
