"""What a desired state says that it will run, held against the release that it is said to be.

Whoever may push can write an event by hand, and with it manifests: an audit asks this of each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ..errors import ReleaseError
from ..images.record import image_of
from ..records import Record

# The manifests of the platforms that keep theirs as JSON.
OWN = ("process.json", "docker.json")
CLUSTER = "kubernetes.yaml"


def complaint(
    state: Mapping[str, bytes],
    record: Record,
    bundle: Mapping[str, bytes],
    serve: Sequence[str] | None,
) -> str:
    """Return how a desired state would run something else than a release, or an empty text.

    Parameters
    ----------
    state : mapping of str to bytes
        The files of the event.
    record : Record
        The release's, by its tag.
    bundle : mapping of str to bytes
        The files of the release.
    serve : sequence of str, optional
        The command of its server, by its own commit; None: that is not asked.
    """
    try:
        for name in OWN:
            if name in state:
                return _own(name, json.loads(state[name]), record, bundle, serve)
        return _cluster(state, record, bundle) if CLUSTER in state else ""
    except (ValueError, LookupError, TypeError, AttributeError, ReleaseError) as error:
        return f"its manifests cannot be read: {error}"


def _own(
    name: str,
    manifest: Mapping[str, object],
    record: Record,
    bundle: Mapping[str, bytes],
    serve: Sequence[str] | None,
) -> str:
    expected: dict[str, object] = {"release": record.version, "digest": record.digest}
    if serve is not None:
        expected["serve"] = list(serve)
    if "image" in manifest:
        image = image_of(record, bundle)
        expected |= {"image": image.reference, "image_id": image.image_id}
    for key, value in expected.items():
        if manifest.get(key) != value:
            return f"{key} in its {name} is {manifest.get(key)!r}, not {value!r}"
    return ""


def _cluster(state: Mapping[str, bytes], record: Record, bundle: Mapping[str, bytes]) -> str:
    # Imported here: only this platform needs YAML.
    from . import manifests

    image = image_of(record, bundle)
    found = manifests.read(state)
    if state.get(manifests.INDEX) != manifests.index():
        return f"its {manifests.INDEX} is not the one of {CLUSTER} alone"
    images = {str(one.get("image")) for part in found.objects for one in manifests.containers(part)}
    if others := sorted(one for one in images if not one.endswith(f"@{image.digest}")):
        return f"its {CLUSTER} runs {', '.join(others)}, not {image.digest}"
    if found.annotations.get(manifests.DIGEST) != record.digest:
        return f"its {CLUSTER} is of the bundle {found.annotations.get(manifests.DIGEST)}"
    return ""
