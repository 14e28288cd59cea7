"""The layers of the toolkit: the contracts of import-linter hold, and each can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLKIT = Path(__file__).parents[2]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the toolkit that a folder holds."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [str(program), "toolkit/pyproject.toml", "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A toolkit to plant imports in."""
    unwanted = shutil.ignore_patterns("tests", "__pycache__")
    return shutil.copytree(TOOLKIT, tmp_path / "toolkit", ignore=unwanted)


def test_the_toolkit_keeps_its_layers() -> None:
    done = lint(TOOLKIT.parent)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "planted", "broken"),
    [
        (
            "serving/drain.py",
            "from toolkit.release import git",
            "data, model, reports and serving import no release machine and no check",
        ),
        (
            "release/files.py",
            "from toolkit.model import features",
            "release, security, pipelines and checks import nothing of the model",
        ),
        (
            "policy_changes.py",
            "from toolkit import errors",
            "what the model and the release machine share imports neither",
        ),
        (
            "pipelines/calls.py",
            "from toolkit.checks import reports",
            "release, security, pipelines and checks are independent of one another",
        ),
        (
            "model/features.py",
            "import pandas",
            "a server imports nothing that a release does not install",
        ),
        (
            "release/ledger.py",
            "from toolkit.release import engine",
            "the layers of the release machine",
        ),
        (
            "release/platforms/protocol.py",
            "from toolkit.release.platforms import process",
            "no circular imports but in data, model and reports",
        ),
    ],
)
def test_an_import_against_the_layers_is_found(
    copy: Path, module: str, planted: str, broken: str
) -> None:
    with (copy / module).open("a", encoding="utf-8") as file:
        file.write(f"{planted}\n")
    done = lint(copy.parent)
    assert done.returncode == 1
    assert f"{broken} BROKEN" in done.stdout


def test_a_new_module_of_the_release_machine_wants_a_layer(copy: Path) -> None:
    (copy / "release" / "novelty.py").touch()
    done = lint(copy.parent)
    assert done.returncode == 1
    assert "novelty" in done.stdout
