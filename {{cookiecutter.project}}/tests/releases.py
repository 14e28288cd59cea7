"""A release as `invoke champion` lays it out: the package as a wheel, a model, checksums."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

PACKAGE = "{{ cookiecutter.package }}"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE


def wheel(changes: Mapping[str, tuple[str, str]] | None = None) -> bytes:
    """Return the package as a wheel, with a text replaced in some of its modules."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(SOURCE.glob("*.py")):
            text = path.read_text(encoding="utf-8")
            old, new = (changes or {}).get(path.name, ("", ""))
            assert old in text, f"{old!r} is not in {path.name}"
            archive.writestr(f"{PACKAGE}/{path.name}", text.replace(old, new) if old else text)
    return content.getvalue()


def lay_out(
    folder: Path,
    files: Mapping[str, bytes],
    release: str | None = "c0ffeec0ffee-01234567",
    fetched: timedelta | None = None,
    package: bytes | None = None,
) -> None:
    """Write a release's files as the champion, fetched some time ago."""
    folder.mkdir(parents=True, exist_ok=True)
    every = dict(files)
    if release is not None:
        every["stand_in-1-py3-none-any.whl"] = wheel() if package is None else package
    for name, content in every.items():
        (folder / name).write_bytes(content)
    told = {
        "schema": 1,
        "environment": "prod",
        "release": release,
        "served_since": "2026-11-01T00:00:00+00:00" if release else None,
        "fetched": (datetime.now(UTC) - (fetched or timedelta())).isoformat(),
        "checksums": {name: hashlib.sha256(one).hexdigest() for name, one in every.items()},
    }
    (folder / "champion.json").write_text(json.dumps(told), encoding="utf-8")
