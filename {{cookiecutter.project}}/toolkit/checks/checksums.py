"""Whether every file of the toolkit is as the template has tested it: toolkit/CHECKSUMS tells.

The file has the format of sha256sum, so `cd toolkit && sha256sum --check CHECKSUMS` reads it too.
`python -m toolkit.checks.checksums` writes it anew; only the template's own work needs that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

TOOLKIT = Path(__file__).parents[1]
FILE = "CHECKSUMS"
# What runs leave behind.
NOT_FILES = ("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis")


def lines(toolkit: Path = TOOLKIT) -> Iterator[str]:
    """Yield a line for each file, as sha256sum writes it, sorted by path."""
    for path in sorted(toolkit.rglob("*")):
        name = path.relative_to(toolkit)
        if path.is_file() and name != Path(FILE) and not set(NOT_FILES) & set(name.parts):
            yield f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name.as_posix()}"


def differences(toolkit: Path = TOOLKIT) -> list[tuple[str, str]]:
    """Return each file that is not as CHECKSUMS says, and whether it is changed, new or missing."""
    listed = read(toolkit)
    found = parse("\n".join(lines(toolkit)))
    changes = []
    for name in sorted({*listed, *found}):
        if name not in listed:
            changes.append((name, "new"))
        elif name not in found:
            changes.append((name, "missing"))
        elif listed[name] != found[name]:
            changes.append((name, "changed"))
    return changes


def read(toolkit: Path = TOOLKIT) -> dict[str, str]:
    """Return what CHECKSUMS lists, as `parse` does; without the file nothing is listed."""
    path = toolkit / FILE
    # Then every file is new, and all tests run.
    return parse(path.read_text("utf-8", "replace")) if path.exists() else {}


def parse(text: str) -> dict[str, str]:
    """Return the SHA-256 in hex of each file, by its path in the toolkit."""
    pairs = (line.partition("  ") for line in text.splitlines())
    return {name: checksum for checksum, _, name in pairs}


def main() -> None:
    """Write CHECKSUMS anew."""
    text = "".join(f"{line}\n" for line in lines())
    scratch = TOOLKIT / f".{FILE}"
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(TOOLKIT / FILE)
    print(f"{TOOLKIT.name}/{FILE}: {len(text.splitlines())} files")


if __name__ == "__main__":
    main()
