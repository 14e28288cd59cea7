"""A history with a remote, and what somebody with the right to push can do to it by force."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from toolkit.release import engine
from toolkit.release.audit import Audit, audit
from toolkit.release.engine import Machine
from toolkit.release.errors import RolledBack
from toolkit.release.event import Event
from toolkit.release.git import Repository
from toolkit.release.policy import Policy
from toolkit.release.records import FILE_NAME, Record

from .shelf import Shelf
from .workshop import Workshop, git

# Stands in a commit that is written anew for the one before it.
BEFORE = "THE-COMMIT-BEFORE"
# What is done to a branch's commits, as git stores them.
Change = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class History:
    """A workshop with a remote, and what was released in it: the first two, to prod as well."""

    shop: Workshop
    releases: tuple[Record, ...]

    @property
    def remote(self) -> Path:
        return self.shop.folder.parent / "remote.git"

    def copy(self, folder: Path) -> History:
        """Return the same clone and the same remote elsewhere."""
        shutil.copytree(self.shop.folder.parent, folder, dirs_exist_ok=True)
        git(folder / "clone", "remote", "set-url", "origin", str(folder / "remote.git"))
        machine = Machine(Repository(folder / "clone"), self.shop.machine.policy)
        return History(Workshop(folder / "clone", machine), self.releases)

    def audit(self, policy: Policy | None = None) -> Audit:
        return audit(self.shop.ledger(), policy or self.shop.machine.policy)

    def found(self, policy: Policy | None = None) -> list[tuple[str, str]]:
        """Audit, and return each finding's environment and rule."""
        return [(one.environment, one.rule) for one in self.audit(policy).findings]

    def commits(self, environment: str) -> list[str]:
        """Return an environment's commits, the oldest first."""
        return git(self.shop.folder, "rev-list", "--reverse", f"env/{environment}").splitlines()

    def rewrite(self, environment: str, change: Change) -> list[str]:
        """Write a branch anew, here and at the remote, dates and all; return its commits."""
        repository, new = self.shop.machine.repository, ""
        stored = [repository.run("cat-file", "commit", sha) for sha in self.commits(environment)]
        for content in change(stored):
            tree, _, rest = re.sub("^parent .*\n", "", content, flags=re.M).partition("\n")
            parent = f"parent {new}\n" if new else ""
            written = f"{tree}\n{parent}{rest}\n".replace(BEFORE, new).encode()
            new = repository.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=written)
        self.point(environment, new)
        return self.commits(environment)

    def point(self, environment: str, commit: str) -> None:
        """Move a branch by force, here and at the remote."""
        reference = f"refs/heads/env/{environment}"
        git(self.shop.folder, "update-ref", reference, commit)
        git(self.shop.folder, "push", "--quiet", "--force", "origin", f"{commit}:{reference}")

    def untag(self, name: str) -> None:
        """Delete a tag here and at the remote."""
        git(self.shop.folder, "push", "--quiet", "origin", f":refs/tags/{name}")
        git(self.shop.folder, "update-ref", "-d", f"refs/tags/{name}")

    def forge(self, environment: str, record: Record, **said: str) -> str:
        """Write a promotion as the machine would have, though nothing was asked or done."""
        ledger = self.shop.ledger()
        history = ledger.history(environment)
        pending = Event(
            kind="promote",
            release=record.version,
            digest=record.digest,
            outcome="pending",
            previous=history[0].release if history else "",
            actor="Mallory <mallory@example.com>",
        )
        files = {FILE_NAME: record.to_json()}
        begun = replace(pending, **said)
        cause = ledger.append(environment, begun, files)
        ended = replace(begun, outcome="verified", caused_by=cause)
        self.shop.ledger().append(environment, ended, files)
        return cause


def edit(at: int, old: str, new: str) -> Change:
    """Return a change of what one commit says."""

    def change(stored: list[str]) -> list[str]:
        assert old in stored[at]
        return [*stored[:at], stored[at].replace(old, new), *stored[at + 1 :]]

    return change


def without(*places: int) -> Change:
    """Return a change that takes some commits out."""
    return lambda stored: [one for at, one in enumerate(stored) if at not in places]


def mended(change: Change) -> Change:
    """Return a change by one who knows the rules: every end names the commit before it."""
    cause = re.compile("^Caused-by: .*$", re.MULTILINE)
    return lambda stored: [cause.sub(f"Caused-by: {BEFORE}", one) for one in change(stored)]


@contextmanager
def good_week(folder: Path) -> Iterator[History]:
    """Release two to prod, one that fails, roll back and so hold, and release one to staging."""
    shelves = {"staging": Shelf(), "prod": Shelf()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setattr(engine, "platform_of", lambda environment, _: shelves[environment.name])
        shop = Workshop.open(folder / "clone", folder / "remote.git")
        first, second, third = (shop.release(model) for model in (b"one", b"two", b"three"))
        for record in (first, second):
            for environment in (shop.staging, shop.prod):
                shop.promote(record, environment)
        with pytest.raises(RolledBack):
            shop.promote(shop.release(b"wrong predictions"), shop.staging)
        shop.rollback(shop.prod)
        shop.promote(third, shop.staging)
        for repository in (shop.folder, folder / "remote.git"):
            git(repository, "gc", "--quiet")  # A few large files are copied faster than many.
        yield History(shop, (first, second, third))
    for shelf in shelves.values():
        shelf.close()
