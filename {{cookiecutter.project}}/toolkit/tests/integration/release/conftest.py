"""A workshop whose servers and state folder end with the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.tests.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """A repository with a bare remote; its servers' files are in the test's own folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    yield shop
    shop.close()
