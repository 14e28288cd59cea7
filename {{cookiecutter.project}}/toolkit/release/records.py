"""The record of a release: the digests of its files and of its evidence."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import HistoryCorrupt
from .objects import PLAIN_NAME

SCHEMA = 1
FILE_NAME = "release.json"
EVIDENCE_NAME = "gate.json"
# Kept with a release, and made of the finished bundle: no server reads them.
IMAGE_NAME, SBOM_NAME, LICENCES_NAME = "image.json", "sbom.json", "licences.md"
# Kept with a release: the evidence, and for people the gate report and the model card.
PROOFS = (EVIDENCE_NAME, "gate.html", "model_card.md")
VERSION = re.compile(r"[0-9a-f]{12}-[0-9a-f]{8}")


def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hex."""
    return hashlib.sha256(content).hexdigest()


def digest_of(artifacts: Mapping[str, str]) -> str:
    """Return the digest of all files that a release serves with.

    Parameters
    ----------
    artifacts : mapping of str to str
        File name to its SHA-256 in hex, without evidence: that holds times, and two builds of the
        same commit and data are the same release.
    """
    lines = [f"{checksum}  {name}\n" for name, checksum in sorted(artifacts.items())]
    return "sha256:" + sha256("".join(lines).encode())


@dataclass(frozen=True)
class Record:
    """The content of ``release.json``.

    Parameters
    ----------
    version : str
        First 12 hex of the commit, a dash, first 8 hex of the model's SHA-256.
    commit : str
        The commit that the release was built from.
    digest : str
        `digest_of` the artifacts: the release's identity.
    model_sha256, data_sha256 : str
        From the gate evidence.
    artifacts, evidence : mapping of str to str
        File name to SHA-256, of the files to serve with and of the evidence.
    gate : str
        The gate's verdict.
    data_as_of : str
        The cut-off of the table's snapshot, a day; empty where the table is in git.
    """

    version: str
    commit: str
    digest: str
    model_sha256: str
    data_sha256: str
    artifacts: Mapping[str, str]
    evidence: Mapping[str, str]
    gate: str
    data_as_of: str = ""

    def to_json(self) -> bytes:
        """Write the record; the same record gives the same bytes."""
        document = {"schema": SCHEMA} | asdict(self)
        if not self.data_as_of:  # As before there were snapshots.
            del document["data_as_of"]
        return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()

    def served(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return what of a release's files a server gets: those that its digest covers, no other.

        Beside them is the record itself, which names the release.
        """
        return {name: files[name] for name in (*sorted(self.artifacts), FILE_NAME)}

    def damage(self, files: Mapping[str, bytes]) -> str | None:
        """Return how the files of a release differ from this record, or None."""
        for name, checksum in (*self.artifacts.items(), *self.evidence.items()):
            if name not in files:
                return f"{name} is missing"
            if sha256(files[name]) != checksum:
                return f"{name} is not the file that was released"
        return None


def parse(content: bytes, where: str) -> Record:
    """Parse a record and check its digests; `HistoryCorrupt` names ``where`` and why."""
    try:
        document: dict[str, Any] = json.loads(content)
        if document.pop("schema") != SCHEMA:
            raise ValueError(f"schema is not {SCHEMA}")
        document.setdefault("data_as_of", "")
        if set(document) != {field.name for field in fields(Record)}:
            raise ValueError("its keys are not those of a release record")
        record = Record(**document)
        if not VERSION.fullmatch(record.version):
            raise ValueError(f"{record.version!r} is no version")
        if record.version != f"{record.commit[:12]}-{record.model_sha256[:8]}":
            raise ValueError("its version does not match its commit and model")
        for name in (*record.artifacts, *record.evidence):
            if not PLAIN_NAME.fullmatch(name):
                raise ValueError(f"{name[:100]!r} in it is no plain file name")
        if record.digest != digest_of(record.artifacts):
            raise ValueError("its digest does not match its artifacts")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise HistoryCorrupt(
            f"the release record in {where} cannot be trusted",
            why=str(error),
            state="nothing was changed",
            next_step="build it again from its commit; a rollback to an older release still works",
        ) from None
    return record
