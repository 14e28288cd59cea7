"""A small but genuine database for trivy: a bbolt file of buckets, and the note beside it.

https://github.com/etcd-io/bbolt/blob/main/internal/common/page.go and meta.go say what its bytes
mean. All buckets stand inside the one that holds them, on a single page as long as it takes.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

PAGE = 4096
MAGIC, VERSION = 0xED0CDAED, 2
LEAF, META, FREELIST = 0x02, 0x04, 0x10
BUCKET = 1

PYTHON = "pip::GitHub Security Advisory Pip"
DEBIAN = "debian 12"
# Where each bucket's advisories come from, as trivy-db names it.
SOURCES = {PYTHON: "ghsa", DEBIAN: "debian"}
SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")

Bucket = dict[str, Any]


@dataclass
class Database:
    """What trivy is to know; it is on disk after each change.

    Parameters
    ----------
    cache : pathlib.Path
        What TRIVY_CACHE_DIR names.
    """

    cache: Path
    advisories: dict[str, Bucket] = field(default_factory=lambda: {PYTHON: {}, DEBIAN: {}})
    details: Bucket = field(default_factory=dict)

    def plant(self, source: str, package: str, id: str, severity: str, fixed: str = "") -> None:
        """Let every version of a package have a hole, until it is fixed if it is."""
        if source == PYTHON:
            affected = f"<{fixed}" if fixed else ">=0"
            advisory: Bucket = {"VulnerableVersions": [affected], "PatchedVersions": [fixed]}
        else:
            advisory = {"FixedVersion": fixed}
        level = SEVERITIES.index(severity)
        self.advisories[source].setdefault(package, {})[id] = json.dumps(advisory)
        self.details[id] = json.dumps(
            {"Title": "Planted by a test", "VendorSeverity": {SOURCES[source]: level}}
        )
        self.write()

    def forget(self) -> None:
        """Know nothing any more."""
        for bucket in (self.details, *self.advisories.values()):
            bucket.clear()
        self.write()

    def write(self, made: datetime | None = None) -> None:
        """Write it, as if it had been made at some time."""
        sources = {
            bucket: json.dumps({"ID": id, "Name": id, "URL": "https://example.com"})
            for bucket, id in SOURCES.items()
        }
        content = {"data-source": sources, "vulnerability": self.details} | self.advisories
        folder = self.cache / "db"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trivy.db").write_bytes(bbolt(content))
        made = made or datetime.now(UTC)
        times = {"UpdatedAt": made, "DownloadedAt": made, "NextUpdate": made + timedelta(days=1)}
        note = {"Version": VERSION} | {name: time.isoformat() for name, time in times.items()}
        (folder / "metadata.json").write_text(json.dumps(note), encoding="utf-8")


def in_use(patch: pytest.MonkeyPatch, cache: Path) -> Database:
    """Return an empty database that every trivy of these tests takes, and asks nobody for more."""
    patch.setenv("TRIVY_CACHE_DIR", str(cache))
    patch.setenv("TRIVY_SKIP_DB_UPDATE", "true")
    database = Database(cache)
    database.write()
    return database


def bbolt(content: Bucket) -> bytes:
    """Return a bbolt file; what is a text in the content is a value, what is a dict a bucket."""
    root = leaf(3, content)
    root = root.ljust(-(-len(root) // PAGE) * PAGE, b"\0")
    pages = 3 + len(root) // PAGE
    file = b""
    for number in (0, 1):
        meta = struct.pack("<4I5Q", MAGIC, VERSION, PAGE, 0, 3, 0, 2, pages, number)
        page = header(number, META, 0) + meta + struct.pack("<Q", fnv1a(meta))
        file += page.ljust(PAGE, b"\0")
    return file + header(2, FREELIST, 0).ljust(PAGE, b"\0") + root


def leaf(number: int, content: Bucket) -> bytes:
    """Return a page with all keys of a bucket; 0 is the number of one inside another's value."""
    elements = values = b""
    for position, (name, value) in enumerate(sorted(content.items())):
        key = name.encode()
        is_bucket = isinstance(value, dict)
        # A bucket's value is its root, 0 for a page that follows, and a counter.
        data = struct.pack("<2Q", 0, 0) + leaf(0, value) if is_bucket else value.encode()
        # Counted from this element on.
        offset = 16 * (len(content) - position) + len(values)
        elements += struct.pack("<4I", is_bucket and BUCKET, offset, len(key), len(data))
        values += key + data
    further_pages = (15 + len(elements + values)) // PAGE if number else 0
    return header(number, LEAF, len(content), further_pages) + elements + values


def header(number: int, kind: int, count: int, further_pages: int = 0) -> bytes:
    """Return how every page begins."""
    return struct.pack("<Q2HI", number, kind, count, further_pages)


def fnv1a(data: bytes) -> int:
    """Return the checksum by which a meta page is believed, FNV-1a of 64 bits."""
    checksum = 0xCBF29CE484222325
    for byte in data:
        checksum = (checksum ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return checksum
