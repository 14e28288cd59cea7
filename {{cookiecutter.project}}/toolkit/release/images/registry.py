"""The client of a registry, for where there is no engine, or an engine cannot tell.

An index lists an image for each platform. Some tools wrap a single image in one after its push, and
then its tag has another digest. Content is trusted only if it has the digest that was requested.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import requests
from docker import auth

from ..records import sha256

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
TIMEOUT_S = 5
UNAUTHORIZED, MISSING = 401, 404
# Bearer realm="https://auth.example.com/token",service="registry",scope="repository:models:pull"
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
# Engines reach it without TLS, and so without a proxy.
LOOPBACK = re.compile(r"(localhost|127\.[\d.]+)(:\d+)?")
DOCKER_HUB = {auth.INDEX_NAME: f"registry-1.{auth.INDEX_NAME}"}


def lists(
    repository: str,
    index: str,
    manifest: str,
    platform: Mapping[str, str],
    account: Mapping[str, str] | None,
) -> bool:
    """Return whether an index has a manifest for a platform.

    Parameters
    ----------
    index, manifest : str
        Their digests.
    platform : mapping of str to str
        ``os`` and ``architecture``.
    account : mapping of str to str or None
        ``username`` and ``password``; None: those of ``docker login``, if there are any.

    Raises
    ------
    requests.RequestException
        The registry does not return it.
    """
    content = _manifest(repository, index, INDEXES, account).content
    if f"sha256:{sha256(content)}" != index:
        return False
    try:
        return any(
            one["digest"] == manifest and platform.items() <= one["platform"].items()
            for one in json.loads(content)["manifests"]
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def held(repository: str, reference: str, account: Mapping[str, str] | None) -> str:
    """Return the digest of a tag or a digest at a registry; empty if there is none.

    Raises
    ------
    requests.RequestException
        The registry does not answer.
    """
    try:
        answer = _manifest(repository, reference, INDEXES + MANIFESTS, account)
    except requests.HTTPError as error:
        if error.response.status_code == MISSING:
            return ""
        raise
    return f"sha256:{sha256(answer.content)}"


def _manifest(
    repository: str, reference: str, kinds: Sequence[str], account: Mapping[str, str] | None
) -> requests.Response:
    registry, path = auth.resolve_repository_name(repository)
    is_here = LOOPBACK.fullmatch(registry)
    address = f"{'http' if is_here else 'https'}://{DOCKER_HUB.get(registry, registry)}"
    with requests.Session() as session:
        session.trust_env = not is_here
        session.auth = _credentials(registry, account)
        return _read(session, f"{address}/v2/{path}/manifests/{reference}", kinds)


def _credentials(registry: str, account: Mapping[str, str] | None) -> tuple[str, str] | None:
    found = account or auth.load_config().resolve_authconfig(registry) or {}
    # A credential helper's keys are capitalized.
    known = {name.lower(): value for name, value in found.items()}
    return (known["username"], known["password"]) if known.get("username") else None


def _read(session: requests.Session, url: str, kinds: Sequence[str]) -> requests.Response:
    """Return the content of an address, with a token where the registry requires one."""
    accept = {"Accept": ", ".join(kinds)}
    answer = session.get(url, headers=accept, timeout=TIMEOUT_S)
    scheme, _, challenge = answer.headers.get("WWW-Authenticate", "").partition(" ")
    if answer.status_code == UNAUTHORIZED and scheme.lower() == "bearer":
        parameters = dict(CHALLENGE.findall(challenge))
        granted = session.get(parameters.pop("realm"), params=parameters, timeout=TIMEOUT_S)
        granted.raise_for_status()
        token = granted.json().get("token") or granted.json()["access_token"]
        session.auth = None
        accept["Authorization"] = f"Bearer {token}"
        answer = session.get(url, headers=accept, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return answer
