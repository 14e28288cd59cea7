"""A workshop whose production is in a cluster, simulated by the kubectl of ``kubectl.py``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from toolkit.release.engine import Machine
from toolkit.release.event import Event
from toolkit.release.git import Repository
from toolkit.release.images.record import ImageRecord
from toolkit.release.policy import CanaryPolicy, ClusterEnvironment, ImagePolicy
from toolkit.release.records import Record, sha256
from toolkit.release.status import Status, look

from .kubectl import CLUSTER, REPLICAS, Cluster
from .workshop import Workshop, commit, free_port, git

NAME = "churn"
NAMESPACE = "churn-prod"
DEPLOYMENT, SERVICE = f"Deployment/{NAME}", f"Service/{NAME}"
CANARY, CONTROL = f"{DEPLOYMENT}-canary", f"{DEPLOYMENT}-control"
AUTOSCALER = f"HorizontalPodAutoscaler/{NAME}"
# Short, but longer than any successful change takes.
TIMEOUT_S = 10

KUSTOMIZATION = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


def base(image: str) -> list[dict[str, Any]]:
    """Return a minimal base of an environment."""
    name = {"app.kubernetes.io/name": NAME}
    stable = name | {"track": "stable"}
    ports = [{"name": "http", "containerPort": 8080}]
    container = {"name": "server", "image": image, "ports": ports}
    return [
        {
            **{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME}},
            "spec": {
                "selector": {"matchLabels": stable},
                "template": {"metadata": {"labels": stable}, "spec": {"containers": [container]}},
            },
        },
        {
            **{"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}},
            "spec": {
                "selector": name,
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            },
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": NAME},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
                "minReplicas": REPLICAS,
                "maxReplicas": 9,
            },
        },
    ]


@dataclass(frozen=True)
class ClusterShop:
    """A workshop, and the cluster in which its only environment is."""

    workshop: Workshop
    cluster: Cluster

    @classmethod
    def open(cls, folder: Path, cluster: Cluster) -> ClusterShop:
        """Make a repository with a remote, and manifests; the registry is down."""
        workshop = Workshop.open(folder / "clone", folder / "remote.git")
        prod = ClusterEnvironment(
            *("prod", "kubernetes"),
            cluster=CLUSTER,
            namespace=NAMESPACE,
            timeout_s=TIMEOUT_S,
        )
        policy = replace(
            workshop.machine.policy,
            environments=(prod,),
            image=ImagePolicy(f"127.0.0.1:{free_port()}/models/{NAME}", 600),
            root=workshop.folder,
        )
        machine = Machine(workshop.machine.repository, policy)
        shop = cls(replace(workshop, machine=machine), cluster)
        shop.write("base", {"resources": ["objects.json"]})
        shop.objects(base(shop.repository))
        shop.write("overlays/prod", {"namespace": NAMESPACE, "resources": ["../../base"]})
        git(workshop.folder, "add", "deploy")
        commit(workshop.folder, "manifests")
        return shop

    @property
    def folder(self) -> Path:
        return self.workshop.folder

    @property
    def machine(self) -> Machine:
        return self.workshop.machine

    @property
    def prod(self) -> ClusterEnvironment:
        environment = self.machine.policy.environment("prod")
        assert isinstance(environment, ClusterEnvironment)
        return environment

    @property
    def repository(self) -> str:
        """The repository of the images."""
        assert self.machine.policy.image
        return self.machine.policy.image.repository

    def write(self, folder: str, kustomization: dict[str, Any]) -> None:
        """Write a kustomization."""
        path = self.folder / "deploy" / folder / "kustomization.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(KUSTOMIZATION | kustomization), encoding="utf-8")

    def objects(self, objects: list[dict[str, Any]]) -> None:
        """Write the base's objects."""
        content = {"apiVersion": "v1", "kind": "List", "items": objects}
        path = self.folder / "deploy" / "base" / "objects.json"
        path.write_text(json.dumps(content), encoding="utf-8")

    def image(self, record: Record) -> ImageRecord:
        """Return the image of a release."""
        return ImageRecord(
            repository=self.repository,
            tag=record.version,
            digest=f"sha256:{sha256(record.version.encode())}",
            image_id=f"sha256:{sha256(record.digest.encode())}",
            base="python:3.13-slim",
            release_digest=record.digest,
            size_bytes=1,
            own_bytes=1,
        )

    def release(self, model: bytes = b"good", others: Mapping[str, bytes] | None = None) -> Record:
        """Make a release whose image every node can pull; ``others`` as in `Workshop.release`."""
        record = self.workshop.release(
            model, "passed", lambda one: self.image(one).to_json(), others
        )
        answers = {
            "release": record.version,
            "digest": record.digest,
            "model_sha256": record.model_sha256,
            "model": model.decode("utf-8", "replace"),
        }
        self.cluster.know(self.image(record).digest, answers)
        return record

    def serve(self, record: Record, command: Sequence[str]) -> None:
        """Let a release's pods run a real server on this machine."""
        with self.cluster.state() as state:
            state["releases"][self.image(record).digest]["command"] = list(command)

    def promote(self, record: Record) -> Event:
        """Promote a release to the cluster."""
        return self.workshop.promote(record, self.prod)

    def rollback(self, version: str | None = None) -> Event:
        """Roll back."""
        return self.workshop.rollback(self.prod, version)

    def look(self) -> Status:
        """Compare the desired state with what runs."""
        return look(self.machine, self.workshop.ledger(), self.prod)

    def serves(self, record: Record) -> bool:
        """Return whether every pod runs a release, and neither a canary nor its control is left."""
        image = self.image(record)
        every = {f"{image.repository}:{image.tag}@{image.digest}"}
        left = {CANARY, CONTROL} & set(self.cluster.objects())
        return self.cluster.images() == every and not left

    def changed(self, **settings: Any) -> ClusterShop:
        """Return the same with other settings of its environment."""
        policy = replace(self.machine.policy, environments=(replace(self.prod, **settings),))
        machine = replace(self.machine, policy=policy)
        return replace(self, workshop=replace(self.workshop, machine=machine))

    def with_canary(self, **settings: Any) -> ClusterShop:
        """Return the same with a canary."""
        rules: dict[str, Any] = {"windows": 7, "looks": 1, "window_s": 0}
        return self.changed(canary=CanaryPolicy(**rules | settings))

    @contextmanager
    def copied(self, folder: Path) -> Iterator[ClusterShop]:
        """Return a copy of repository, remote and cluster, for one test."""
        shutil.copytree(self.folder.parent, folder, dirs_exist_ok=True)
        clone = folder / "clone"
        git(clone, "remote", "set-url", "origin", str(folder / "remote.git"))
        machine = Machine(Repository(clone), replace(self.machine.policy, root=clone))
        cluster = Cluster(folder / self.cluster.path.name)
        with reached(cluster, folder / "bin"):
            yield ClusterShop(Workshop(clone, machine), cluster)


@contextmanager
def reached(cluster: Cluster, folder: Path) -> Iterator[None]:
    """Let every command reach a cluster, through the PATH."""
    cluster.give(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        yield


@contextmanager
def opened(folder: Path) -> Iterator[ClusterShop]:
    """Open a workshop with a cluster; skip without a kubectl, which renders the manifests."""
    real = shutil.which("kubectl")
    if real is None:
        pytest.skip("there is no kubectl here, which renders the manifests")
    cluster = Cluster.begin(folder, real)
    with reached(cluster, folder / "bin"), closing(cluster):
        yield ClusterShop.open(folder, cluster)
