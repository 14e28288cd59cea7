"""Virtual environments, one a lock, shared by all sessions that want the same lock."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import nox

LOCKS = Path("requirements")
ENVIRONMENTS = Path(".nox")
# Each lock, and what of pyproject.toml is in it: the dependencies of a server, or groups.
SOURCES = {
    "toolkit": ("--group", "toolkit", "pyproject.toml"),
    "model": ("--group", "model", "pyproject.toml"),
    "source": ("--group", "source", "pyproject.toml"),
    "serving": ("pyproject.toml",),
    "checks": ("--group", "pyproject.toml:checks"),
    "tools": ("--group", "pyproject.toml:tools"),
    "template": ("--group", "pyproject.toml:template"),
}
# Says which lock and which Python an environment was made with.
STAMP = "installed"


def activate(session: nox.Session, lock: str) -> Path:
    """Let a session use the environment with exactly what a lock names; return its `bin` folder.

    Parameters
    ----------
    lock
        The name of a file in `requirements/`, without its ending.
    """
    programs = install(session, LOCKS / f"{lock}.txt", ENVIRONMENTS / lock)
    # Tools look for one another: actionlint asks shellcheck.
    session.env["PATH"] = f"{programs.absolute()}{os.pathsep}{os.environ['PATH']}"
    # Without bytecode every run compiles pandas and scikit-learn again: four seconds each time.
    session.env["PYTHONDONTWRITEBYTECODE"] = None
    return programs


def install(session: nox.Session, lock: Path, folder: Path) -> Path:
    """Make an environment in a folder, or leave one that is up to date; return its `bin` folder."""
    programs, stamp = folder / "bin", folder / STAMP
    wanted = f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {sys.version}\n"
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
        stamp.unlink(missing_ok=True)
        commands = _commands(folder.absolute(), lock.absolute())
        # Elsewhere, so that no uv.toml of the repository chooses the package index.
        with session.chdir(tempfile.gettempdir()):
            for command in commands:
                # uv would fetch an interpreter that nobody asked for.
                session.run(*command, external=True, env={"UV_PYTHON_DOWNLOADS": "never"})
        stamp.write_text(wanted, encoding="utf-8")
    return programs


def _commands(folder: Path, lock: Path) -> tuple[tuple[str, ...], ...]:
    """Return what makes an environment: uv where it is installed, virtualenv and pip elsewhere."""
    interpreter = folder / "bin" / "python"
    wanted = ("--require-hashes", "--requirement", str(lock))
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv:
        make = uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable
        # The first run compiles what it imports, in a third of the time that compiling all takes.
        bring = (uv, "pip", "install", "--quiet", "--python")
        return (*make, str(folder)), (*bring, str(interpreter), *wanted)
    return (
        (sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(folder)),
        (str(interpreter), "-m", "pip", "install", "--quiet", *wanted),
    )
