"""Where the bytes of snapshots lie: a cache on this machine, and a remote that everybody reads.

Both know a snapshot by the SHA-256 of its bytes, and what is read is compared with it each time: a
cache and a bucket are not trusted.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError, DataError
from .. import origin as origins
from ..origin import ORIGIN_FILE, Origin
from . import erasure
from .pointer import Pointer

CACHE = "SNAPSHOT_CACHE"
SUFFIX = ".parquet"
READ_ONLY = 0o444
PARTIAL = ".partial"
DAY_S = 86_400
VERIFY = "nox -s snapshot -- --verify"


def cache() -> Path:
    """Return the folder of this machine's snapshots: the variable SNAPSHOT_CACHE, or the user's."""
    if named := os.environ.get(CACHE):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "churn-snapshots"


def cached(sha256: str) -> Path:
    """Return the file that holds these bytes in the cache, whether or not it is there."""
    return cache() / f"{sha256}{SUFFIX}"


def keep(content: bytes) -> str:
    """Put bytes into the cache, and return their SHA-256.

    A reader sees the whole file or none, also where this is killed: the file gets its name last.
    """
    sha256 = digest(content)
    file = cached(sha256)
    if digest(_read(file)) == sha256:
        return sha256
    try:
        _write(file, content)
    except OSError as error:
        raise DataError(
            f"{file.parent}: the snapshot cannot be kept: {error.strerror}",
            f"make room or permission there, or name another folder in {CACHE}",
        ) from None
    return sha256


def _write(file: Path, content: bytes) -> None:
    """Write a file of a snapshot, read-only: under a name of its own first, which no other has."""
    folder = file.parent
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    handle, name = tempfile.mkstemp(suffix=PARTIAL, dir=folder)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.chmod(READ_ONLY)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(folder)


def _sweep(folder: Path) -> None:
    """Remove what writers have left here that were killed a day ago or earlier."""
    for partial in folder.glob(f"*{PARTIAL}"):
        with suppress(OSError):  # Another machine's, or gone meanwhile.
            if partial.stat().st_mtime < time.time() - DAY_S:
                partial.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fetch(pointer: Pointer, file: Path) -> bytes:
    """Return the bytes that a pointer names, from the cache, else from the remote.

    Parameters
    ----------
    file
        The pointer's, data/snapshot.json.

    Raises
    ------
    ConfigurationError
        They are nowhere, or are others than the pointer says.
    """
    place = cached(pointer.sha256)
    content = _read(place)
    if digest(content) == pointer.sha256:
        return content
    for one in erasure.load(file):
        if one.content_sha256 == pointer.content_sha256:
            raise ConfigurationError(
                f"{file}: snapshot {pointer.short} was erased on {one.on}: {one.reason}",
                "take a snapshot of today: nox -s snapshot",
            )
    origin = origins.load(file.with_name(ORIGIN_FILE))
    if origin.remote is None:
        raise ConfigurationError(
            f"{file}: the bytes of snapshot {pointer.short}, of {pointer.as_of}, are not in "
            f"{place.parent}, and {origin.path} names no [remote] to fetch them from",
            f"take them again from the source: {VERIFY}",
        )
    content = Remote(origin).read(pointer, file)
    keep(content)
    return content


class Cache:
    """The cache of this machine, as a place that snapshots are removed from."""

    def __str__(self) -> str:
        return str(cache())

    def written(self, sha256: str) -> float | None:
        """Return when bytes were written, in seconds since 1970; None where they are not."""
        file = cached(sha256)
        return file.stat().st_mtime if file.exists() else None

    def remove(self, sha256: str) -> None:
        """Remove bytes, if they are there."""
        cached(sha256).unlink(missing_ok=True)


class Remote:
    """The remote of data/source.toml.

    Parameters
    ----------
    origin
        One with a remote.
    """

    def __init__(self, origin: Origin) -> None:
        assert origin.remote is not None, "who asks knows that there is one"
        self.url = origin.remote.url
        self._path = origin.path
        self._files, self._root = filesystem(self.url, origin.path)

    def __str__(self) -> str:
        return self.url

    def written(self, sha256: str) -> float | None:
        """Return when bytes were written, in seconds since 1970; None where they are not."""
        try:
            found = self._files.get_file_info(f"{self._root}/{sha256}{SUFFIX}")
        except OSError as error:
            raise self._failed("cannot be read", error) from None
        return found.mtime.timestamp() if found.is_file else None

    def remove(self, sha256: str) -> None:
        """Remove bytes, if they are there."""
        if self.written(sha256) is None:
            return
        try:
            self._files.delete_file(f"{self._root}/{sha256}{SUFFIX}")
        except OSError as error:
            raise self._failed("cannot be removed from", error) from None

    def read(self, pointer: Pointer, file: Path) -> bytes:
        """Return the bytes that a pointer names.

        Raises
        ------
        ConfigurationError
            They are not there, or are others than the pointer says.
        """
        try:
            with self._opened(pointer.sha256) as stream:
                content = bytes(stream.read())
        except FileNotFoundError:
            raise ConfigurationError(
                f"{file}: the bytes of snapshot {pointer.short}, of {pointer.as_of}, are "
                f"neither in {cache()} nor at {self.url}",
                f"take them again from the source: {VERIFY}",
            ) from None
        except OSError as error:
            raise self._failed("cannot be read", error) from None
        found = digest(content)
        if found != pointer.sha256:
            raise ConfigurationError(
                f"{self.url}: the bytes of snapshot {pointer.short} have the sha256 "
                f"{found}, {file} names {pointer.sha256}: they were changed",
                f"find out by whom; put them back from a machine that has them: {VERIFY} --push",
            )
        return content

    def write(self, content: bytes) -> bool:
        """Put bytes there and read them back; return whether they were not there yet.

        Raises
        ------
        DataError
            They cannot be written, or come back as others.
        """
        sha256 = digest(content)
        try:
            try:
                with self._opened(sha256) as stream:
                    if digest(bytes(stream.read())) == sha256:
                        return False
            except FileNotFoundError:
                pass
            self._put(content, f"{sha256}{SUFFIX}")
            with self._opened(sha256) as stream:
                found = digest(bytes(stream.read()))
        except OSError as error:
            raise self._failed("cannot be written", error) from None
        if found != sha256:
            raise DataError(
                f"{self.url}: what was written has the sha256 {sha256}, what is read back {found}",
                "try another [remote]: this one loses bytes",
            )
        return True

    def _put(self, content: bytes, name: str) -> None:
        if self._files.type_name == "local":
            _write(Path(self._root, name), content)
            return
        # A bucket shows an object when it is whole.
        with self._files.open_output_stream(f"{self._root}/{name}") as stream:
            stream.write(content)

    def _opened(self, sha256: str) -> Any:
        return self._files.open_input_stream(f"{self._root}/{sha256}{SUFFIX}")

    def _failed(self, what: str, error: OSError) -> DataError:
        return DataError(
            f"{self.url}: {what}: {first_line(error)}",
            f"see whether it is there, has room, and lets you write; or change {self._path}",
        )


def filesystem(url: str, file: Path) -> tuple[Any, str]:
    """Return pyarrow's file system of a URL or path, and the path in it.

    Raises
    ------
    ConfigurationError
        No file system has such a URL; `file` says it.
    """
    # Imported here: what is in git or in the cache needs none.
    from pyarrow import ArrowException, fs

    try:
        if "://" not in url:
            return fs.LocalFileSystem(), url.rstrip("/")
        found, path = fs.FileSystem.from_uri(url)
    except (ArrowException, ValueError, OSError) as error:
        scheme = url.partition("://")[0]
        reason = first_line(error).replace(url, "...")  # It may hold a key.
        raise ConfigurationError(
            f"{file}: a URL of {scheme}:// cannot be read: {reason}",
            "use a path, or s3://, gs:// or abfs://, a key in it percent-encoded: / is %2F",
        ) from None
    return found, path.rstrip("/")


def first_line(error: BaseException) -> str:
    """Return the reason of an error: pyarrow's tell their whole story."""
    said = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return str(said).splitlines()[0]


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def _read(file: Path) -> bytes:
    """Return a file of the cache; of one that is not there no bytes, which no digest fits."""
    try:
        return file.read_bytes()
    except OSError:
        return b""
