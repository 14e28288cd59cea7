"""An image index made by hand at a registry: what tools leave under a tag when they wrap an image."""

from __future__ import annotations

import json
import urllib.request
from email.message import Message

import docker

OCI = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.manifest.v1+json"
)


def platform(client: docker.DockerClient) -> dict[str, str]:
    """Return the platform that an engine's images are for, as an index names it."""
    version = client.version()
    return {"os": version["Os"], "architecture": version["Arch"]}


def put(repository: str, tag: str, manifest: str, platform: dict[str, str], kind: str = OCI) -> str:
    """Put an index of one manifest under a tag, and return its digest.

    Parameters
    ----------
    repository : str
        With the registry's ``host:port``, where nobody need log in.
    manifest : str
        The digest of what is there already.
    platform : dict of str to str
        ``os`` and ``architecture``.
    """
    told, wrapped = _ask(repository, manifest, "GET", {"Accept": MANIFESTS})
    one = {"mediaType": told["Content-Type"], "digest": manifest, "size": len(wrapped)}
    index = {"schemaVersion": 2, "mediaType": kind, "manifests": [one | {"platform": platform}]}
    told, _ = _ask(repository, tag, "PUT", {"Content-Type": kind}, json.dumps(index).encode())
    return str(told["Docker-Content-Digest"])


def _ask(
    repository: str, name: str, method: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[Message, bytes]:
    """Return the headers and the content of what a registry answers about a manifest."""
    host, _, path = repository.partition("/")
    url = f"http://{host}/v2/{path}/manifests/{name}"
    request = urllib.request.Request(url, body, headers, method=method)
    # A proxy of this machine's environment knows nothing of its loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return answer.headers, answer.read()
