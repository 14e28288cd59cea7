"""A script that lists the packages of an image or an environment as JSON, run by its own Python.

It is passed on as text, so it imports the standard library alone.
"""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

DEBIAN = Path("/var/lib/dpkg/status")


def distributions() -> list[dict[str, Any]]:
    """Return the Python packages."""
    return [
        {
            "kind": "pypi",
            "name": one.metadata["Name"],
            "version": one.version,
            "licence": licence(one),
            "bytes": size(one),
        }
        for one in importlib.metadata.distributions()
    ]


def licence(one: importlib.metadata.Distribution) -> str:
    """Return a package's licence, from the newest of three metadata fields that it fills."""
    expressions = one.metadata.get_all("License-Expression") or [""]
    classifiers = one.metadata.get_all("Classifier") or []
    named = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License ::")]
    texts = one.metadata.get_all("License") or [""]
    found: str = expressions[0] or ", ".join(named) or texts[0]
    return found.partition("\n")[0][:100]


def size(one: importlib.metadata.Distribution) -> int:
    """Return the bytes of a package's files, with their bytecode."""
    files = {Path(str(one.locate_file(file))) for file in one.files or ()}
    caches = {file.parent / "__pycache__" for file in files if file.suffix == ".py"}
    for cache in caches:
        files |= set(cache.glob("*.pyc"))
    return sum(file.stat().st_size for file in files if file.is_file())


def debian_packages() -> list[dict[str, Any]]:
    """Return the packages of a Debian base; the list names no licences."""
    found = []
    for entry in DEBIAN.read_text(encoding="utf-8").split("\n\n") if DEBIAN.exists() else ():
        lines = [line.partition(": ") for line in entry.splitlines() if not line.startswith(" ")]
        fields = {name: value for name, _, value in lines}
        if fields.get("Status", "").endswith(" installed"):
            found.append(
                {
                    "kind": "deb",
                    "name": fields["Package"],
                    "version": fields["Version"],
                    "licence": "",
                    "bytes": int(fields.get("Installed-Size", 0)) * 1024,
                }
            )
    return found


if __name__ == "__main__":
    print(json.dumps(distributions() + debian_packages()))
