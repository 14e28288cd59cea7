"""Keeps every test away from the git settings, forge and snapshots of the user who runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

FORGE = ("GITHUB_", "GITLAB_", "CI_", "FORGE_")


@pytest.fixture(autouse=True, scope="session")
def own_git_settings() -> Iterator[None]:
    """Leave git only the settings of a test's own repository, also where tests share one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield


@pytest.fixture(autouse=True, scope="session")
def own_snapshots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the snapshots of tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNAPSHOT_CACHE", str(tmp_path_factory.mktemp("snapshots")))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_forge() -> Iterator[None]:
    """Keep tests from the forge in whose CI they run, or for which a laptop has a token."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name == "CI" or name.startswith(FORGE)]:
            patch.delenv(name)
        yield
