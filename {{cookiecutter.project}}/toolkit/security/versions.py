"""The versions of files to search: as they are now, and as the branch had them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import CannotTell

# Names of the default branch: CI's variable, what this clone knows, and the usual one. In full: git
# would take a tag "origin/main", which anybody may push, before the branch.
CI_VARIABLES = ("GITHUB_BASE_REF", "CI_DEFAULT_BRANCH")
REMOTES, HEADS = "refs/remotes/", "refs/heads/"
REMOTE = f"{REMOTES}origin/"
USUALLY = (f"{REMOTE}HEAD", f"{REMOTE}main", f"{HEADS}main")
# Whatever a user has set, and whatever a clone takes for another object.
PINNED = ("--no-replace-objects", "-c", "log.showSignature=false")


@dataclass(frozen=True)
class Version:
    """The content of a file, now or in an earlier commit.

    Parameters
    ----------
    path : str
        Relative to the repository.
    content : bytes
    blob : str
        The object in git; empty for the file as it is now.
    """

    path: str
    content: bytes
    blob: str = ""

    @property
    def text(self) -> str | None:
        """Its text, or None if it is binary."""
        if self.content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return self.content.decode("utf-16", "replace")
        return None if b"\0" in self.content else self.content.decode("utf-8", "replace")


@dataclass(frozen=True)
class Branch:
    """The commits between HEAD and the branch that it is to be merged into.

    Parameters
    ----------
    target : str
        The name of that branch.
    base : str
        The last commit that both have.
    """

    target: str
    base: str

    @classmethod
    def here(cls) -> Branch | None:
        """Find where the branch starts; None where there is no branch to compare with."""
        if git("rev-parse", "--is-shallow-repository").strip() == b"true":
            raise CannotTell(
                "this clone is shallow, and lacks what the branch has added: git fetch --unshallow"
            )
        named = [REMOTE + os.environ[name] for name in CI_VARIABLES if os.environ.get(name)]
        for name in (*named, *USUALLY):
            try:
                git("rev-parse", "--verify", "--quiet", name + "^{commit}")
            except CannotTell:
                continue
            return cls(shown(name), git("merge-base", "HEAD", name).decode().strip())
        return None

    def versions(self) -> Iterator[Version]:
        """Yield every version of a file that the branch adds, the oldest last."""
        objects = git("rev-list", "--objects", "HEAD", f"^{self.base}")
        form = "--batch-check=%(objecttype) %(objectname) %(rest)"
        for line in os.fsdecode(git("cat-file", form, stdin=objects)).splitlines():
            kind, blob, path = line.split(" ", maxsplit=2)
            if kind == "blob":
                yield Version(path, git("cat-file", "blob", blob), blob)

    def at_base(self, path: str) -> Version:
        """Return a file as it was where the branch starts; without content if it did not exist."""
        try:
            return Version(path, git("cat-file", "blob", f"{self.base}:{path}"))
        except CannotTell:
            return Version(path, b"")

    def first_commit(self, blob: str) -> str:
        """Return the commit of the branch that added a version."""
        search = ("log", "-m", "--reverse", "--format=%h", f"--find-object={blob}")
        return git(*search, f"{self.base}..HEAD").decode().split("\n")[0]


def shown(branch: str) -> str:
    """Return a branch's name as people write it."""
    return branch.removeprefix(REMOTES).removeprefix(HEADS)


def working_tree() -> Iterator[Version]:
    """Yield every file that git tracks, or would add with the next `git add`."""
    listing = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in sorted(set(filter(None, os.fsdecode(listing).split("\0")))):
        path = Path(name)
        if path.is_file() and not path.is_symlink():
            yield Version(name, path.read_bytes())


def git(*arguments: str, stdin: bytes = b"") -> bytes:
    """Run git and return what it printed; `CannotTell` if it fails."""
    # A graft gives a commit other parents.
    environment = os.environ | {"GIT_GRAFT_FILE": os.devnull}
    done = subprocess.run(
        ["git", *PINNED, *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        message = done.stderr.decode("utf-8", "replace").strip()
        raise CannotTell(f"git {arguments[0]}: {message or f'exit {done.returncode}'}")
    return done.stdout
