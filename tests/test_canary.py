"""A canary on the real server: a release that has become half as slow again does not reach all customers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from living import Living, release

from demo.changes import answer_after
from demo.repository import ENVIRONMENTS, Repository

pytestmark = [pytest.mark.alone, pytest.mark.full]

ROLLED_BACK = 30


def to_staging(repository: Repository, milliseconds: int) -> str:
    """Release a server that answers after so long, and put it into staging; it is approved for prod."""
    answer_after(repository, milliseconds)
    version: str = release(repository)["version"]
    repository.ask("promote", "--env", "staging", "--version", version, "--yes")
    repository.ask("approve", "--env", "prod", "--version", version)
    return version


def newest(repository: Repository) -> dict[str, Any]:
    event: dict[str, Any] = repository.ask("history", "--env", "prod")[0]
    return event


def test_38_a_slower_release_rolls_itself_back_and_the_same_one_without_delay_passes(
    living: Living, tmp_path: Path
) -> None:
    repository = living.clone(tmp_path).repository
    # So many requests find a slowdown by half in 99 of 100 canaries.
    repository.replace("release.toml", "requests_per_s = 40", "requests_per_s = 100")
    repository.replace("release.toml", "max_slowdown = 9.0", "max_slowdown = 0.1")
    try:
        first = to_staging(repository, 20)
        repository.ask("promote", "--env", "prod", "--yes")
        slower = to_staging(repository, 30)
        refused = repository.invoke("promote", "--env", "prod", "--yes")
        assert refused.returncode == ROLLED_BACK, refused.stderr
        assert "the canary failed: p95" in refused.stderr
        assert f"prod serves {first}, as before" in refused.stderr
        told = newest(repository)
        assert (told["release"], told["outcome"]) == (slower, "rolled-back")
        [status] = repository.ask("status", "--env", "prod", "--exit-code")
        assert status["release"] == first
        same = to_staging(repository, 20)
        repository.ask("promote", "--env", "prod", "--yes")
        told = newest(repository)
        assert (told["release"], told["outcome"]) == (same, "verified")
        assert told["canary"].startswith("pass: ")
    finally:
        for environment in ENVIRONMENTS:
            repository.invoke("stop", "--env", environment, "--yes")
