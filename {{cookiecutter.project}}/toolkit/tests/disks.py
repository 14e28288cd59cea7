"""Disks of a test's own: a small one that can be filled, and one that cannot be written."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

BLOCK = 4096


@dataclass(frozen=True)
class SmallDisk:
    """A file system in memory that a test can fill up.

    Parameters
    ----------
    folder : pathlib.Path
        Its mount point.
    """

    folder: Path

    @classmethod
    @contextmanager
    def mounted(cls, folder: Path, megabytes: int = 8) -> Iterator[SmallDisk]:
        """Mount one; skip the test where that is not allowed."""
        folder.mkdir(parents=True, exist_ok=True)
        size = f"size={megabytes}m"
        _may(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)])
        try:
            yield cls(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    def fill(self, free_blocks: int = 0) -> None:
        """Leave so many free blocks."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(BLOCK)) == BLOCK:
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
            file.truncate(max(0, file.tell() - free_blocks * BLOCK))

    def make_room(self) -> None:
        """Free what was filled."""
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


def seeing_read_only(folder: Path) -> tuple[str, ...]:
    """Return a prefix for a command to which a folder is read-only."""
    namespace = ("unshare", "--user", "--map-root-user", "--mount")
    _may([*namespace, "true"])
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$PWD" && exec "$@"'
    return (*namespace, "sh", "-c", script, str(folder))


def _may(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"there is no {error.filename} here")
    if done.returncode:
        pytest.skip(f"no disk of its own is allowed here: {done.stderr.strip()}")
