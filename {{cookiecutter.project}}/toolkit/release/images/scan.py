"""What the scan for vulnerabilities has said of an image: no other reaches the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import GateRefused
from .host import NO_RELEASE

SCHEMA = 1
FILE_NAME = "scanned.json"


def require_passed(root: Path, image_id: str) -> bytes:
    """Return what ``nox -s scan`` has left in ``reports/`` of an image that may be pushed.

    Raises
    ------
    GateRefused
        There is nothing, or it failed, or it is of another image.
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
    """Return why a scan does not let an image pass."""
    told = scanned if isinstance(scanned, dict) else {}
    found = []
    if told.get("schema") != SCHEMA:
        found.append(f"its schema is {told.get('schema')!r}, not {SCHEMA}")
    if told.get("image_id") != image_id:
        found.append(f"it is of the image {told.get('image_id')}, and this is {image_id}")
    if told.get("verdict") != "passed":
        found.append(f"its verdict is {told.get('verdict')!r}, not 'passed'")
    if told.get("tree_clean") is not True:
        found.append("it was made with uncommitted changes in the tree")
    return found
