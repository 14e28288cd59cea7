"""Reads git's objects as they are stored, each checked against its name and against its use.

Git compares an object with its hash only in ``git fsck``: an edited file below ``.git/objects`` is
shown as if it had always been like that. And whoever may push can make any object, and let any
reference point at it: what a reference promises, its object must say of itself. Read like this, no
setting of git changes what is read.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from types import TracebackType

from .git import GitFailed, Repository

# The name of a file that stays in the folder into which it is written, on every system.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
REGULAR_FILE = "100644"
# By the length of a name: git keeps the objects of a repository under one of two hashes.
HASHES = {40: hashlib.sha1, 64: hashlib.sha256}
PERSON = re.compile(
    r"(?P<who>.*) (?P<seconds>\d{1,11}) (?P<sign>[+-])(?P<hours>\d\d)(?P<minutes>\d\d)"
)

# Objects of so many bytes are read once: commits, tags, records. Only what has a hash for a name is
# the same whenever it is read.
SMALL = 10_000
LASTING = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})(?::|$)")
# The signature of a commit is a header, whose further lines begin with a space; that of a tag is
# its end.
IN_A_COMMIT = re.compile(rb"^gpgsig(?:-sha256)? ([^\n]*\n(?: [^\n]*\n)*)", re.MULTILINE)
IN_A_TAG = re.compile(rb"^(-----BEGIN SSH SIGNATURE-----\n.*)", re.MULTILINE | re.DOTALL)


class Invalid(GitFailed):
    """An object is not what its reference or its place promises; the text says how."""


@dataclass(frozen=True)
class Signed:
    """Who has written an object, and when, by the writer's own clock.

    Parameters
    ----------
    who : str
        ``Name <email>``.
    time : datetime.datetime
        With the writer's offset from UTC.
    """

    who: str
    time: datetime


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

    def one(self, header: str) -> str:
        """Return the only value of a header; `Invalid` where there is none, or several."""
        values = self.named(header)
        if len(values) != 1:
            raise Invalid(f"it has {len(values)} lines {header!r}, not one")
        return values[0]

    def signed(self, header: str) -> Signed:
        """Return the person and the time of a header, such as ``committer``; or raise `Invalid`."""
        text = self.one(header)
        found = PERSON.fullmatch(text)
        if found is None:
            raise Invalid(f"its {header} is {text[:100]!r}, without a name or a time")
        offset = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]))
        try:
            zone = timezone(-offset if found["sign"] == "-" else offset)
            time = datetime.fromtimestamp(int(found["seconds"]), UTC).astimezone(zone)
        except (ValueError, OverflowError, OSError):
            raise Invalid(f"its {header} has no possible time: {text[-20:]!r}") from None
        return Signed(found["who"], time)


@dataclass(frozen=True)
class Tag:
    """An annotated tag whose text says what its reference says.

    Parameters
    ----------
    target : str
        The commit that it names.
    tagger : Signed
    message : str
    """

    target: str
    tagger: Signed
    message: str


class Objects:
    """A repository's objects, read one after the other; use it in a ``with`` statement.

    Every method raises `GitFailed` where an object is missing, cannot be read, or does not have the
    hash of its name, and `Invalid` where it is not what it should be.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

        self._small: dict[str, tuple[str, str, bytes]] = {}

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
        sha, _, content = self._read(name)
        return sha, content

    def _read(self, name: str) -> tuple[str, str, bytes]:
        if name in self._small:
            return self._small[name]
        found = self._read_stored(name)
        if len(found[2]) <= SMALL and LASTING.match(name):
            self._small[name] = found
        return found

    def _read_stored(self, name: str) -> tuple[str, str, bytes]:
        try:
            sha, kind, content = self._ask(name)
        except (BrokenPipeError, ValueError, subprocess.SubprocessError):
            # A file that is not an object ends the process.
            self._process.communicate()
            self._process = self._repository.start("cat-file", "--batch")
            raise GitFailed(f"the object {name} cannot be read") from None
        stored = f"{kind} {len(content)}\0".encode() + content
        if HASHES[len(sha)](stored, usedforsecurity=False).hexdigest() != sha:
            raise GitFailed(f"the object {sha[:12]} was edited below .git/objects: git fsck")
        return sha, kind, content

    def _ask(self, name: str) -> tuple[str, str, bytes]:
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
        return sha.decode(), kind.decode(), content[:-1]

    def commit(self, name: str) -> Commit:
        """Return a commit."""
        sha, kind, content = self._read(name)
        if kind != "commit":
            raise Invalid(f"{sha[:12]} is a {kind}, not a commit")
        return _parsed(content)

    def tag(self, name: str, reference: str) -> Tag:
        """Return the annotated tag that a reference, such as ``refs/tags/a/b``, points at."""
        sha, kind, content = self._read(name)
        if kind != "tag":
            raise Invalid(f"it points at a {kind}, not at an annotated tag: nobody made it")
        tag = _parsed(content)
        named, expected = tag.one("tag"), reference.removeprefix("refs/tags/")
        if named != expected:
            raise Invalid(f"the tag object {sha[:12]} was made as {named!r}: copied or renamed")
        if tag.one("type") != "commit":
            raise Invalid(f"it names a {tag.one('type')}, not a commit")
        return Tag(tag.one("object"), tag.signed("tagger"), tag.message)

    def signature(self, name: str) -> tuple[bytes, bytes]:
        """Return what is signed of a commit or a tag, and the signature; see `signature_in`."""
        _, kind, content = self._read(name)
        return signature_in(kind, content)

    def tree(self, name: str) -> dict[str, str]:
        """Return ``{file: object}`` of a flat folder of regular files with plain names."""
        sha, kind, rest = self._read(name)
        if kind != "tree":
            raise Invalid(f"{sha[:12]} is a {kind}, not a folder")
        length, entries = len(sha) // 2, {}
        while rest:
            header, _, rest = rest.partition(b"\0")
            mode, _, file = header.decode("utf-8", "backslashreplace").partition(" ")
            if mode != REGULAR_FILE:
                raise Invalid(f"{file[:100]!r} in it is no regular file, its mode is {mode}")
            if not PLAIN_NAME.fullmatch(file) or file in entries:
                raise Invalid(f"{file[:100]!r} in it is no plain file name, or there twice")
            entries[file], rest = rest[:length].hex(), rest[length:]
        return entries

    def files(self, tree: str) -> dict[str, bytes]:
        """Return ``{file: content}`` of a flat folder of regular files with plain names."""
        return self.contents(self.tree(tree))

    def contents(self, blobs: Mapping[str, str]) -> dict[str, bytes]:
        """Return ``{file: content}`` for ``{file: object}``."""
        files = {}
        for file, blob in blobs.items():
            try:
                files[file] = self.read(blob)[1]
            except GitFailed as error:
                raise GitFailed(f"{file}: {error}") from None
        return files

    def ancestry(self, head: str, cut_off: Iterable[str] = ()) -> list[tuple[str, Commit]]:
        """Return a commit, its first parent, and so on, the newest first.

        Parameters
        ----------
        head : str
        cut_off : iterable of str
            Commits whose parents a shallow clone does not have: the list ends with one of them.
        """
        ends, found, sha = set(cut_off), [], head
        while sha:
            commit = self.commit(sha)
            found.append((sha, commit))
            parents = commit.named("parent")
            sha = parents[0] if parents and sha not in ends else ""
        return found


def signature_in(kind: str, content: bytes) -> tuple[bytes, bytes]:
    """Split a commit or a tag into what is signed of it, and the signature.

    `Invalid` where it has none, or several.
    """
    pattern = IN_A_COMMIT if kind == "commit" else IN_A_TAG
    # What follows an empty line in a commit is its message, and no signature.
    end = content.find(b"\n\n") + 1 if kind == "commit" else len(content)
    found = list(pattern.finditer(content, 0, end))
    if len(found) != 1:
        raise Invalid(f"it has {len(found) or 'no'} signature{'s' * (len(found) > 1)}")
    payload = content[: found[0].start()] + content[found[0].end() :]
    return payload, found[0][1].replace(b"\n ", b"\n")


def _parsed(content: bytes) -> Commit:
    head, _, message = content.decode("utf-8", "replace").partition("\n\n")
    # A signature continues on lines that begin with a space: they are no headers.
    lines = [line.partition(" ") for line in head.split("\n") if not line.startswith(" ")]
    return Commit(tuple((key, value) for key, _, value in lines), message)
