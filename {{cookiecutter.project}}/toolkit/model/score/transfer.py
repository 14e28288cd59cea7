"""Where batch scores come from and go to: files, or objects of a bucket; whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ...data.snapshot.store import filesystem, first_line
from ...errors import ConfigurationError, DataError

COPIED_BYTES = 1 << 20
URL = "://"

State = tuple[int, int, int]


def name_of(place: str) -> str:
    """Return the last part of a path or URL: it holds no key."""
    return Path(place.partition("?")[0]).name


@dataclass(frozen=True)
class Fetched:
    """A file with the bytes of a path or URL.

    Attributes
    ----------
    path
        Of the file.
    sha256
        Of its bytes.
    """

    path: Path
    sha256: str
    _state: State

    def require_unchanged(self) -> None:
        """Refuse a file that has changed since: `DataError`."""
        if _state(self.path) != self._state:
            raise DataError(
                f"{self.path}: changed while it was read", "try again when it is complete"
            )


@contextmanager
def fetched(place: str) -> Iterator[Fetched]:
    """Yield a file with the bytes of a path or URL; `DataError` where it cannot be read."""
    if URL not in place:
        yield _fetched(Path(place))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name_of(place))
        _copy(place, path)
        try:
            yield _fetched(path)
        except DataError as error:
            # Nobody knows the folder that it was copied to.
            told = [text.replace(f"{folder}{os.sep}", "") for text in error.args]
            raise DataError(*told) from None


def _fetched(path: Path) -> Fetched:
    state = _state(path)
    with path.open("rb") as file:
        return Fetched(path, hashlib.file_digest(file, "sha256").hexdigest(), state)


def _copy(place: str, path: Path) -> None:
    files, there = filesystem(place, Path("--input"))
    try:
        stream = files.open_input_stream(there, compression=None)
        with stream, path.open("wb") as file:
            shutil.copyfileobj(stream, file, COPIED_BYTES)
    except OSError as error:
        raise DataError(
            f"{name_of(place)}: cannot be read: {first_line(error)}",
            "see whether it is there, and whether this machine may read it",
        ) from None


def _state(path: Path) -> State:
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "name another file with --input") from None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Target:
    """A file or an object that appears when it is whole.

    Parameters
    ----------
    place
        Its path or URL.

    Attributes
    ----------
    partial
        What is written to until then.

    Raises
    ------
    ConfigurationError
        Nothing can be written there, or another run does so.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[bytes] | None = None
        if URL in place:
            self._folder = tempfile.TemporaryDirectory()
            self.partial = Path(self._folder.name, name_of(place))
            self._files, self._there = filesystem(place, Path("--output"))
            self._reach()
        else:
            path = Path(place)
            self.partial = path.with_name(f".{path.name}.partial")
            self._lock = self._locked()

    def _reach(self) -> None:
        try:
            self._files.get_file_info(self._there)
        except OSError as error:
            raise self._refused(first_line(error)) from None

    def _locked(self) -> IO[bytes]:
        """Return the file, which nobody else writes; what a killed run has left in it is gone."""
        try:
            while True:
                file = self.partial.open("ab")
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):
                    # Meanwhile another run may have given it its name.
                    if self.partial.stat().st_ino == _inode(file):
                        file.truncate(0)
                        return file
                file.close()
        except BlockingIOError:
            raise self._refused("another run is writing it") from None
        except OSError as error:
            raise self._refused(str(error.strerror)) from None

    def _refused(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"{name_of(self.place)}: cannot be written: {why}",
            "choose another --output, or let this machine write there",
        )

    def publish(self) -> str:
        """Give the file its name, and return the SHA-256 of its bytes."""
        with self.partial.open("rb") as file:
            os.fsync(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if self._lock is not None:
            self.partial.replace(self.place)
            return sha256
        # A stream that is interrupted may still make an object of what it has got.
        partial = f"{self._there}.partial"
        try:
            with self.partial.open("rb") as file, self._files.open_output_stream(partial) as stream:
                shutil.copyfileobj(file, stream, COPIED_BYTES)
            self._files.move(partial, self._there)
        except OSError as error:
            raise self._refused(first_line(error)) from None
        finally:
            with suppress(OSError):
                self._files.delete_file(partial)
        return sha256

    def close(self) -> None:
        """Remove what was not published."""
        if self._folder is not None:
            self._folder.cleanup()
        if self._lock is not None:
            if self.partial.exists() and self.partial.stat().st_ino == _inode(self._lock):
                self.partial.unlink()
            self._lock.close()


def _inode(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_ino
