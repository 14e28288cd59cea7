"""The files of a commit, and whether the working tree is that commit and nothing else.

A release is built from what git keeps: `git status` believes flags, filters and lists of ignored
files that are in no commit, and what a build reads from the working tree may be seen by nobody.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import PreconditionFailed
from .git import GitFailed, Repository

# A release is made of these folders: nothing may lie in them that no commit holds.
CODE = ("src", "toolkit")
BYTECODE = "__pycache__"
FILES = ("100644", "100755")
KINDS = {"120000": "a symbolic link", "160000": "a submodule"}
# The large file itself is not in git.
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
NO_RELEASE = "no release was made"
SHOWN = 10


@dataclass(frozen=True)
class Source:
    """What a release is built from.

    Parameters
    ----------
    commit : str
    folder : pathlib.Path
        The files of the commit; of uncommitted work, the working tree itself.
    is_clean : bool
        Whether that is the commit and nothing else: only then it may be released.
    """

    commit: str
    folder: Path
    is_clean: bool


@contextmanager
def opened(repository: Repository, allow_dirty: bool) -> Iterator[Source]:
    """Export the commit that is checked out to a temporary folder.

    Parameters
    ----------
    allow_dirty : bool
        Whether a working tree that is not the commit may be built as it is, to try it.

    Raises
    ------
    PreconditionFailed
        The working tree is not the commit, as `require_nothing_else` says, or the commit cannot
        be exported.
    """
    commit = repository.head()
    files = read(repository, commit)
    if allow_dirty and any(paths for _, paths, _ in _differences(repository, files)):
        yield Source(commit, repository.root, is_clean=False)
        return
    require_nothing_else(repository, files)
    with tempfile.TemporaryDirectory() as folder:
        write(files, Path(folder))
        yield Source(commit, Path(folder), is_clean=True)


def read(repository: Repository, commit: str) -> dict[str, bytes]:
    """Return every file of a commit by its path, as git keeps it: no attribute changes its bytes.

    Raises
    ------
    PreconditionFailed
        An entry is no regular file, or the commit cannot be read.
    """
    try:
        listed = repository.read("ls-tree", "-r", "-z", "--full-tree", commit)
        entries = [line.split("\t", 1) for line in listed.decode().split("\0")[:-1]]
        _require_files(entries, commit)
        blobs = "".join(header.split()[2] + "\n" for header, _ in entries).encode()
        answer = memoryview(repository.read("cat-file", "--batch", stdin=blobs))
    except (GitFailed, UnicodeDecodeError) as error:
        raise PreconditionFailed(
            f"the files of {commit[:12]} cannot be read",
            why=str(error),
            state=NO_RELEASE,
            next_step="git fsck; or a fresh clone, if that is complete",
        ) from None
    files, position = {}, 0
    for _, path in entries:
        header = bytes(answer[position : position + 200]).partition(b"\n")[0]
        begin = position + len(header) + 1
        position = begin + int(header.split()[2])
        files[path] = bytes(answer[begin:position])
        position += 1
    return files


def _require_files(entries: list[list[str]], commit: str) -> None:
    odd = [
        f"{path} is {KINDS.get(header.split()[0], 'no regular file')}"
        for header, path in entries
        if header.split()[0] not in FILES
    ]
    if odd:
        raise PreconditionFailed(
            f"commit {commit[:12]} does not hold all of its content",
            why=_shown(odd),
            state=NO_RELEASE,
            next_step="commit the files themselves in their place",
        )


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Lay the files of a commit out in an empty folder."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def require_nothing_else(repository: Repository, files: Mapping[str, bytes]) -> None:
    """Refuse a working tree that is not its commit, also where `git status` says nothing.

    Parameters
    ----------
    files : mapping of str to bytes
        The files of the commit that is checked out, as `read` returns them.

    Raises
    ------
    PreconditionFailed
        With the paths: changed and untracked files; files that git was told to overlook; files
        among the code that are ignored; and files whose bytes are not the commit's.
    """
    for what, paths, next_step in _differences(repository, files):
        if paths:
            raise PreconditionFailed(what, why=_shown(paths), state=NO_RELEASE, next_step=next_step)


def _differences(
    repository: Repository, files: Mapping[str, bytes]
) -> Iterator[tuple[str, list[str], str]]:
    """Yield each kind of difference: what it is, the paths, and what to do about it."""
    yield (
        "the working tree has uncommitted changes",
        repository.changes(),
        "git commit or git stash, then nox -s train and invoke build",
    )
    overlooked = _overlooked(repository)
    named = " ".join(overlooked[:SHOWN])
    yield (
        "git was told to overlook changes of some files",
        overlooked,
        # Git takes one of the two flags at a time.
        f"git update-index --no-skip-worktree -- {named}; "
        f"git update-index --no-assume-unchanged -- {named}",
    )
    yield (
        "files that no commit holds are among the code of the release",
        _ignored(repository),
        "remove them, or commit them; git status --ignored shows why git is silent about them",
    )
    yield (
        "files differ from the commit, and git status does not say so",
        _altered(repository.root, files),
        "git config --show-origin --list: a filter, an attribute or a setting hides them",
    )


def _overlooked(repository: Repository) -> list[str]:
    """Return the files with the flags skip-worktree (S) or assume-unchanged (lower case)."""
    listed = repository.read("ls-files", "-v", "-z").decode("utf-8", "replace").split("\0")[:-1]
    return [line[2:] for line in listed if line[0] == "S" or line[0].islower()]


def _ignored(repository: Repository) -> list[str]:
    """Return the files among the code that git does not track, also those that it ignores."""
    listed = repository.read("ls-files", "--others", "-z", "--", *CODE)
    paths = listed.decode("utf-8", "replace").split("\0")[:-1]
    return [path for path in paths if BYTECODE not in path.split("/")]


def _altered(root: Path, files: Mapping[str, bytes]) -> list[str]:
    return [
        path
        for path, content in files.items()
        if not content.startswith(LFS_POINTER) and _content(root / path) != content
    ]


def _content(path: Path) -> bytes | None:
    """Return a file's bytes; None where there is no file."""
    return path.read_bytes() if path.is_file() and not path.is_symlink() else None


def _shown(paths: list[str]) -> str:
    return ", ".join(paths[:SHOWN]) + (" and more" if len(paths) > SHOWN else "")
