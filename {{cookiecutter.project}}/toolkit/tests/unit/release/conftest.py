"""A workshop whose environments are platforms in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.release import engine
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop


@pytest.fixture
def platforms(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, InMemoryPlatform]]:
    """One for each environment, in place of the platform that release.toml names."""
    platforms = {"staging": InMemoryPlatform(), "prod": InMemoryPlatform()}
    monkeypatch.setattr(engine, "platform_of", lambda environment, _: platforms[environment.name])
    yield platforms
    for platform in platforms.values():
        platform.close()


@pytest.fixture
def workshop(tmp_path: Path, platforms: dict[str, InMemoryPlatform]) -> Workshop:
    """A repository without a remote."""
    return Workshop.open(tmp_path / "clone", None)


@pytest.fixture
def shared_workshop(tmp_path: Path, platforms: dict[str, InMemoryPlatform]) -> Workshop:
    """A repository with a bare remote."""
    return Workshop.open(tmp_path / "clone", tmp_path / "remote.git")


@pytest.fixture
def platform(platforms: dict[str, InMemoryPlatform]) -> InMemoryPlatform:
    """The platform of staging."""
    return platforms["staging"]
