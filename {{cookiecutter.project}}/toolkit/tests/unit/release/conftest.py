"""A workshop whose environments are platforms in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.release import engine
from toolkit.tests.shelf import Shelf
from toolkit.tests.workshop import Workshop


@pytest.fixture
def shelves(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Shelf]]:
    """One shelf an environment takes the place of the platform that release.toml names."""
    shelves = {"staging": Shelf(), "prod": Shelf()}
    monkeypatch.setattr(engine, "platform_of", lambda environment, _: shelves[environment.name])
    yield shelves
    for shelf in shelves.values():
        shelf.close()


@pytest.fixture
def workshop(tmp_path: Path, shelves: dict[str, Shelf]) -> Workshop:
    """A repository without a remote."""
    return Workshop.open(tmp_path / "clone", None)


@pytest.fixture
def shared_workshop(tmp_path: Path, shelves: dict[str, Shelf]) -> Workshop:
    """A repository with a bare remote."""
    return Workshop.open(tmp_path / "clone", tmp_path / "remote.git")


@pytest.fixture
def shelf(shelves: dict[str, Shelf]) -> Shelf:
    """What staging serves from."""
    return shelves["staging"]
