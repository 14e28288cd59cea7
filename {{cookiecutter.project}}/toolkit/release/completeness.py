"""What a release holds beside its bundle, where ``invoke build --push`` has made it.

The digest of a release covers its bundle alone. Whoever may push tags can tag the right bundle
before the build does, with an image of their own, or without a scan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from . import scan
from .errors import HistoryCorrupt
from .images.record import parse
from .policy import MERGED_SINCE, Policy
from .records import IMAGE_NAME
from .releases import Release

# The files of a release that are read here.
DOCUMENTS = (scan.FILE_NAME, IMAGE_NAME)


def complaint(release: Release, files: Mapping[str, bytes], policy: Policy) -> str:
    """Return what the build would have made otherwise, or an empty text.

    Parameters
    ----------
    files : mapping of str to bytes
        Those of the release, or its `DOCUMENTS` alone.
    policy : Policy
        That counts for the release. By an older one nothing is asked.
    """
    if policy.schema < MERGED_SINCE:
        return ""
    return release.unsealed or _unscanned(release, files, policy) or _moved(release, files, policy)


def _unscanned(release: Release, files: Mapping[str, bytes], policy: Policy) -> str:
    if not policy.scan:
        return ""
    if scan.FILE_NAME not in files:
        return f"it holds no {scan.FILE_NAME}: it was not scanned for vulnerabilities"
    try:
        scanned = json.loads(files[scan.FILE_NAME])
        found = scan.complaints(scanned, release.record.digest)
        if not found and IMAGE_NAME in files:
            image_id = parse(files[IMAGE_NAME], release.record).image_id
            found = scan.about_another_image(scanned, image_id)
    except (ValueError, RecursionError) as error:
        found = [f"it cannot be read: {error}"]
    except HistoryCorrupt as error:
        return f"{error.what}: {error.why}"
    return f"its {scan.FILE_NAME} is none of a passed scan: {'; '.join(found)}" if found else ""


def _moved(release: Release, files: Mapping[str, bytes], policy: Policy) -> str:
    """Return why its image is none that a build has pushed: whose registry it is, decides that."""
    if policy.image is None or IMAGE_NAME not in files:
        return ""
    try:
        repository = parse(files[IMAGE_NAME], release.record).repository
    except HistoryCorrupt as error:
        return f"{error.what}: {error.why}"
    if repository == policy.image.repository:
        return ""
    return f"its image is in {repository}, release.toml names {policy.image.repository}"
