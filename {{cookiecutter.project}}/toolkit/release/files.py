"""Writes files and folders atomically: whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .objects import PLAIN_NAME


def write_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    scratch.replace(path)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder under a temporary name and rename it, so that it is complete or absent.

    `ValueError` where a file's name would lead out of the folder, or into another one in it.
    """
    for name in files:
        if not PLAIN_NAME.fullmatch(name):
            raise ValueError(f"{name[:100]!r} is no plain file name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, content in files.items():
            with (scratch / name).open("wb") as file:
                file.write(content)
                os.fsync(file.fileno())
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
