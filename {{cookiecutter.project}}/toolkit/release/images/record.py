"""The record of a release's image, ``image.json``, beside the release record in its tag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import ConfigurationError, HistoryCorrupt
from ..records import IMAGE_NAME, Record

SCHEMA = 1
FILE_NAME = IMAGE_NAME


@dataclass(frozen=True)
class ImageRecord:
    """The content of ``image.json``.

    Parameters
    ----------
    repository, tag : str
        Where the image was pushed, and under which name; only the digest identifies it.
    digest : str
        Of the manifest, from the registry: ``sha256:<64 hex>``.
    image_id : str
        The engine's name for it: the digest of its configuration.
    base : str
        The image that it was built on.
    release_digest : str
        Of the bundle in it.
    size_bytes, own_bytes : int
        Of the whole image, and without its base.
    """

    repository: str
    tag: str
    digest: str
    image_id: str
    base: str
    release_digest: str
    size_bytes: int
    own_bytes: int

    @property
    def reference(self) -> str:
        """The name that identifies the image by its digest."""
        return f"{self.repository}@{self.digest}"

    def to_json(self) -> bytes:
        """Write the record; the same record gives the same bytes."""
        document = {"schema": SCHEMA} | asdict(self)
        return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def image_of(record: Record, bundle: Mapping[str, bytes]) -> ImageRecord:
    """Return a release's image; `ConfigurationError` where it was built without one."""
    if FILE_NAME not in bundle:
        raise ConfigurationError(
            f"release {record.version} has no image",
            why="it was built when release.toml had no [image]",
            state="nothing was changed",
            next_step="build a new release: nox -s train, then invoke build --push",
        )
    return parse(bundle[FILE_NAME], record)


def parse(content: bytes, release: Record) -> ImageRecord:
    """Read ``image.json``; `HistoryCorrupt` when it cannot be read or is of another release."""
    try:
        document: dict[str, Any] = json.loads(content)
        if document.pop("schema") != SCHEMA:
            raise ValueError(f"schema is not {SCHEMA}")
        if set(document) != {field.name for field in fields(ImageRecord)}:
            raise ValueError("its keys are not those of an image record")
        image = ImageRecord(**document)
        if image.release_digest != release.digest:
            raise ValueError(f"it is of the bundle {image.release_digest}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise HistoryCorrupt(
            f"the image record of {release.version} cannot be trusted",
            why=str(error),
            state="nothing was changed",
            next_step="build it again from its commit; a rollback to an older release still works",
        ) from None
    return image
