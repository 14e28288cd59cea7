"""A file at the root that is named like another module runs in place of none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Of Python and of locked packages; nox and Invoke import the first ones, the toolkit the others.
NAMES = ("argparse", "uuid", "json", "dataclasses", "tomllib", "subprocess", "docker", "yaml")
PROGRAMS = {
    "invoke": "from invoke.main import program; program.run()",
    "nox": "from nox import main; main()",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The commands of a repository, with such files beside them."""
    for name in ("noxfile.py", "tasks.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "toolkit").symlink_to(ROOT / "toolkit")
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py was run')\n")
    return tmp_path


def run(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as an installed program does: without the current folder on its path."""
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_nox_and_invoke_run_none_of_them(repository: Path, program: str) -> None:
    done = run(repository, "-c", PROGRAMS[program], "--list")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was run" not in done.stdout + done.stderr


def test_python_finds_the_modules_of_a_session_last(repository: Path) -> None:
    (repository / "src").mkdir()
    (repository / "src" / "typing.py").write_text("raise SystemExit('typing.py was run')\n")
    where = (
        "import json, toolkit, typing\nprint(toolkit.__file__, json.__file__, typing.__file__)\n"
    )
    (repository / "where.py").write_text(where)
    done = run(repository, "toolkit/checks/run.py", "where")
    ours, *python_s = map(Path, done.stdout.split())
    assert ours.resolve() == ROOT / "toolkit" / "__init__.py"
    assert len(python_s) == 2 and not any(repository in path.parents for path in python_s)
