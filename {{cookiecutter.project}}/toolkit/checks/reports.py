"""The reports of a session, reports/<session>.json and .md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

REPORTS = Path("reports")


def table(header: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    cells = (
        [" ".join(str(cell).split()).replace("|", "\\|").replace("<", "&lt;") for cell in line]
        for line in lines
    )
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def write(name: str, document: Mapping[str, Any], page: str) -> None:
    """Write a session's JSON and Markdown, each whole or not at all."""
    REPORTS.mkdir(exist_ok=True)
    for ending, text in (
        ("json", json.dumps(document, indent=2) + "\n"),
        ("md", f"# {name}: {document['verdict']}\n\n{page}"),
    ):
        scratch = REPORTS / f".{name}.{ending}"
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(REPORTS / f"{name}.{ending}")
