"""One generated repository that lives through the whole test run: baked, checked, trained, released.

Training and installing take seconds, so the tests share it. A test that breaks something does so
inside `broken`, which puts everything back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.repository import Repository


@dataclass(frozen=True)
class Living:
    """A repository with two releases in it.

    Parameters
    ----------
    repository : Repository
    remote : pathlib.Path
        Its bare origin.
    first, second : dict
        The records of its two releases; the second one is of HEAD.
    """

    repository: Repository
    remote: Path
    first: dict[str, Any]
    second: dict[str, Any]

    def clone(self, workspace: Path) -> Living:
        """Return the same releases in a clone with a remote of its own, nothing promoted yet."""
        here, remote = self.repository, workspace / "remote.git"
        here.git("clone", "--quiet", "--bare", str(self.remote), str(remote))
        clone = Repository(workspace / "clone", workspace / "state", here.programs)
        here.git("clone", "--quiet", str(remote), str(clone.folder))
        clone.take_free_ports()
        clone.commit("Serve on other ports than the clone beside")
        return Living(clone, remote, self.first, self.second)

    def customer(self) -> dict[str, Any]:
        """Return a customer that both releases can answer about."""
        smoke = self.repository.git("show", f"release/{self.second['version']}:smoke.json")
        request: dict[str, Any] = json.loads(smoke)["cases"][0]["request"]
        return request


def release(repository: Repository) -> dict[str, Any]:
    """Train and build what is committed, and return the record."""
    repository.ask("champion", "--env", "prod")
    trained = repository.nox("-s", "train")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    record: dict[str, Any] = repository.ask("build")["record"]
    return record


def scan(repository: Repository) -> None:
    """Scan what is built of what is committed; a push wants it to pass."""
    scanned = repository.nox("--reuse-existing-virtualenvs", "-s", "scan")
    assert scanned.returncode == 0, scanned.stdout + scanned.stderr


@contextmanager
def broken(repository: Repository, path: str, old: str, new: str) -> Iterator[None]:
    """Replace a text in one file for a while."""
    repository.replace(path, old, new)
    try:
        yield
    finally:
        repository.git("checkout", "--", path)
