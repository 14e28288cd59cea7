"""What the tests share: the template, and repositories baked from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

from demo.changes import learn_more_slowly
from demo.repository import Repository
from living import Living, release

TEMPLATE = Path(__file__).resolve().parent.parent

Bake = Callable[..., Path]


@pytest.fixture(scope="session")
def bake(tmp_path_factory: pytest.TempPathFactory) -> Bake:
    """Return a function that bakes a new repository from answers and returns its folder.

    It is made in a new folder of its own, unless `into` names one. The user's own Cookiecutter
    settings are neither read nor written.
    """
    home = tmp_path_factory.mktemp("cookiecutter")
    settings = home / "settings.yaml"
    settings.write_text(f"replay_dir: {home}\n", encoding="utf-8")

    def bake(into: Path | None = None, **answers: str) -> Path:
        folder = cookiecutter(
            str(TEMPLATE),
            no_input=True,
            extra_context=answers,
            output_dir=str(into or tmp_path_factory.mktemp("baked")),
            config_file=str(settings),
        )
        return Path(folder)

    return bake


@pytest.fixture(scope="session")
def baked(bake: Bake) -> Path:
    """Return one repository with the CI files of both providers, for tests that only read it."""
    return bake(ci="both")


@pytest.fixture(scope="session")
def living(tmp_path_factory: pytest.TempPathFactory) -> Living:
    """Return a repository that is green, trained, and has two releases; nothing is promoted."""
    workspace = tmp_path_factory.mktemp("living")
    repository = Repository.generate(workspace, ci="both")
    repository.begin(workspace / "remote.git")
    repository.install_doors()
    first = release(repository)
    learn_more_slowly(repository)
    second = release(repository)
    return Living(repository, workspace / "remote.git", first, second)
