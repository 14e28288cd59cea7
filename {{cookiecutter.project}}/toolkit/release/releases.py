"""Reads a release from its tag, and refuses whatever the release machine has not put there.

Whoever may push tags can make one by hand: a release is the files that its record names with their
checksums, and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from .objects import Invalid, Objects
from .records import (
    FILE_NAME,
    IMAGE_NAME,
    LICENCES_NAME,
    SBOM_NAME,
    Record,
    digest_of,
    parse,
    sha256,
)
from .references import RELEASES
from .scan import FILE_NAME as SCANNED

FILES = "Files: "
# The clocks of two machines may differ by as much.
CLOCKS = timedelta(minutes=5)
# What a release holds beside the files that its record names.
BESIDE = frozenset((FILE_NAME, IMAGE_NAME, SBOM_NAME, LICENCES_NAME, SCANNED))


@dataclass(frozen=True)
class Release:
    """A release, as its tag holds it.

    Parameters
    ----------
    record : Record
    target : str
        The commit that the tag names; its parent is the one that the release was built from.
    tagged : datetime.datetime
        By the clock of the machine that built it.
    blobs : dict of str to str
        Each file and its object.
    files_sha256 : str
        Over all of them, by the tag; empty in an older release.
    """

    record: Record
    target: str
    tagged: datetime
    blobs: dict[str, str]
    files_sha256: str

    @property
    def unsealed(self) -> str:
        """Why its tag does not cover its files, or empty."""
        return "" if self.files_sha256 else "its tag does not say which files it was made for"


def read(objects: Objects, version: str, tag: str) -> Release:
    """Read a release but for the content of its files.

    Raises
    ------
    GitFailed
        An object is missing or damaged, or is not what a release's tag holds.
    HistoryCorrupt
        The record cannot be trusted.
    """
    stored = objects.tag(tag, RELEASES + version)
    commit = objects.commit(stored.target)
    blobs = objects.tree(commit.one("tree"))
    if FILE_NAME not in blobs:
        raise Invalid(f"it holds no {FILE_NAME}")
    record = parse(objects.read(blobs[FILE_NAME])[1], f"the tag release/{version}")
    if record.version != version:
        raise Invalid(f"it holds release {record.version}")
    if commit.named("parent") != (record.commit,):
        raise Invalid("the parent of its commit is not the commit that the release was built from")
    named = {*record.artifacts, *record.evidence}
    if strangers := sorted({*blobs} - named - BESIDE):
        raise Invalid(f"it holds what {FILE_NAME} does not name: {', '.join(strangers)}")
    if missing := sorted(named - {*blobs}):
        raise Invalid(f"{', '.join(missing)} is missing")
    if stored.tagger.time < objects.commit(record.commit).signed("committer").time - CLOCKS:
        raise Invalid("its tag is older than the commit that it was built from")
    lines = [line for line in stored.message.split("\n") if line.startswith(FILES)]
    if len(lines) > 1:
        raise Invalid(f"its tag has {len(lines)} lines {FILES!r}")
    digest = lines[0].removeprefix(FILES) if lines else ""
    return Release(record, stored.target, stored.tagger.time, blobs, digest)


def trailer(files: Mapping[str, bytes]) -> str:
    """Return the line of a tag that covers every file of a release, also what no server reads."""
    return f"{FILES}{digest_of({name: sha256(content) for name, content in files.items()})}\n"


def files_of(objects: Objects, release: Release) -> dict[str, bytes]:
    """Return all files of a release, each checked against its record; `Invalid` names a change."""
    files = objects.contents(release.blobs)
    if damage := release.record.damage(files):
        raise Invalid(damage)
    if release.files_sha256 and trailer(files) != f"{FILES}{release.files_sha256}\n":
        raise Invalid("its files are not those that its tag was made for")
    return files
