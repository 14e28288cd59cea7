"""The hooks for `pre-commit`: each runs what nox has installed, and stops what it is there for."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest
import yaml
from living import Living, broken

from demo.repository import TEMPLATE, Repository

CONFIGURATION = ".pre-commit-config.yaml"
FEATURES = "src/churn_model/features.py"
# What pre-commit calls the folder of hooks that it does not fetch.
LOCAL = "local"


def hooks() -> dict[str, dict[str, Any]]:
    """Return the hooks by their id."""
    file = TEMPLATE / "{{cookiecutter.project}}" / CONFIGURATION
    [repository] = yaml.safe_load(file.read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == LOCAL
    return {hook["id"]: hook for hook in repository["hooks"]}


def commit(repository: Repository, hook: str) -> subprocess.CompletedProcess[str]:
    """Run a hook as pre-commit does: with the files of its types that git knows."""
    settings = hooks()[hook]
    files = repository.git("ls-files", "*.py").splitlines()
    given = files if settings.get("pass_filenames", True) else []
    return repository.capture(*shlex.split(settings["entry"]), *given)


def test_every_hook_is_of_this_repository_and_fetches_nothing() -> None:
    assert list(hooks()) == ["format", "lint", "secrets"]
    for hook in hooks().values():
        assert hook["language"] == "system"


@pytest.mark.parametrize("hook", hooks())
def test_a_hook_passes_in_a_green_repository_and_changes_nothing(living: Living, hook: str) -> None:
    done = commit(living.repository, hook)
    assert done.returncode == 0, done.stdout + done.stderr
    assert living.repository.git("status", "--porcelain") == ""


def test_format_mends_the_file(living: Living) -> None:
    before = (living.repository.folder / FEATURES).read_text(encoding="utf-8")
    with broken(living.repository, FEATURES, "FEATURES = (\n", "FEATURES  =  (\n"):
        assert commit(living.repository, "format").returncode == 0
        # pre-commit itself fails where a hook has changed a file.
        assert (living.repository.folder / FEATURES).read_text(encoding="utf-8") == before


def test_lint_stops_an_unused_import(living: Living) -> None:
    with broken(
        living.repository, FEATURES, "import numpy as np\n", "import os\nimport numpy as np\n"
    ):
        done = commit(living.repository, "lint")
    assert done.returncode == 1
    assert f"{FEATURES}:" in done.stdout and "F401 'os' imported but unused" in done.stdout


def test_secrets_stops_a_token_that_is_not_committed_yet(living: Living) -> None:
    token = "ghp_" + "kA7" * 12
    with broken(living.repository, "tasks.py", "namespace =", f'TOKEN = "{token}"\nnamespace ='):
        done = commit(living.repository, "secrets")
    assert done.returncode == 1
    assert "tasks.py:" in done.stdout and token not in done.stdout
