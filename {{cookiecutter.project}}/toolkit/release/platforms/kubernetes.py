"""The ``kubernetes`` platform: a release's image in a cluster, through kubectl and kustomize.

The cluster does the rolling update; this module decides what it should run, and verifies what it
does. Pods are reached only through the API server's proxy, so a command works wherever kubectl
does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import requests

from ..canary.histogram import Counts, counts_in
from ..canary.traffic import PATH, SERVER_ERROR, Replay, Reply
from ..canary.verdict import Side
from ..errors import ArtifactGone, NotServing, PreconditionFailed, Undecided, Unreachable
from ..images import registry
from ..images.host import login
from ..images.record import ImageRecord, image_of
from ..policy import ClusterEnvironment, Policy
from ..records import Record
from . import managed_fields, manifests
from .blame import of_the_machine
from .kubectl import Kubectl, KubectlFailed, retried
from .manifests import CONTAINER, DIGEST, IMAGE_ID, PORT, TRACK, VERSION, Manifests
from .protocol import CANARY, CONTROL, STABLE, Instance, Observation, Unseen, compared
from .rollout import Rollout, has_ended, is_new, is_ready, is_settled, one_line, settled_at

# A restart of the API server takes no longer than this; beyond it is an outage.
RETRY_S = 20
# The fields by which objects are compared: the cluster adds others.
COMPARED = ("spec", "data", "automountServiceAccountToken")
# The cluster's controllers may change an object between its reading and its writing.
TRIES = 10


@contextmanager
def serving(what: str) -> Iterator[None]:
    """Turn a refusal by the cluster into `NotServing`."""
    try:
        yield
    except KubectlFailed as error:
        raise NotServing(f"{what}: {error}") from None


class KubernetesPlatform:
    """Drives one environment's Deployment.

    Parameters
    ----------
    environment : ClusterEnvironment
    policy : Policy
    """

    def __init__(self, environment: ClusterEnvironment, policy: Policy) -> None:
        self.environment = environment
        self.policy = policy
        self._labels = manifests.labels_of(environment, policy)
        self._retry_s = min(RETRY_S, environment.timeout_s)

    def locate(self) -> None:
        """Check the cluster's identity, which also fails if it does not answer."""
        try:
            _ = self._cluster
        except Unreachable as error:
            raise self._refusal(
                f"the cluster of {self.environment.name} does not answer",
                str(error),
                "make sure that kubectl reaches it: kubectl get namespaces",
            ) from None

    def render(
        self, record: Record, bundle: Callable[[], Mapping[str, bytes]], event: str
    ) -> dict[str, bytes]:
        """Return the overlay's manifests with the release's image by digest, checked."""
        image = image_of(record, bundle())
        rendered = manifests.render(self.environment, self.policy, record, image, event)
        return {manifests.MANIFEST: rendered, manifests.INDEX: manifests.index()}

    def examine(self, desired: Mapping[str, bytes]) -> None:
        """Look for the image at the registry, and let the cluster dry-run all objects.

        Fields of another manager are refused here, unless an agent deploys.
        """
        state, name = manifests.read(desired), self.environment.name
        reference = _server(state.deployment["spec"]["template"])["image"]
        repository, _, digest = reference.partition("@")
        gone = self._missing(repository.rpartition(":")[0], digest)
        if gone:
            raise self._refusal(f"{reference} is gone", gone, "push it again: invoke build --push")
        try:
            forced = ("--force-conflicts",) if self.environment.agent else ()
            self._cluster.would_apply(state.objects, *forced)
        except KubectlFailed as error:
            fix = "fix the manifests, or what in the cluster refuses them"
            if "conflict" in str(error):
                fix = f"another manager owns these fields: invoke deploy --env {name} takes over"
            what = f"the cluster does not accept the manifests of {name}"
            raise self._refusal(what, str(error), fix) from None
        except Unreachable as error:
            what = f"the cluster of {name} does not answer"
            raise self._refusal(what, str(error), "try again when it does") from None

    def require(self, record: Record, bundle: Mapping[str, bytes]) -> None:
        """Look for the image at the registry; if that does not answer, the nodes may have it."""
        image = image_of(record, bundle)
        gone = self._missing(image.repository, image.digest)
        if gone:
            raise ArtifactGone(
                f"the image of release {record.version} is gone",
                why=gone,
                state=f"{self.environment.name} unchanged",
                next_step="push it to the registry again, or choose another release",
            )

    def warning(self, record: Record, bundle: Mapping[str, bytes]) -> str:
        """Compare the tag at the registry with the release; the digest is what runs."""
        image = image_of(record, bundle)
        tag = f"{image.repository}:{image.tag}"
        try:
            held = registry.held(image.repository, image.tag, login())
            if held == image.digest or _holds(image, held):
                return ""
        except requests.RequestException as error:
            return f"{tag} cannot be read at the registry: {error}"
        return (
            f"{tag} is {held or 'gone'} at the registry, the release is {image.digest}: "
            "the digest counts"
        )

    def preflight(self, record: Record, bundle: Callable[[], Mapping[str, bytes]]) -> None:
        """Do nothing: the nodes pull the image by its digest."""

    def apply(
        self,
        desired: Mapping[str, bytes],
        event: str,
        guard: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Apply all objects after a dry run of all, and watch the rolling update.

        Where an agent applies them, wait for it.
        """
        state = manifests.read(desired)
        rollout = self._rollout(state, state.name, report)
        if self.environment.agent:
            guard()
            waiting = f"waiting for {self.environment.agent} to apply event {event[:12]}"
            report(f"  {waiting} of the branch env/{self.environment.name}")
            rollout.wait(waiting)
            return
        with serving("the cluster does not accept the manifests"):
            self._remove_canary()
            self._retried(lambda: self._cluster.would_apply(state.objects, "--force-conflicts"))
            guard()
            self._retried(lambda: self._take_over(state.objects))
            self._retried(lambda: self._cluster.apply(state.objects, self.environment.timeout_s))
        rollout.wait()

    def canary(
        self,
        desired: Mapping[str, bytes],
        before: Mapping[str, bytes],
        instances: int,
        event: str,
        guard: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Start pods of both releases beside the others, under the same Service."""
        states = {CANARY: manifests.read(desired), CONTROL: manifests.read(before)}
        started = [state.beside(track, instances) for track, state in states.items()]
        canary, control = (
            self._rollout(state, one["metadata"]["name"], report)
            for state, one in zip(states.values(), started, strict=True)
        )
        with serving("the cluster does not accept the canary and its control"):
            self._retried(lambda: self._cluster.would_apply(started, "--force-conflicts"))
            guard()
            self._retried(lambda: self._cluster.apply(started, self.environment.timeout_s))
        canary.wait()
        with of_the_machine():
            control.wait()

    def answered(self, address: str, mark: str) -> tuple[Side, str]:
        """Read the counts of a pod's metrics; a mark holds the counts of an earlier time."""
        try:
            text = self._cluster.read(f"{address}/proxy/metrics").decode()
            now = counts_in(text)
        except (KubectlFailed, Unreachable, ValueError) as error:
            if not mark:
                raise Undecided(f"the metrics of {address} cannot be read: {error}") from None
            # Counters go on: the next reading includes these requests.
            return Side((), 0), mark
        return now.since(Counts.read(mark) if mark else now), now.mark()

    def replay(self, requests: Sequence[Any], per_second: int) -> Replay:
        """Return a replay to the pods of both, through the API server's proxy."""
        return _Proxied(self, requests, per_second)

    def stop(self, event: str, guard: Callable[[], None]) -> None:
        """Delete the Deployments; the other objects cost nothing."""
        with serving("the cluster has refused"):
            guard()
            self._delete({})

    def observe(self) -> Observation:
        """Return the pods, checked for the image that each of them runs."""
        kinds = "deployments.apps,services,pods"
        try:
            found = self._retried(lambda: self._cluster.get(kinds, self._labels))
        except KubectlFailed as error:
            return Unseen("", (), f"the cluster does not list its pods: {error}")
        deployments = [one for one in found if one["kind"] == "Deployment"]
        services = [one["metadata"]["name"] for one in found if one["kind"] == "Service"]
        pods = [one for one in found if one["kind"] == "Pod" and not has_ended(one)]
        if not deployments and not pods:
            return Observation("", (), "nothing runs")
        settled = {_track(one) for one in deployments if is_settled(one)}
        counted = [one for one in pods if not (_track(one) in settled and is_new(one))]
        trouble = [*map(self._wrong_image, counted), *map(_shortage, deployments)]
        if not services:
            trouble.append("the Service is gone")
        if STABLE not in {_track(one) for one in deployments}:
            trouble.append("the Deployment is gone")
        return Observation(
            endpoint=f"services/{services[0]}:{PORT}" if services else "",
            instances=tuple(_instance(one) for one in counted),
            trouble="; ".join(one for one in trouble if one),
            since=_since(deployments, counted),
        )

    def changed(self, desired: Mapping[str, bytes]) -> str:
        """Return what an apply would change: what was set or added by hand, missing objects."""
        state = manifests.read(desired)
        try:
            wanted = self._cluster.would_apply(state.objects, "--force-conflicts")
            live = {_name(one): one for one in self._cluster.live(state.objects)}
        except KubectlFailed as error:
            raise Unreachable(f"changes by hand cannot be detected: {error}") from None
        changes = []
        for one in wanted:
            now = live.get(_name(one))
            if now is None:
                changes.append(f"{_name(one)} is gone")
            else:
                changes += _differences(_name(one), _compared(one), _compared(now))
                added = managed_fields.additions(one, self._cluster.manager)
                changes += [f"{_name(one)} has {each}" for each in added]
        return "; ".join(changes)

    def unready(self, record: Record) -> str:
        """Return an empty text: which node has its image, only the cluster knows."""
        return ""

    def stored(self) -> list[str]:
        """Return nothing: nodes clean up their images themselves."""
        return []

    def discard(self, release: str) -> None:
        """Do nothing: nodes clean up their images themselves."""

    def ask(self, address: str, path: str, body: Any = None) -> Any:
        """Return the answer of a pod or the Service, through the API server's proxy."""
        where = f"{address}/proxy{path}"
        with serving(f"{address}{path} does not answer"):
            if body is None:
                answer = self._retried(lambda: self._cluster.read(where))
            else:
                content = json.dumps(body).encode()
                answer = self._retried(lambda: self._cluster.send(where, content))
        try:
            return json.loads(answer)
        except ValueError:
            raise NotServing(f"{address}{path} answers {answer[:200]!r}") from None

    @cached_property
    def _cluster(self) -> Kubectl:
        """The cluster of release.toml, and no other."""
        environment, name = self.environment, self.environment.name
        manager = f"release-{self.policy.project}"
        cluster = Kubectl.choose(environment.context, environment.namespace, manager)
        where = f"context {cluster.context}" if cluster.context else "kubectl, without a context,"
        try:
            found = cluster.cluster()
        except KubectlFailed as error:
            what = f"the identity of the cluster of {name} cannot be read"
            raise self._refusal(what, f"{where}: {error}", "kubectl config get-contexts") from None
        if found != environment.cluster:
            raise self._refusal(
                f"{where} is for another cluster than that of {name}",
                f"its kube-system has the UID {found}, release.toml has {environment.cluster}",
                f"choose the right context, or write that UID into [environments.{name}]",
            )
        return cluster

    def _retried(self, call: Callable[[], Any]) -> Any:
        return retried(call, self._retry_s)

    def _refusal(self, what: str, why: str, next_step: str) -> PreconditionFailed:
        return PreconditionFailed(what, why, f"{self.environment.name} unchanged", next_step)

    def _rollout(self, state: Manifests, name: str, report: Callable[[str], None]) -> Rollout:
        timeout_s = self.environment.timeout_s
        cluster = self._retried(lambda: self._cluster)
        rollout = Rollout(
            *(cluster, self._labels, name, state.annotations),
            *(state.least(name), timeout_s, report),
        )
        with serving("the cluster does not list its events"):
            self._retried(rollout.skip_earlier_events)
        return rollout

    def _take_over(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Make what others have added to these objects ours, so that an apply removes it."""
        for tries_left in reversed(range(TRIES)):
            try:
                for one in self._cluster.live(objects):
                    owners = managed_fields.taken_over(one, self._cluster.manager)
                    if owners is not None:
                        self._cluster.own(one, owners)
                return
            except KubectlFailed:
                if not tries_left:
                    raise

    def _remove_canary(self) -> None:
        self._delete({TRACK: CANARY})

    def _delete(self, more: Mapping[str, str]) -> None:
        labels, timeout_s = {**self._labels, **more}, self.environment.timeout_s
        self._retried(lambda: self._cluster.delete("deployments.apps", labels, timeout_s))

    def _missing(self, repository: str, digest: str) -> str:
        """Return that an image exists nowhere, or an empty text, also if the registry is silent."""
        try:
            if registry.held(repository, digest, login()):
                return ""
        except requests.RequestException:
            return ""
        try:
            nodes = self._cluster.get("nodes")
        except (KubectlFailed, Unreachable):
            nodes = []
        names = (
            name
            for node in nodes
            for image in node.get("status", {}).get("images", ())
            for name in image.get("names") or ()
        )
        if any(name.endswith(f"@{digest}") for name in names):
            return ""
        return f"neither the registry nor a node has {repository}@{digest}"

    def _wrong_image(self, pod: Mapping[str, Any]) -> str:
        """Return that a pod runs another image than its manifest names, or an empty text."""
        reference = _server(pod)["image"]
        repository, _, wanted = reference.rpartition("@")
        statuses = pod.get("status", {}).get("containerStatuses", ())
        runs = next((one.get("imageID", "") for one in statuses if one["name"] == CONTAINER), "")
        digest = runs.rpartition("@")[2].removeprefix("docker://")
        if digest in ("", wanted, pod["metadata"].get("annotations", {}).get(IMAGE_ID)):
            return ""
        # A runtime may report the image that it has chosen from an index.
        try:
            linux = {"os": "linux"}
            if registry.lists(repository.rpartition(":")[0], wanted, digest, linux, login()):
                return ""
            relation = "which does not belong to it"
        except requests.RequestException:
            relation = "and the registry does not answer whether it belongs to it"
        return f"{pod['metadata']['name']} runs {digest} instead of {wanted}, {relation}"


class _Proxied(Replay):
    """Sends through the API server's proxy, where an answer does not name its release."""

    def __init__(
        self, platform: KubernetesPlatform, requests: Sequence[Any], per_second: int
    ) -> None:
        super().__init__(compared(platform.observe()), requests, per_second)
        self._platform = platform

    def send(self, address: str, body: bytes) -> Reply:
        """Send one request; unanswered ones are in the pods' own metrics."""
        try:
            answer = self._platform.ask(address, PATH, json.loads(body))
        except NotServing:
            return Reply("", SERVER_ERROR, None)
        except Unreachable:
            return Reply("", 0, None)
        return Reply("", 200, answer)


def _holds(image: ImageRecord, index: str) -> bool:
    """Return whether a tag names an index that has the image."""
    linux = {"os": "linux"}
    return bool(index) and registry.lists(image.repository, index, image.digest, linux, login())


def _server(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the server's container of a pod; a service mesh may have added its own."""
    containers = part["spec"]["containers"]
    found: Mapping[str, Any] = next(
        (one for one in containers if one["name"] == CONTAINER), containers[0]
    )
    return found


def _track(part: Mapping[str, Any]) -> str:
    return str(part["metadata"].get("labels", {}).get(TRACK, STABLE))


def _instance(pod: Mapping[str, Any]) -> Instance:
    metadata, container = pod["metadata"], _server(pod)
    annotations = metadata.get("annotations", {})
    # The proxy takes a Service's port by name, but a pod's only by number.
    ports = [one["containerPort"] for one in container.get("ports", ()) if one.get("name") == PORT]
    statuses = pod.get("status", {}).get("containerStatuses", ())
    restarts = sum(one.get("restartCount", 0) for one in statuses)
    return Instance(
        release=annotations.get(VERSION, ""),
        digest=annotations.get(DIGEST, ""),
        address=f"pods/{metadata['name']}:{ports[0] if ports else ''}",
        pid=0,
        state="ready" if is_ready(pod) else "failed" if restarts else "starting",
        restarts=restarts,
        track=_track(pod),
    )


def _since(deployments: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> str:
    """Return when the last rolling update was complete, if all pods are of one release.

    The cluster keeps that time when a pod is restarted, replaced or added.
    """
    digests = {one["metadata"].get("annotations", {}).get(DIGEST) for one in pods}
    times = [settled_at(one) for one in deployments if _track(one) == STABLE]
    return times[0] if len(digests) == len(times) == 1 else ""


def _shortage(deployment: Mapping[str, Any]) -> str:
    """Return why a Deployment has fewer pods than it should, or an empty text."""
    wanted = deployment["spec"].get("replicas", 1)
    status = deployment.get("status", {})
    refused = [
        one_line(f", {one.get('reason')}: {one.get('message')}")
        for one in status.get("conditions", ())
        if one["type"] == "ReplicaFailure" and one["status"] == "True"
    ]
    name = deployment["metadata"]["name"]
    if not wanted:
        return f"{name} is scaled to zero"
    return f"{name} lacks pods{refused[0]}" if refused else ""


def _name(part: Mapping[str, Any]) -> str:
    return f"{part['kind']} {part['metadata']['name']}"


def _compared(part: Mapping[str, Any]) -> dict[str, Any]:
    metadata = part["metadata"]
    kept = {key: part[key] for key in COMPARED if key in part}
    return kept | {key: metadata.get(key, {}) for key in ("labels", "annotations")}


def _differences(where: str, wanted: Any, now: Any) -> list[str]:
    """Return where two values differ, a sentence each."""
    if isinstance(wanted, dict) and isinstance(now, dict):
        return [
            found
            for key in sorted(wanted.keys() | now.keys())
            for found in _differences(f"{where} {key}", wanted.get(key), now.get(key))
        ]
    if isinstance(wanted, list) and isinstance(now, list) and len(wanted) == len(now):
        pairs = zip(wanted, now, strict=True)
        return [found for one, other in pairs for found in _differences(where, one, other)]
    return [] if wanted == now else [f"{where} is {json.dumps(now)}, not {json.dumps(wanted)}"]
