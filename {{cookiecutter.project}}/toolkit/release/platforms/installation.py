"""Lays out a release on this machine: its bundle, and an environment made from its lock."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import NotServing
from ..files import write_folder
from . import supervisor

LOCK = "requirements.txt"
COMPLETE = "complete"
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


def key_of(bundle: Mapping[str, bytes]) -> str:
    """Return the name of a folder of packages: releases with one lock share it, for one Python."""
    python = f"{sys.implementation.cache_tag} {sys.base_prefix}\n".encode()
    return hashlib.sha256(python + bundle[LOCK]).hexdigest()[:16]


def install_packages(packages: Path, bundle: Mapping[str, bytes]) -> None:
    """Install the packages of a bundle's lock, unless they are there."""
    if (packages / COMPLETE).exists() and runs(python_of(packages)):
        return
    shutil.rmtree(packages, ignore_errors=True)
    try:
        packages.mkdir(mode=0o700, parents=True)
        lock = packages / LOCK
        lock.write_bytes(bundle[LOCK])
        _make(packages)
        _install(packages, packages, "--require-hashes", "--requirement", str(lock))
        (packages / COMPLETE).touch()
    except (OSError, NotServing):
        # A full disk needs space again for the undoing.
        shutil.rmtree(packages, ignore_errors=True)
        raise


def install(home: Path, bundle: Mapping[str, bytes], packages: Path) -> None:
    """Write a bundle's files, and install its wheel in an environment that sees the packages."""
    write_folder(home / "bundle", bundle)
    _make(home, "--without-pip")
    wheels = [str(home / "bundle" / name) for name in bundle if name.endswith(".whl")]
    _install(home, packages, "--no-deps", *wheels)
    [own], [shared] = _libraries(home), _libraries(packages)
    # Not the folder alone: a package may have a file of this kind itself.
    line = f"import site; site.addsitedir({str(shared)!r})\n"
    (own / "packages.pth").write_text(line, encoding="utf-8")


def run_inside(bundle: Mapping[str, bytes], script: str) -> str:
    """Run a Python script in a temporary environment of a release, and return its output.

    `NotServing` when the environment cannot be made, or the script fails there.
    """
    with tempfile.TemporaryDirectory() as desk:
        home, packages = Path(desk, "release"), Path(desk, "packages")
        install_packages(packages, bundle)
        install(home, bundle, packages)
        done = subprocess.run(
            [str(python_of(home)), "-I", "-c", script], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise NotServing(f"the script failed there: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _make(folder: Path, *venv_options: str) -> None:
    """Make a virtual environment in a folder, with uv if installed."""
    uv, venv = _uv(), str(folder / "venv")
    if uv:
        _run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, venv], folder)
    else:
        _run([sys.executable, "-m", "venv", *venv_options, venv], folder)


def _install(folder: Path, packages: Path, *what: str) -> None:
    """Install into the environment of a folder, with uv or with the pip of the packages."""
    uv, python = _uv(), str(python_of(folder))
    if uv:
        options = ("--quiet", "--compile-bytecode", "--python", python)
        _run([uv, "pip", "install", *options, *what], folder)
    else:
        pip = [str(python_of(packages)), "-m", "pip", "--python", python]
        _run([*pip, "install", "--quiet", *what], folder)


def _libraries(folder: Path) -> list[Path]:
    """Return where the environment of a folder has its packages."""
    return list((folder / "venv" / "lib").glob("python*/site-packages"))


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
