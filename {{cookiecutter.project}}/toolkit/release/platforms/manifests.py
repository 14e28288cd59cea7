"""The manifests of a release in a cluster, rendered by kustomize and then checked.

Kustomize silently ignores an image whose name it does not know. So its output is checked: every
container must run exactly the release's image, by digest.
"""

from __future__ import annotations

import copy
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigurationError, HistoryCorrupt, PreconditionFailed
from ..images.record import ImageRecord
from ..policy import ClusterEnvironment, Policy
from ..records import Record
from . import kubectl
from .protocol import CANARY, CONNECTIONS, STABLE

MANIFEST = "kubernetes.yaml"
# Read by Argo CD or Flux, which watch the branch: it names the only other file that they need.
INDEX = "kustomization.yaml"
HEADER = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}

# Labels of all objects.
PROJECT, ENVIRONMENT = "release.project", "release.environment"
TRACK = "track"
# Annotations of the Deployment and its pods: what runs, and the event that deployed it.
VERSION, DIGEST, EVENT = "release.version", "release.digest", "release.event"
IMAGE_ID = "release.image-id"
CONTAINER, PORT = "server", "http"
WHOLE = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifests:
    """A desired state of a cluster.

    Parameters
    ----------
    objects : tuple of dict
    """

    objects: tuple[dict[str, Any], ...]

    @property
    def deployment(self) -> dict[str, Any]:
        """The one Deployment."""
        return next(one for one in self.objects if one["kind"] == "Deployment")

    @property
    def name(self) -> str:
        """The Deployment's name."""
        return str(self.deployment["metadata"]["name"])

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of its pods."""
        found: Mapping[str, str] = self.deployment["spec"]["template"]["metadata"]["annotations"]
        return found

    def least(self, deployment: str) -> int:
        """Return how many pods the autoscaler of a Deployment wants at least; 0 without one."""
        bounds = [
            one["spec"].get("minReplicas", 1)
            for one in self.objects
            if one["kind"] == "HorizontalPodAutoscaler"
            and one["spec"]["scaleTargetRef"]["name"] == deployment
        ]
        return max(bounds, default=0)

    def beside(self, track: str, instances: int) -> dict[str, Any]:
        """Return a Deployment for a canary or its control, under the same Service.

        It selects only its own pods. Both have a canary's label, by which they are removed.
        """
        deployment = copy.deepcopy(self.deployment)
        deployment["metadata"]["name"] += f"-{track}"
        deployment["metadata"]["labels"][TRACK] = CANARY
        spec = deployment["spec"]
        spec["replicas"] = instances
        for labels in (spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
            labels[TRACK] = track
        [server] = spec["template"]["spec"]["containers"]
        name, value = CONNECTIONS
        server.setdefault("env", []).append({"name": name, "value": value})
        return deployment


def labels_of(environment: ClusterEnvironment, policy: Policy) -> dict[str, str]:
    """Return the labels that identify an environment's objects."""
    return {PROJECT: policy.project, ENVIRONMENT: environment.name}


def render(
    environment: ClusterEnvironment, policy: Policy, record: Record, image: ImageRecord, event: str
) -> bytes:
    """Return the manifests of a release; `PreconditionFailed` if they would run another image."""
    overlay = policy.root / (environment.overlay or f"deploy/overlays/{environment.name}")
    assert policy.image, "the policy was checked"
    annotations = {
        VERSION: record.version,
        DIGEST: record.digest,
        EVENT: event,
        IMAGE_ID: image.image_id,
    }
    metadata = {"annotations": annotations}
    patch = {
        **{"apiVersion": "apps/v1", "kind": "Deployment"},
        "metadata": {"name": "any"} | metadata,
        "spec": {"template": {"metadata": metadata}},
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        layer = HEADER | {
            # Kustomize refuses an absolute path.
            "resources": [os.path.relpath(overlay.resolve(), folder)],
            "images": [
                {
                    "name": policy.image.repository,
                    "newName": image.repository,
                    "newTag": image.tag,
                    "digest": image.digest,
                }
            ],
            "labels": [{"pairs": labels_of(environment, policy), "includeTemplates": True}],
            "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps(patch)}],
        }
        (folder / INDEX).write_text(json.dumps(layer), encoding="utf-8")
        try:
            rendered = kubectl.kustomize(folder)
        except kubectl.KubectlFailed as error:
            raise _refuse(environment, f"kustomize cannot read {overlay}: {error}") from None
    faults = list(_faults(environment, policy.image.repository, image, rendered))
    if faults:
        raise _refuse(environment, "\n".join(faults))
    return rendered


def read(desired: Mapping[str, bytes]) -> Manifests:
    """Parse a desired state; `ConfigurationError` if it is another platform's."""
    if MANIFEST not in desired:
        raise ConfigurationError(
            f"the desired state has no {MANIFEST}",
            why="it was rendered for another platform",
            state="nothing was changed",
            next_step="promote the release again, so that it is rendered for this platform",
        )
    try:
        return Manifests(tuple(_objects(desired[MANIFEST])))
    except (yaml.YAMLError, ValueError) as error:
        raise HistoryCorrupt(
            f"the manifests in {MANIFEST} cannot be read",
            why=str(error),
            state="nothing was changed",
            next_step="git fsck; or choose another release",
        ) from None


def index() -> bytes:
    """Return the kustomization of the branch, for an agent that watches it."""
    return (json.dumps(HEADER | {"resources": [MANIFEST]}, indent=2) + "\n").encode()


def containers(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every container in an object of any kind."""
    return (container for _, container in _containers(part))


def _objects(content: bytes) -> Iterator[dict[str, Any]]:
    for document in yaml.safe_load_all(content.decode()):
        if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
            raise ValueError("a document is not an object of a cluster")
        yield document


def _faults(
    environment: ClusterEnvironment, known_as: str, image: ImageRecord, rendered: bytes
) -> Iterator[str]:
    """Yield each reason why manifests must not be applied."""
    wanted = f"{image.repository}:{image.tag}@{image.digest}"
    if not WHOLE.fullmatch(image.digest):
        yield f"the release's digest {image.digest!r} is incomplete"
    objects = list(_objects(rendered))
    for one in objects:
        name = f"{one['kind']} {one['metadata'].get('name')}"
        namespace = one["metadata"].get("namespace", environment.namespace)
        if namespace != environment.namespace:
            yield f"{name} is for the namespace {namespace}, not {environment.namespace}"
        for kind, container in _containers(one):
            if container.get("image") != wanted:
                yield (
                    f"{kind} {container.get('name')!r} of {name} runs {container.get('image')}, "
                    f"not {wanted}; kustomize replaces only the image {known_as}"
                )
    deployments = [one for one in objects if one["kind"] == "Deployment"]
    if len(deployments) != 1:
        yield f"there are {len(deployments)} Deployments, but there must be one"
        return
    (deployment,) = deployments
    pod = deployment["spec"]["template"]["spec"]
    names = [container["name"] for container in pod["containers"]]
    if names != [CONTAINER]:
        yield f"the containers are {', '.join(names)}, but there must be one, {CONTAINER}"
    elif PORT not in {port.get("name") for port in pod["containers"][0].get("ports", ())}:
        yield f"the container has no port named {PORT}"
    if deployment["spec"]["selector"].get("matchLabels", {}).get(TRACK) != STABLE:
        yield f"the Deployment does not select {TRACK}: {STABLE}: it would select a canary's pods"
    for one in objects:
        if one["kind"] == "Service" and TRACK in one["spec"].get("selector", {}):
            yield f"the Service selects on {TRACK}, so a canary would get no request"


def _containers(part: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every container in an object of any kind, with the name of its list."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("containers", "initContainers", "ephemeralContainers"):
                yield from ((key.removesuffix("s"), one) for one in value if isinstance(one, dict))
            else:
                yield from _containers(value)
    elif isinstance(part, list):
        for each in part:
            yield from _containers(each)


def _refuse(environment: ClusterEnvironment, why: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"the manifests of {environment.name} would not run the release",
        why=why,
        state=f"{environment.name} unchanged",
        next_step=f"fix deploy/; kubectl kustomize deploy/overlays/{environment.name} shows them",
    )
