"""One generated repository that lives through the whole test run: baked, checked, trained, released.

Installing, checking and training take a minute, so that happens once: what runs tests side by side
waits for it and takes a copy. A test that breaks something does so inside `broken`, which puts
everything back.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.changes import learn_more_slowly
from demo.repository import Repository

ENVIRONMENTS = ".nox"
REMOTE, KEPT = "remote.git", "living.json"


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
    fresh : dict
        How the first bare ``nox`` ended, before any edit: ``returncode``, ``output``, the files in
        ``reports``, and what git found ``changed`` afterwards.
    """

    repository: Repository
    remote: Path
    first: dict[str, Any]
    second: dict[str, Any]
    fresh: dict[str, Any]

    def clone(self, workspace: Path) -> Living:
        """Return the same releases in a clone with a remote of its own, nothing promoted yet."""
        here, remote = self.repository, workspace / REMOTE
        here.git("clone", "--quiet", "--bare", str(self.remote), str(remote))
        clone = Repository(workspace / "clone", workspace / "state", here.programs)
        here.git("clone", "--quiet", str(remote), str(clone.folder))
        self.lend_environments(clone)
        clone.take_free_ports()
        clone.commit("Serve on other ports than the clone beside")
        return Living(clone, remote, self.first, self.second, self.fresh)

    def generate(self, workspace: Path, **answers: str) -> Repository:
        """Return another repository, with other answers, that need install nothing."""
        repository = Repository.generate(workspace, programs=self.repository.programs, **answers)
        renew_checksums(repository)
        self.lend_environments(repository)
        return repository

    def lend_environments(self, repository: Repository) -> None:
        """Let a repository use the environments of this one, as long as their locks are the same."""
        folder = repository.folder / ENVIRONMENTS
        folder.mkdir(exist_ok=True)
        for environment in (self.repository.folder / ENVIRONMENTS).iterdir():
            (folder / environment.name).symlink_to(environment.resolve())

    def customer(self) -> dict[str, Any]:
        """Return a customer that both releases can answer about."""
        smoke = self.repository.git("show", f"release/{self.second['version']}:smoke.json")
        request: dict[str, Any] = json.loads(smoke)["cases"][0]["request"]
        return request


def make(workspace: Path) -> None:
    """Make the repository, which is then only copied."""
    repository = Repository.generate(workspace, ci="both")
    repository.release_unscanned()
    renew_checksums(repository)
    repository.begin(workspace / REMOTE)
    repository.install_tools()
    green = repository.nox()
    fresh = {
        "returncode": green.returncode,
        "output": green.stdout + green.stderr,
        "reports": sorted(path.name for path in (repository.folder / "reports").iterdir()),
        "changed": repository.git("status", "--porcelain", "--ignored=no"),
    }
    first = release(repository)
    learn_more_slowly(repository)
    second = release(repository)
    kept = {"folder": repository.folder.name, "fresh": fresh, "first": first, "second": second}
    (workspace / KEPT).write_text(json.dumps(kept), encoding="utf-8")


def shared(workspace: Path, own: Path) -> Living:
    """Return a copy in a folder of its own of what is made once in the workspace."""
    workspace.mkdir(exist_ok=True)
    with (workspace / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (workspace / KEPT).exists():
            assert not (workspace / REMOTE).exists(), "it could not be made: see the first failure"
            make(workspace)
    kept = json.loads((workspace / KEPT).read_bytes())
    original = workspace / kept.pop("folder")
    environments = shutil.ignore_patterns(ENVIRONMENTS, ".venv")
    shutil.copytree(original, own / original.name, symlinks=True, ignore=environments)
    shutil.copytree(workspace / REMOTE, own / REMOTE)
    repository = Repository(own / original.name, own / "state", original / ".venv" / "bin")
    repository.git("remote", "set-url", "origin", str(own / REMOTE))
    made = Repository(original, workspace / "state", repository.programs)
    Living(made, workspace / REMOTE, **kept).lend_environments(repository)
    return Living(repository, own / REMOTE, **kept)


def renew_checksums(repository: Repository) -> None:
    """Let a toolkit that is being worked on be the one that was tested.

    Whether the template's own list is right, tests/test_toolkit.py tells once; without this, every
    repository would run all of the toolkit's tests meanwhile.
    """
    done = repository.capture(sys.executable, "-m", "toolkit.checks.checksums")
    assert done.returncode == 0, done.stderr


def release(repository: Repository) -> dict[str, Any]:
    """Train and release what is committed, and return the record."""
    repository.ask("champion", "--env", "prod")
    trained = repository.nox("-s", "train")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    record: dict[str, Any] = repository.ask("build", "--push")["record"]
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
