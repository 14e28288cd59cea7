"""The evidence of the scan for vulnerabilities, without which nothing is released."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import GateRefused

SCHEMA = 2
FILE_NAME = "scanned.json"


def require_passed(root: Path, digest: str) -> bytes:
    """Return the evidence of ``nox -s scan`` for a bundle that may be released.

    Parameters
    ----------
    root : pathlib.Path
        The repository, in whose ``reports`` it is.
    digest : str
        Of the bundle.

    Raises
    ------
    GateRefused
        It is missing, failed, or is about another bundle.
    """
    content = b""
    try:
        content = (root / "reports" / FILE_NAME).read_bytes()
        found = complaints(json.loads(content), digest)
    except (OSError, ValueError) as error:
        found = [str(error)]
    _refuse("the release", found)
    return content


def require_image(content: bytes, image_id: str) -> None:
    """Refuse evidence about another image; `GateRefused` names both."""
    _refuse("the image", about_another_image(json.loads(content), image_id))


def about_another_image(scanned: Any, image_id: str) -> list[str]:
    """Return that a scan is about another image than the one that is named, or nothing."""
    found = scanned.get("image_id")
    if found == image_id:
        return []
    return [f"it is about the image {found or 'of no release'}, not {image_id}"]


def complaints(scanned: Any, digest: str) -> list[str]:
    """Return why a scan does not permit to release a bundle."""
    document = scanned if isinstance(scanned, dict) else {}
    found = []
    if document.get("schema") != SCHEMA:
        found.append(f"its schema is {document.get('schema')!r}, not {SCHEMA}")
    if document.get("digest") != digest:
        found.append(f"it is about the bundle {document.get('digest')}, not {digest}")
    if document.get("verdict") != "passed":
        found.append(f"its verdict is {document.get('verdict')!r}, not 'passed'")
    if document.get("tree_clean") is not True:
        found.append("it was written with uncommitted changes in the tree")
    return found


def _refuse(what: str, found: list[str]) -> None:
    if found:
        raise GateRefused(
            f"{what} has not passed a scan for vulnerabilities",
            why="\n".join(found),
            state="no release was made",
            next_step="invoke build, then nox -s scan, then invoke build --push",
        )
