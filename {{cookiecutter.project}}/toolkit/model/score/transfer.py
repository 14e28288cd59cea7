"""Where batch scores come from and go to: files, or objects of a bucket; whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ...data.snapshot.store import filesystem, first_line
from ...errors import ConfigurationError, DataError

COPIED_BYTES = 1 << 20
URL = "://"


def name_of(place: str) -> str:
    """Return the last part of a path or URL: it holds no key."""
    return Path(place.partition("?")[0]).name


@contextmanager
def fetched(place: str) -> Iterator[tuple[Path, str]]:
    """Yield a file with the bytes of a path or URL, and their SHA-256.

    Raises
    ------
    DataError
        It cannot be read, or has changed meanwhile.
    """
    if URL not in place:
        path = Path(place)
        before = _state(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        yield path, sha256
        if _state(path) != before:
            raise DataError(f"{path}: changed while it was read", "try again when it is complete")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name_of(place))
        files, there = filesystem(place, Path("--input"))
        try:
            with (
                files.open_input_stream(there, compression=None) as stream,
                path.open("wb") as file,
            ):
                shutil.copyfileobj(stream, file, COPIED_BYTES)
        except OSError as error:
            reason = first_line(error)
            raise DataError(
                f"{name_of(place)}: cannot be read: {reason}",
                "see whether it is there, and whether this machine may read it",
            ) from None
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        yield path, sha256


def _state(path: Path) -> tuple[int, int, int]:
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
                    if self.partial.stat().st_ino == os.fstat(file.fileno()).st_ino:
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
