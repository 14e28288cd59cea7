"""A history with a remote, and what the right to push by force can do to it."""

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
from toolkit.release.errors import RolledBack
from toolkit.release.event import Event
from toolkit.release.policy import Policy
from toolkit.release.records import FILE_NAME, Record

from .in_memory import InMemoryPlatform
from .workshop import Workshop, git

# A placeholder in a rewritten commit for the one before it.
BEFORE = "THE-COMMIT-BEFORE"
# Changes a branch's commits, as git stores them.
Change = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class History:
    """A workshop with a remote, and its releases: the first two were promoted to prod as well."""

    shop: Workshop
    releases: tuple[Record, ...]

    @property
    def remote(self) -> Path:
        return self.shop.folder.parent / "remote.git"

    def copy(self, folder: Path) -> History:
        """Return a copy of the clone and its remote."""
        shutil.copytree(self.shop.folder.parent, folder, dirs_exist_ok=True)
        git(folder / "clone", "remote", "set-url", "origin", str(folder / "remote.git"))
        repository = replace(self.shop.machine.repository, root=folder / "clone")
        machine = replace(self.shop.machine, repository=repository)
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
        """Rewrite a branch, here and at the remote, with all dates; return its commits."""
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

    def forge(self, environment: str, record: Record, **fields: str) -> str:
        """Write the events of a promotion that never happened, as the machine would have."""
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
        files = {FILE_NAME: record.to_json()} | InMemoryPlatform.render(record)
        begun = replace(pending, **fields)
        cause = ledger.append(environment, begun, files)
        ended = replace(begun, outcome="verified", caused_by=cause)
        self.shop.ledger().append(environment, ended, files)
        return cause


def edit(at: int, old: str, new: str) -> Change:
    """Return a change that replaces text in one commit."""

    def change(stored: list[str]) -> list[str]:
        assert old in stored[at]
        return [*stored[:at], stored[at].replace(old, new), *stored[at + 1 :]]

    return change


def without(*places: int) -> Change:
    """Return a change that removes some commits."""
    return lambda stored: [one for at, one in enumerate(stored) if at not in places]


def relinked(change: Change) -> Change:
    """Return a change that keeps the rules: every outcome names the commit before it."""
    cause = re.compile("^Caused-by: .*$", re.MULTILINE)
    return lambda stored: [cause.sub(f"Caused-by: {BEFORE}", one) for one in change(stored)]


@contextmanager
def good_week(
    folder: Path, prepared: Callable[[Workshop], Workshop] = lambda shop: shop
) -> Iterator[History]:
    """Promote two releases to prod, one that fails, roll back, and promote one to staging."""
    platforms = {"staging": InMemoryPlatform(), "prod": InMemoryPlatform()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setattr(engine, "platform_of", lambda environment, _: platforms[environment.name])
        shop = prepared(Workshop.open(folder / "clone", folder / "remote.git"))
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
    for platform in platforms.values():
        platform.close()
