"""The whole story of releases in a real cluster: only the server is a stand-in.

``KUBECONFIG`` names the cluster. It needs no more than a conformant API server and nodes that can
pull an image with Python 3.11 or newer, which serves `stand_in_server.py`:
``CLUSTER_IMAGE_REPOSITORY``, ``CLUSTER_IMAGE_TAG`` and ``CLUSTER_IMAGE_DIGEST``.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from toolkit.release.engine import Machine
from toolkit.release.errors import CanaryInconclusive, RolledBack
from toolkit.release.images import registry
from toolkit.release.images.record import ImageRecord
from toolkit.release.policy import CanaryPolicy, ClusterEnvironment, ImagePolicy
from toolkit.release.progress import Progress
from toolkit.release.records import FILE_NAME, Record, sha256
from toolkit.release.status import look
from toolkit.tests.command_line import CommandLine
from toolkit.tests.workshop import CASE, SERVER, SMOKE, Workshop

REPOSITORY = os.environ.get("CLUSTER_IMAGE_REPOSITORY", "docker.io/library/python")
TAG = os.environ.get("CLUSTER_IMAGE_TAG", "3.13-slim")
DIGEST = os.environ.get(
    "CLUSTER_IMAGE_DIGEST",
    "sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b",
)
NAME, PORT, REPLICAS = "churn", 8080, 2
# The image may have to be pulled, and a hopeless pod is waited for as long.
TIMEOUT_S, HOPELESS_S = 180, 30
CANARY = CanaryPolicy(windows=8, looks=2, window_s=5, requests_per_s=20)
# Canaries of equal releases: none may fail, and hardly any be inconclusive.
CANARIES, FEWEST_PASSED = 5, 4
# Customers in the cluster, each request on a connection of its own; they print each answer once.
CUSTOMERS = """
import random, threading, time, urllib.request
seen = []
def ask():
    while True:
        request = urllib.request.Request("http://churn/predict", b'{"age": 40}')
        try:
            answer = urllib.request.urlopen(request, timeout=5).read().decode()
        except OSError:
            answer = ""
        if answer not in (*seen, ""):
            seen.append(answer)
            print(answer, flush=True)
        time.sleep(random.expovariate(10))
for _ in range(8):
    threading.Thread(target=ask).start()
"""


def kubectl(*arguments: str, stdin: bytes = b"") -> str:
    """Run kubectl, as a change by hand."""
    done = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@dataclass
class Story:
    """A repository whose production is a namespace of the cluster.

    Parameters
    ----------
    workshop : Workshop
    """

    workshop: Workshop
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Print what has been done, and when."""
        print(f"\n== {time.monotonic() - self.began:6.1f}s  {text}", flush=True)

    @property
    def prod(self) -> ClusterEnvironment:
        environment = self.workshop.machine.policy.environment("prod")
        assert isinstance(environment, ClusterEnvironment)
        return environment

    def release(self, model: bytes) -> Record:
        """Make a release; the cluster is given what would be in its image."""
        record = self.workshop.release(model, image=image_of)
        content = {
            FILE_NAME: record.to_json().decode(),
            "model.onnx": model.decode(),
            "smoke.json": SMOKE.decode(),
            SERVER.name: SERVER.read_text(encoding="utf-8"),
        }
        metadata = {"name": f"release-{record.version}", "namespace": self.prod.namespace}
        configuration = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        kubectl("create", "-f", "-", stdin=json.dumps(configuration | {"data": content}).encode())
        return record

    def write(self, record: Record) -> None:
        """Write manifests whose pods serve a release."""
        folder = self.workshop.folder / "deploy" / "overlays" / "prod"
        folder.mkdir(parents=True, exist_ok=True)
        objects = {"apiVersion": "v1", "kind": "List", "items": list(manifests(record))}
        (folder / "objects.json").write_text(json.dumps(objects), encoding="utf-8")
        layer = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.prod.namespace,
            "resources": ["objects.json"],
        }
        (folder / "kustomization.yaml").write_text(json.dumps(layer), encoding="utf-8")

    def with_canary(self) -> Story:
        """Return the same, with a canary before each promotion."""
        return self.changed(canary=CANARY)

    def changed(self, **settings: Any) -> Story:
        """Return the same with other settings of its environment."""
        machine = self.workshop.machine
        policy = replace(machine.policy, environments=(replace(self.prod, **settings),))
        workshop = replace(self.workshop, machine=replace(machine, policy=policy))
        return Story(workshop, self.began)

    def promote(self, record: Record) -> str:
        """Promote a release, and return its canary's result."""
        self.write(record)
        return self.workshop.promote(record, self.prod).canary

    def refuse(self, record: Record) -> str:
        """Promote a release that rolls itself back, and return why."""
        with pytest.raises(RolledBack) as refusal:
            self.promote(record)
        return refusal.value.why

    def serves(self, record: Record) -> None:
        """Compare the cluster with a release; the command has verified its pods already."""
        seen = look(self.workshop.machine, self.workshop.ledger(), self.prod)
        assert (seen.release, seen.drift) == (record.version, "")
        deployments = kubectl("get", "deployments", "-n", self.prod.namespace, "-o", "name")
        assert deployments.split() == [f"deployment.apps/{NAME}"], "a canary is left"

    def drift(self) -> str:
        """Return how the cluster differs from the desired state in git."""
        return look(self.workshop.machine, self.workshop.ledger(), self.prod).drift


def image_of(record: Record) -> bytes:
    """Return one image for all releases, into which the release is mounted."""
    return ImageRecord(
        repository=REPOSITORY,
        tag=TAG,
        digest=DIGEST,
        image_id=f"sha256:{sha256(record.digest.encode())}",
        base=f"{REPOSITORY}:{TAG}",
        release_digest=record.digest,
        size_bytes=1,
        own_bytes=1,
    ).to_json()


# What containers and pods have in common.
CONTAINER = {
    "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}
POD = {
    "automountServiceAccountToken": False,
    "terminationGracePeriodSeconds": 5,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


def customers() -> Mapping[str, Any]:
    """Return a pod of customers who do not stop asking."""
    image, command = f"{REPOSITORY}:{TAG}@{DIGEST}", ["python3", "-c", CUSTOMERS]
    container = {"name": "customers", "image": image, "command": command, **CONTAINER}
    metadata = {"name": "customers", "labels": {"app.kubernetes.io/name": "customers"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    return pod | {"spec": {**POD, "containers": [container]}}


def begin_to_ask(story: Story) -> None:
    """Let customers ask, and wait until they do."""
    namespace = story.prod.namespace
    kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(customers()).encode())
    ready = ("--for=condition=Ready", f"--timeout={TIMEOUT_S}s")
    kubectl("wait", "pod/customers", "-n", namespace, *ready)


def manifests(record: Record) -> Iterator[Mapping[str, Any]]:
    """Yield the Deployment and the Service of a release."""
    name = {"app.kubernetes.io/name": NAME}
    stable, mounted = name | {"track": "stable"}, "/release"
    ready = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}
    container = {
        "name": "server",
        "image": REPOSITORY,
        "command": [
            *("python3", f"{mounted}/{SERVER.name}"),
            *("--bundle", mounted, "--port", str(PORT)),
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "startupProbe": ready | {"failureThreshold": TIMEOUT_S},
        "readinessProbe": ready,
        "volumeMounts": [{"name": "release", "mountPath": mounted}],
        **CONTAINER,
    }
    pod = {
        **POD,
        "containers": [container],
        "volumes": [{"name": "release", "configMap": {"name": f"release-{record.version}"}}],
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": stable},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": stable}, "spec": pod},
        },
    }
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}}
    yield service | {"spec": {"selector": name, "ports": ports}}


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """Begin in a namespace of its own, and remove it at the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    namespace = f"release-story-{uuid.uuid4().hex[:8]}"
    uid = kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    workshop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    prod = ClusterEnvironment(
        *("prod", "kubernetes"), cluster=uid, namespace=namespace, timeout_s=TIMEOUT_S
    )
    policy = replace(
        workshop.machine.policy,
        environments=(prod,),
        image=ImagePolicy(REPOSITORY, 600),
        lease_s=3600,
        root=workshop.folder,
    )
    kubectl("create", "namespace", namespace)
    try:
        yield Story(replace(workshop, machine=Machine(workshop.machine.repository, policy)))
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.cluster
def test_the_whole_story(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = story.release(b"steady one"), story.release(b"steady two")
    for record in (first, second):
        story.promote(record)
        story.serves(record)
        story.say(f"promoted {record.version}")

    hasty = story.changed(timeout_s=HOPELESS_S)
    for model in (b"crash at start", b"never ready", b"wrong predictions", b"wrong version"):
        why = hasty.refuse(story.release(model))
        story.serves(second)
        story.say(f"a release that is {model.decode()!r} has rolled itself back: {why}")

    begin_to_ask(story)
    why = hasty.refuse(story.release(b"proven wrong"))
    assert "the gated model" in why
    namespace = story.prod.namespace
    answers = kubectl("logs", "customers", "-n", namespace).splitlines()
    assert answers and all(json.loads(answer) == CASE["response"] for answer in answers)
    kubectl("delete", "pod", "customers", "-n", namespace, "--now")
    story.serves(second)
    story.say(f"a release that answers wrongly has never answered a customer: {why}")

    slower = story.with_canary().refuse(story.release(b"slower three"))
    assert "the canary failed: p95" in slower
    story.serves(second)
    story.say(f"a slower release has failed its canary: {slower}")

    third = story.release(b"steady three")
    passed = story.with_canary().promote(third)
    assert passed.startswith("pass: ")
    story.serves(third)
    story.say(f"a release has passed its canary: {passed}")

    kubectl("scale", f"deployment/{NAME}", "-n", namespace, f"--replicas={REPLICAS + 1}")
    drift = story.drift()
    assert "spec replicas" in drift
    story.workshop.machine.deploy(story.prod, Progress())
    story.serves(third)
    story.say(f"a change by hand was seen and taken back: {drift}")

    kubectl("set", "env", f"deployment/{NAME}", "-n", namespace, "ADDED=by-hand")
    beside = {"name": "second", "image": f"{REPOSITORY}:{TAG}", "command": ["sleep", "600"]}
    added = {"spec": {"template": {"spec": {"containers": [beside]}}}}
    kubectl("patch", f"deployment/{NAME}", "-n", namespace, f"--patch={json.dumps(added)}")
    drift = story.drift()
    assert "containers server env ADDED, added by kubectl-set" in drift
    assert "containers second, added by kubectl-patch" in drift
    story.workshop.machine.deploy(story.prod, Progress())
    story.serves(third)
    story.say(f"what was added by hand was seen and taken away: {drift}")

    kubectl("rollout", "restart", f"deployment/{NAME}", "-n", namespace)
    kubectl("rollout", "status", f"deployment/{NAME}", "-n", namespace, f"--timeout={TIMEOUT_S}s")
    story.serves(third)
    story.say("pods that were restarted by hand have not drifted")

    fourth = story.release(b"steady four")
    story.write(fourth)
    command = CommandLine.of(story.workshop).start(
        "promote", "--env", "prod", "--yes", "--version", fourth.version
    )
    assert command.stderr
    for line in command.stderr:
        if " 3/5 " in line:
            time.sleep(1)
            break
    command.kill()
    command.communicate()
    with monkeypatch.context() as patch:
        patch.setattr("toolkit.release.event.Event.lease_has_run_out", lambda self: True)
        ended = story.workshop.machine.recover(story.prod, Progress())
    story.serves(fourth if ended.outcome == "verified" else third)
    story.say(f"a promotion was killed and recovered: {ended.outcome}")

    def silent(*_: object) -> str:
        raise requests.ConnectionError("the registry does not answer")

    monkeypatch.setattr(registry, "held", silent)
    target = story.workshop.rollback(story.prod, second.version)
    assert target.release == second.version
    story.serves(second)
    story.say(f"rolled back to {second.version} without the registry")


@pytest.mark.cluster
@pytest.mark.parametrize("has_customers", [True, False])
def test_38_no_canary_of_an_equal_release_fails(story: Story, has_customers: bool) -> None:
    story.promote(story.release(b"steady"))
    if has_customers:
        begin_to_ask(story)
    tried = story.with_canary()
    passed = 0
    for _ in range(CANARIES):
        release = story.release(b"steady")
        try:
            said = tried.promote(release)
            assert said.startswith("pass: ")
            passed += 1
        except CanaryInconclusive as error:
            said = error.why
        story.say(f"an equal release: {said}")
    assert passed >= FEWEST_PASSED
