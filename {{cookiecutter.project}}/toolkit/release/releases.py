"""Reads a release from its tag, and refuses whatever the release machine has not put there.

Whoever may push tags can make one by hand: a release is the files that its record names with their
checksums, and no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .objects import Invalid, Objects
from .records import FILE_NAME, IMAGE_NAME, LICENCES_NAME, SBOM_NAME, Record, parse
from .references import RELEASES
from .scan import FILE_NAME as SCANNED

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
    """

    record: Record
    target: str
    tagged: datetime
    blobs: dict[str, str]


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
    return Release(record, stored.target, stored.tagger.time, blobs)


def files_of(objects: Objects, release: Release) -> dict[str, bytes]:
    """Return all files of a release, each checked against its record; `Invalid` names a change."""
    files = objects.contents(release.blobs)
    if damage := release.record.damage(files):
        raise Invalid(damage)
    return files
