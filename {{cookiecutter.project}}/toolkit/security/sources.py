"""Names what would run or be installed unseen: `python -m toolkit.security.sources`.

A reviewer reads modules and locks. What this finds takes effect beside them: an option in a lock,
another package index, a hook of the build, a file that Python runs at each start, a module that is
imported in place of another. It looks at the files on the disk, also at those that git ignores.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import CannotTell
from .versions import git

LOCKS = "requirements"
PROJECT = Path("pyproject.toml")
# Where modules are found, each with the names that are taken beside those of Python and the locks.
CODE = {Path(): (), Path("src"): ("toolkit",)}

# A lock is made of nothing else: name and version, hashes, comments.
LOCKED = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==[^\s;]+( ; [^#]+?)?( \\)?|"
    r"    --hash=sha256:[0-9a-f]{64}( \\)?|\s*(#.*)?"
)
# Settings of installers and of Invoke, which take effect by lying there.
SETTINGS = {
    "uv.toml": "uv takes its package index from it",
    "pip.conf": "pip can take its package index from it",
    "pip.ini": "pip can take its package index from it",
    ".pip": "pip can take its package index from it",
    "hatch.toml": "it replaces the build settings in pyproject.toml",
    "invoke.yaml": "Invoke takes from it which tasks there are",
    "invoke.yml": "Invoke takes from it which tasks there are",
    "invoke.json": "Invoke takes from it which tasks there are",
    "invoke.py": "Invoke runs it before any task",
}
BACKEND, NEEDED = "hatchling.build", ["hatchling"]
# What puts into a wheel what does not lie in the package, or runs code while building.
HOOKS = ("hooks", "force-include", "shared-data", "shared-scripts", "extra-metadata")
AT_START = re.compile(r".*\.pth|(site|user)customize(\..*)?")
MODULE = re.compile(r"(?P<name>\w+)\.(py|pyc|so|pyd|[\w-]+\.so)")
PACKAGE = ("__init__.py", "__init__.pyc", "__init__.so")
# Packages in the locks that are imported by another name than their own.
IMPORTED_AS = {
    "attrs": "attr",
    "cyclonedx-python-lib": "cyclonedx",
    "flake8-bugbear": "bugbear",
    "flake8-pyproject": "flake8p",
    "gitpython": "git",
    "import-linter": "importlinter",
    "packageurl-python": "packageurl",
    "protobuf": "google",
    "python-dateutil": "dateutil",
    "python-slugify": "slugify",
    "pytest-xdist": "xdist",
    "pyyaml": "yaml",
    "ruamel-yaml": "ruamel",
    "scikit-learn": "sklearn",
}


@dataclass(frozen=True)
class Finding:
    """Something that takes effect beside the code.

    Parameters
    ----------
    path : pathlib.Path
    line : int
    code : str
        Its kind.
    message : str
    """

    path: Path
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code}: {self.message}"


def options_in_locks(root: Path) -> Iterator[Finding]:
    """Yield each line of a lock that is no version and no hash: installers obey options there."""
    for path in sorted((root / LOCKS).glob("*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if not LOCKED.fullmatch(line):
                what = "a lock holds versions and hashes only, and an installer obeys this"
                yield Finding(path.relative_to(root), number, "lock", f"{what}: {line.strip()!r}")


def settings(root: Path) -> Iterator[Finding]:
    """Yield the files and tables that set a package index, or replace other settings."""
    for name, effect in SETTINGS.items():
        if (root / name).exists():
            yield Finding(Path(name), 1, "settings", f"{effect}: these are settings of a machine")
    if "uv" in _project(root).get("tool", {}):
        effect = "uv takes its package index from it: these are settings of a machine"
        yield Finding(PROJECT, _line(root, r"\[+tool\.uv\b|\buv\b"), "settings", effect)


def build_hooks(root: Path) -> Iterator[Finding]:
    """Yield what in pyproject.toml runs code in a build, or puts other files into the wheel."""
    document = _project(root)
    system = document.get("build-system", {})
    if set(system) != {"requires", "build-backend"} or system["build-backend"] != BACKEND:
        yield Finding(
            PROJECT, _line(root, "build-"), "build", f"the backend is not {BACKEND} alone"
        )
    elif system["requires"] != NEEDED:
        yield Finding(
            PROJECT, _line(root, "requires "), "build", f"a build needs {NEEDED[0]} alone"
        )
    hatch = document.get("tool", {}).get("hatch", {})
    for key in _hooks(hatch.get("build", {})):
        effect = f"{key} puts into the wheel what is not in the package, or runs code to build it"
        yield Finding(PROJECT, _line(root, re.escape(key)), "build", effect)
    for key in ("metadata", "version"):
        if key in hatch:
            line = _line(root, rf"tool\.hatch\.{key}")
            yield Finding(PROJECT, line, "build", f"tool.hatch.{key} can run code in a build")


def _hooks(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of hooks, at any depth."""
    for key, value in table.items():
        if key in HOOKS:
            yield key
        elif isinstance(value, dict):
            yield from _hooks(value)


def run_at_start(root: Path, paths: list[Path]) -> Iterator[Finding]:
    """Yield the files that Python runs at each start, where they get onto its path."""
    for path in paths:
        if AT_START.fullmatch(path.name) and (root / path).is_file():
            message = "Python runs such a file at each start, whatever is imported"
            yield Finding(path, 1, "start", message)


def shadows(root: Path) -> Iterator[Finding]:
    """Yield the modules at the root and in src/ that have the name of another one."""
    owners = dict.fromkeys(_locked(root), "of a locked package's")
    owners |= dict.fromkeys(sys.stdlib_module_names, "of Python's own")
    for folder, own in CODE.items():
        taken = owners | dict.fromkeys(own, "of this repository's own")
        for path in sorted((root / folder).glob("*")):
            module = MODULE.fullmatch(path.name) if path.is_file() else None
            name = module["name"] if module else path.name
            if name in taken and (module or any((path / one).is_file() for one in PACKAGE)):
                message = f"it is imported as {name!r}, the name {taken[name]} module"
                yield Finding(path.relative_to(root), 1, "shadow", message)


def _locked(root: Path) -> Iterator[str]:
    """Yield the names under which the packages of the locks are imported."""
    for path in (root / LOCKS).glob("*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            match = LOCKED.fullmatch(line)
            if match and match["name"]:
                name = re.sub(r"[-_.]+", "-", match["name"]).lower()
                yield IMPORTED_AS.get(name, name.replace("-", "_"))


def _project(root: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((root / PROJECT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CannotTell(f"{PROJECT} cannot be read: {error}") from None


def _line(root: Path, pattern: str) -> int:
    """Return the first line of pyproject.toml with a pattern, as the parser tells no lines."""
    lines = (root / PROJECT).read_text(encoding="utf-8").splitlines()
    numbers = (at for at, line in enumerate(lines, start=1) if re.search(pattern, line))
    return next(numbers, 1)


def search(root: Path, paths: list[Path]) -> list[Finding]:
    """Return every finding.

    Parameters
    ----------
    root : pathlib.Path
        The repository.
    paths : list of pathlib.Path
        Its files, relative to it.

    Raises
    ------
    CannotTell
        pyproject.toml cannot be read.
    """
    return [
        *options_in_locks(root),
        *settings(root),
        *build_hooks(root),
        *run_at_start(root, paths),
        *shadows(root),
    ]


def every_file(root: Path) -> list[Path]:
    """Return the files of the repository, and those that git ignores where code is found."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    ignored = git("ls-files", "-z", "--others", "--", "src", "toolkit", ":(glob)*")
    names = {*listed.decode().split("\0"), *ignored.decode().split("\0")} - {""}
    return [root / name for name in sorted(names)]


def main() -> int:
    """Print every finding, and return the exit code."""
    root = Path()
    try:
        paths = every_file(root)
        found = search(root, paths)
    except (CannotTell, OSError, ValueError) as problem:
        print(f"could not tell: {problem}")
        return 1
    for each in found:
        print(each)
    print(f"searched {len(paths)} files for what takes effect beside the code")
    if found:
        print("Next: remove it, or say the same in code and locks, which are reviewed.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
