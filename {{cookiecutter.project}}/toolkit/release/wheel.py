"""Builds the wheel of a commit, and proves that the commit holds all that is in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from .errors import BuildFailed

PROJECT = "pyproject.toml"
# It replaces hatch's settings in the other one.
SETTINGS = "hatch.toml"
# Made by the build, and read by no server.
METADATA = re.compile(r"[^/]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/.+)")
# Python runs the first three when it starts, whatever a server imports; the last is a way for any
# file to any place.
AT_START = re.compile(r".+\.pth|(site|user)customize\.py|[^/]+\.data/.+")


def build(source: Path, commit_time: int) -> dict[str, bytes]:
    """Build the wheel; with the commit's time in it, the same commit gives the same bytes.

    Parameters
    ----------
    source : pathlib.Path
        A folder with the files of a commit.
    commit_time : int
        Seconds since 1970.

    Raises
    ------
    BuildFailed
        pyproject.toml would run code of its own; there is no wheel; or it holds what that folder
        does not.
    """
    _refuse_code(source)
    with tempfile.TemporaryDirectory() as scratch:
        # Isolated: a folder `hatchling` of the commit is not what builds.
        command = [sys.executable, "-I", "-m", "hatchling", "build", "--target", "wheel"]
        done = subprocess.run(
            [*command, "--directory", scratch],
            cwd=source,
            env=os.environ | {"SOURCE_DATE_EPOCH": str(commit_time)},
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = {path.name: path.read_bytes() for path in Path(scratch).glob("*.whl")}
    if done.returncode or len(wheels) != 1:
        raise BuildFailed(
            "the wheel could not be built",
            why=(done.stderr or done.stdout).strip()[-2000:],
            state="no release was made",
            next_step="fix pyproject.toml, or install requirements/tools.txt again",
        )
    [content] = wheels.values()
    if strangers := list(_strangers(content, source)):
        raise BuildFailed(
            "the wheel holds what the commit does not hold",
            why="\n".join(strangers[:10]),
            state="no release was made",
            next_step=f"remove what puts it there from {PROJECT}, such as a force-include",
        )
    return wheels


def _refuse_code(source: Path) -> None:
    """Refuse settings that run code in a build: a wheel holds what its commit holds."""
    try:
        document = tomllib.loads((source / PROJECT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BuildFailed(
            "the wheel could not be built",
            why=f"{PROJECT} cannot be read: {error}",
            state="no release was made",
            next_step=f"fix {PROJECT}",
        ) from None
    found = [f"{PROJECT}: {name}" for name in _running(document.get("tool", {}), "tool")]
    if (source / SETTINGS).exists():
        found.append(SETTINGS)
    if found:
        raise BuildFailed(
            "the settings of the build would run code of their own",
            why=", ".join(found),
            state="no release was made",
            next_step="remove them: a release is made of what its commit holds",
        )


def _running(table: Any, path: str) -> Iterator[str]:
    """Yield the paths of the settings that run code: hooks, and a version that is computed."""
    if not isinstance(table, dict):
        return
    for key, value in table.items():
        where = f"{path}.{key}"
        if where.startswith("tool.hatch.") and (key == "hooks" or where == "tool.hatch.version"):
            yield where
        else:
            yield from _running(value, where)


def _strangers(content: bytes, source: Path) -> Iterator[str]:
    """Yield what is wrong with each file of a wheel that is not the commit's file of that path."""
    with zipfile.ZipFile(BytesIO(content)) as wheel:
        for name in wheel.namelist():
            if METADATA.fullmatch(name):
                continue
            held = [place / name for place in (source, source / "src")]
            if AT_START.fullmatch(name):
                yield f"{name}: Python may run it at each start, whatever is imported"
            elif wheel.read(name) not in [path.read_bytes() for path in held if path.is_file()]:
                yield f"{name}: no file of the commit has this path and these bytes"
