"""A release as `invoke champion` writes it: the package as a wheel, a model, checksums."""

import ast
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

TOOLKIT = Path(__file__).parents[1]


def wheel(changes: Mapping[str, tuple[str, str]] | None = None) -> bytes:
    """Return what a server imports as a wheel, with a text replaced in some of its modules."""
    content = io.BytesIO()
    example = TOOLKIT / "tests" / "example"
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted({*released_modules(), *example.glob("*.py")}):
            text = path.read_text(encoding="utf-8")
            old, new = (changes or {}).get(path.relative_to(TOOLKIT).as_posix(), ("", ""))
            assert old in text, f"{old!r} is not in {path.name}"
            name = path.relative_to(TOOLKIT.parent).as_posix()
            archive.writestr(name, text.replace(old, new) if old else text)
        archive.writestr("toolkit/tests/__init__.py", "")
    return content.getvalue()


def released_modules() -> set[Path]:
    """Return the files of the toolkit that a release installs: what a server imports."""
    found: set[Path] = set()
    waiting = set((TOOLKIT / "serving").glob("*.py"))
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= set(_imported_by(path)) - found
    return found


def _imported_by(path: Path) -> Iterator[Path]:
    """Yield the files of the toolkit that a module imports, with those of their packages."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] if node.level else TOOLKIT.parent
            module = base.joinpath(*(node.module or "").split("."))
            names = [module, *(module / one.name for one in node.names)]
        elif isinstance(node, ast.Import):
            names = [TOOLKIT.parent.joinpath(*one.name.split(".")) for one in node.names]
        else:
            continue
        for name in names:
            packages = [folder for folder in (name, *name.parents) if TOOLKIT in folder.parents]
            files = [
                name.with_suffix(".py"),
                *(one / "__init__.py" for one in (TOOLKIT, *packages)),
            ]
            yield from (file for file in files if name.is_relative_to(TOOLKIT) and file.is_file())


def write(
    folder: Path,
    files: Mapping[str, bytes],
    release: str | None = "c0ffeec0ffee-01234567",
    fetched: timedelta | None = None,
    package: bytes | None = None,
    policies: Mapping[str, str] | None = None,
) -> None:
    """Write a release's files as the champion, fetched some time ago.

    Parameters
    ----------
    policies
        The policy files of its commit, by their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every = dict(files)
    if release is not None:
        every["stand_in-1-py3-none-any.whl"] = wheel() if package is None else package
    for name, content in every.items():
        (folder / name).write_bytes(content)
    document = {
        "schema": 2,
        "environment": "prod",
        "release": release,
        "served_since": "2026-11-01T00:00:00+00:00" if release else None,
        "fetched": (datetime.now(UTC) - (fetched or timedelta())).isoformat(),
        "checksums": {name: hashlib.sha256(one).hexdigest() for name, one in every.items()},
        "policies": dict(policies or {}),
    }
    (folder / "champion.json").write_text(json.dumps(document), encoding="utf-8")
