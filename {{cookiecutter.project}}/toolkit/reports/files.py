"""Writes reports, completely or not at all: JSON for machines, Markdown and HTML for people."""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

# Every colour has a sign beside it, for readers who do not see it.
MARKS = {"passed": "✓", "failed": "✗", "ok": "✓", "warn": "▲", "fail": "✗", "unknown": "?"}


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it, so that no reader ever gets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for their owner alone; a report is as public as the repository.
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON: a NaN is an error, because other readers refuse it."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def write_report(folder: Path, name: str, document: Mapping[str, Any], page: str) -> None:
    """Write a report: JSON for machines, and a page of Markdown for people."""
    write_bytes(folder / f"{name}.md", page.encode())
    write_json(folder / f"{name}.json", document)


def remove(folder: Path, name: str) -> None:
    """Remove an earlier report, in every format."""
    for ending in ("json", "md", "html"):
        (folder / f"{name}.{ending}").unlink(missing_ok=True)


def render(page: str, **context: object) -> str:
    """Return a page of the folder pages/ as HTML; nothing in the context can become markup."""
    environment = Environment(
        loader=PackageLoader(__package__, "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["marks"] = MARKS
    return environment.get_template(page).render(**context)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; no cell can break out of it."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(cell, line))} |\n" for line in lines)


def cell(value: object) -> str:
    """Return a value as text that stays in its place in Markdown."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    text = "" if value is None else " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;")
