"""The evidence of the scan for vulnerabilities, without which no image is pushed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import GateRefused
from .host import NO_RELEASE

SCHEMA = 1
FILE_NAME = "scanned.json"


def require_passed(root: Path, image_id: str) -> bytes:
    """Return the evidence of ``nox -s scan`` for an image that may be pushed.

    Raises
    ------
    GateRefused
        It is missing, failed, or is about another image.
    """
    content = b""
    try:
        content = (root / "reports" / FILE_NAME).read_bytes()
        found = complaints(json.loads(content), image_id)
    except (OSError, ValueError) as error:
        found = [str(error)]
    if found:
        raise GateRefused(
            "the image has not passed a scan for vulnerabilities",
            why="\n".join(found),
            state=NO_RELEASE,
            next_step="invoke build, then nox -s scan, then invoke build --push",
        )
    return content


def complaints(scanned: Any, image_id: str) -> list[str]:
    """Return why a scan does not permit to push an image."""
    document = scanned if isinstance(scanned, dict) else {}
    found = []
    if document.get("schema") != SCHEMA:
        found.append(f"its schema is {document.get('schema')!r}, not {SCHEMA}")
    if document.get("image_id") != image_id:
        found.append(f"it is about the image {document.get('image_id')}, not {image_id}")
    if document.get("verdict") != "passed":
        found.append(f"its verdict is {document.get('verdict')!r}, not 'passed'")
    if document.get("tree_clean") is not True:
        found.append("it was written with uncommitted changes in the tree")
    return found
