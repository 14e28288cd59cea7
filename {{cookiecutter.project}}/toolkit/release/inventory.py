"""The inventory of a release: Python and system packages, with sizes and licences.

`package_list` makes the list inside the image or the environment: of what is installed, not of what
was requested.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass

from . import package_list
from .records import LICENCES_NAME, SBOM_NAME


@dataclass(frozen=True)
class Component:
    """One package of a release.

    Parameters
    ----------
    kind : str
        ``pypi``, or ``deb`` of the base.
    name, version, licence : str
        From the package's metadata; those of a base have no licence there.
    bytes : int
        Of its installed files.
    """

    kind: str
    name: str
    version: str
    licence: str
    bytes: int


def script() -> str:
    """Return the source of the script that prints the components as JSON."""
    return inspect.getsource(package_list)


def parse(output: str) -> list[Component]:
    """Return the components that the script has printed, sorted by kind and name."""
    components = [Component(**one) for one in json.loads(output)]
    return sorted(components, key=lambda one: (one.kind, one.name.lower()))


def documents(
    components: Sequence[Component], kind: str, name: str, version: str
) -> dict[str, bytes]:
    """Return the documents that are kept with a release: ``sbom.json`` and ``licences.md``.

    Parameters
    ----------
    kind : str
        The type of the release for CycloneDX: ``container`` or ``application``.
    name, version : str
        Of the release.
    """
    return {SBOM_NAME: sbom(components, kind, name, version), LICENCES_NAME: licences(components)}


def sbom(components: Sequence[Component], kind: str, name: str, version: str) -> bytes:
    """Return a CycloneDX bill of materials; the same components give the same bytes."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component as Part
    from cyclonedx.model.component import ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    bom = Bom()
    # References are random by default; two bills of one release must be the same.
    whole = Part(name=name, version=version, type=ComponentType(kind), bom_ref=name)
    bom.metadata.component = whole
    for one in components:
        namespace = "debian" if one.kind == "deb" else None
        purl = PackageURL(one.kind, namespace, one.name, one.version)
        part = Part(
            name=one.name,
            version=one.version,
            type=ComponentType.LIBRARY,
            bom_ref=str(purl),
            purl=purl,
        )
        if one.licence:
            part.licenses.add(DisjunctiveLicense(name=one.licence))
        bom.components.add(part)
    bom.register_dependency(whole, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def licences(components: Sequence[Component]) -> bytes:
    """Return a Markdown table of the licences of the Python packages."""
    rows = [
        f"| {one.name} | {one.version} | {one.licence or 'unknown'} |"
        for one in components
        if one.kind == "pypi"
    ]
    head = ["# Licences", "", "| package | version | licence |", "| --- | --- | --- |"]
    return ("\n".join([*head, *rows]) + "\n").encode()


def largest(components: Sequence[Component], count: int) -> list[Component]:
    """Return the largest Python packages, the largest first."""
    own = [one for one in components if one.kind == "pypi"]
    return sorted(own, key=lambda one: -one.bytes)[:count]
