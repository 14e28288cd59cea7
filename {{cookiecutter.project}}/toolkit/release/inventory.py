"""What a release is made of: Python distributions and a base's packages, with sizes and licences.

The list is made in the image or the environment that serves, by `inside`: of what is there, not of
what was asked for.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass

from . import inside

SBOM, LICENCES = "sbom.json", "licences.md"


@dataclass(frozen=True)
class Component:
    """One package of a release.

    Parameters
    ----------
    kind : str
        ``pypi``, or ``deb`` of the base.
    name, version, licence : str
        As the package says of itself; a base's package does not tell its licence here.
    bytes : int
        Of its installed files.
    """

    kind: str
    name: str
    version: str
    licence: str
    bytes: int


def script() -> str:
    """Return the Python that prints the components of the place in which it is run."""
    return inspect.getsource(inside)


def parse(output: str) -> list[Component]:
    """Return what the script has printed, by kind and name."""
    components = [Component(**one) for one in json.loads(output)]
    return sorted(components, key=lambda one: (one.kind, one.name.lower()))


def papers(components: Sequence[Component], kind: str, name: str, version: str) -> dict[str, bytes]:
    """Return what is kept with a release: ``sbom.json`` and ``licences.md``.

    Parameters
    ----------
    kind : str
        What is made of the components, in the words of CycloneDX: ``container``, ``application``.
    name, version : str
        Its own.
    """
    return {SBOM: sbom(components, kind, name, version), LICENCES: licences(components)}


def sbom(components: Sequence[Component], kind: str, name: str, version: str) -> bytes:
    """Return a CycloneDX bill of materials; the same components give the same bytes."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component as Part
    from cyclonedx.model.component import ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    bom = Bom()
    # References are random unless they are given; two bills of one release must be the same.
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
    """Return a table of the licences that the release's own packages name."""
    rows = [
        f"| {one.name} | {one.version} | {one.licence or 'not told'} |"
        for one in components
        if one.kind == "pypi"
    ]
    head = ["# Licences", "", "| package | version | licence |", "| --- | --- | --- |"]
    return ("\n".join([*head, *rows]) + "\n").encode()


def largest(components: Sequence[Component], count: int) -> list[Component]:
    """Return the release's own packages that take most, the largest first."""
    own = [one for one in components if one.kind == "pypi"]
    return sorted(own, key=lambda one: -one.bytes)[:count]
