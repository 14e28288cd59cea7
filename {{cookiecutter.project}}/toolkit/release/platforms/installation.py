"""Lays out a release on this machine: its bundle, and an environment made from its lock."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import NotServing
from ..files import write_folder
from . import supervisor

INSTALL_TIMEOUT_S = 900
START_TIMEOUT_S = 10
# After an upgrade from 3.13 to 3.14 the interpreter looks in another folder.
FINDS_PACKAGES = (
    "import os, sys, sysconfig; sys.exit(not os.path.isdir(sysconfig.get_path('purelib')))"
)


def python_of(home: Path) -> Path:
    """Return the interpreter of a release that is installed there."""
    return home / "venv" / "bin" / "python"


def is_dangling(path: Path) -> bool:
    """Return whether a link names what is gone."""
    return path.is_symlink() and not path.exists()


def runs(python: Path) -> bool:
    """Return whether an interpreter starts and finds its packages: its own one may have moved."""
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", FINDS_PACKAGES],
            env=supervisor.environment(),
            capture_output=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def install(home: Path, bundle: Mapping[str, bytes], *uv_options: str) -> None:
    """Write a bundle's files, and install its lock and its wheel."""
    write_folder(home / "bundle", bundle)
    wheels = [str(home / "bundle" / name) for name in bundle if name.endswith(".whl")]
    lock = home / "bundle" / "requirements.txt"
    for command in _commands(home / "venv", lock, wheels, uv_options):
        _run(command, home)


def run_inside(bundle: Mapping[str, bytes], script: str) -> str:
    """Run a Python script in a temporary environment of a release, and return its output.

    `NotServing` when the environment cannot be made, or the script fails there.
    """
    with tempfile.TemporaryDirectory() as desk:
        install(Path(desk), bundle)
        python = str(Path(desk, "venv", "bin", "python"))
        done = subprocess.run(
            [python, "-I", "-c", script], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise NotServing(f"the script failed there: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _commands(
    venv: Path, lock: Path, wheels: list[str], uv_options: Iterable[str]
) -> list[list[str]]:
    """Return the commands that make a release's environment, with uv if installed, else pip."""
    python = str(venv / "bin" / "python")
    uv = _uv()
    if uv:
        install = [uv, "pip", "install", "--quiet", "--python", python, *uv_options]
        make = [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(venv)]
    else:
        install = [python, "-m", "pip", "install", "--quiet"]
        make = [sys.executable, "-m", "venv", str(venv)]
    return [
        make,
        [*install, "--require-hashes", "--requirement", str(lock)],
        [*install, "--no-deps", *wheels],
    ]


def _uv() -> str | None:
    """Return uv's path, beside this interpreter or on the PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _run(command: list[str], folder: Path) -> None:
    """Run an installer in a folder where no uv.toml and no pyproject.toml of a repository is."""
    environment = os.environ | {
        "UV_PYTHON_DOWNLOADS": "never",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotServing(
            f"{' '.join(command[:4])} did not end within {INSTALL_TIMEOUT_S} s"
        ) from None
    if done.returncode:
        message = (done.stderr or done.stdout).strip()[-2000:]
        raise NotServing(f"the release's environment cannot be installed: {message}")
