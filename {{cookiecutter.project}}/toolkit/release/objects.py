"""Reads many git objects through one process, and checks each against its name.

Git compares an object with its hash only in ``git fsck``: an edited file below ``.git/objects`` is
shown as if it had always been like that.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from types import TracebackType

from .git import GitFailed, Repository


@dataclass(frozen=True)
class Commit:
    """A commit, or an annotated tag, as stored.

    Parameters
    ----------
    headers : tuple of (str, str)
        Such as ``("parent", "0123...")``, in their order.
    message : str
    """

    headers: tuple[tuple[str, str], ...]
    message: str

    def named(self, header: str) -> tuple[str, ...]:
        """Return every value of a header."""
        return tuple(value for name, value in self.headers if name == header)


class Objects:
    """A repository's objects, read one after the other; use it in a ``with`` statement.

    Every method raises `GitFailed` where an object is missing, cannot be read, or does not have the
    hash of its name.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def __enter__(self) -> Objects:
        self._process = self._repository.start("cat-file", "--batch")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def read(self, name: str) -> tuple[str, bytes]:
        """Return the hash and the content of an object, by its hash or as ``<commit>:<path>``."""
        try:
            sha, kind, content = self._ask(name)
        except (BrokenPipeError, ValueError, subprocess.SubprocessError):
            # A file that is not an object ends the process.
            self._process.communicate()
            self._process = self._repository.start("cat-file", "--batch")
            raise GitFailed(f"the object {name} cannot be read") from None
        stored = kind + f" {len(content)}\0".encode() + content
        if hashlib.sha1(stored, usedforsecurity=False).hexdigest() != sha:
            raise GitFailed(f"the object {sha[:12]} was edited below .git/objects: git fsck")
        return sha, content

    def _ask(self, name: str) -> tuple[str, bytes, bytes]:
        question, answer = self._process.stdin, self._process.stdout
        assert question and answer, "both are pipes"
        if name.split() != [name]:
            # A line break would ask twice, and shift all later answers.
            raise GitFailed(f"{name!r} is no object's name")
        question.write(f"{name}\n".encode())
        question.flush()
        header = answer.readline().split()
        if header[-1:] == [b"missing"]:
            raise GitFailed(f"the object {name} is missing")
        sha, kind, size = header
        content = answer.read(int(size) + 1)
        if len(content) != int(size) + 1:
            raise ValueError("the process has ended")
        return sha.decode(), kind, content[:-1]

    def commit(self, name: str) -> Commit:
        """Return a commit or an annotated tag."""
        head, _, message = self.read(name)[1].decode("utf-8", "replace").partition("\n\n")
        # A signature continues on lines that begin with a space: they are no headers.
        lines = [line.partition(" ") for line in head.split("\n") if not line.startswith(" ")]
        return Commit(tuple((key, value) for key, _, value in lines), message)

    def tree(self, name: str) -> dict[str, str]:
        """Return ``{file: object}`` of a flat folder."""
        rest = self.read(name)[1]
        entries = {}
        while rest:
            header, _, rest = rest.partition(b"\0")
            entries[header.partition(b" ")[2].decode("utf-8", "replace")] = rest[:20].hex()
            rest = rest[20:]
        return entries
