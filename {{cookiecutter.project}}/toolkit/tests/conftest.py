"""What every test is kept away from: the git settings of whoever runs it, and their forge."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

FORGE = ("GITHUB_", "GITLAB_", "CI_", "FORGE_")


@pytest.fixture(autouse=True, scope="session")
def own_git_settings() -> Iterator[None]:
    """Leave git only what a test's own repository says, also where tests share one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield


@pytest.fixture(autouse=True, scope="session")
def no_forge() -> Iterator[None]:
    """Let no test speak with the forge in whose CI it runs, or to which a laptop has a token."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FORGE)]:
            patch.delenv(name)
        yield
