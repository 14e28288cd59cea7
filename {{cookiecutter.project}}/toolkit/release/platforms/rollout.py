"""A rollout in a cluster, watched until it is done, or until it is clear that it will not be.

What the cluster does meanwhile is told, and why it does not get on is in the error: the pods'
reasons, and the end of the log of one that has failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import NotServing, Unreachable
from .kubectl import POLL_S, Kubectl, KubectlFailed
from .manifests import CONTAINER, EVENT, VERSION

# No patience helps a container for which the kubelet says this.
HOPELESS = ("CrashLoopBackOff", "InvalidImageName", "CreateContainerConfigError")

Object = Mapping[str, Any]


@dataclass
class Rollout:
    """Watches one Deployment.

    Parameters
    ----------
    cluster : Kubectl
    labels : mapping of str to str
        What tells the environment's objects.
    name : str
        Of the Deployment.
    wanted : mapping of str to str
        The annotations of the pods that should come to run.
    timeout_s : int
    told : callable
        Hears what happens.
    """

    cluster: Kubectl
    labels: Mapping[str, str]
    name: str
    wanted: Mapping[str, str]
    timeout_s: int
    told: Callable[[str], None]
    _events: dict[str, int] = field(init=False, default_factory=dict)
    _last: str = field(init=False, default="")

    def begin(self) -> None:
        """Leave out what has happened until now."""
        for uid, count, _ in self._happened():
            self._events[uid] = count

    def wait(self, waiting_for: str = "") -> None:
        """Wait until every pod is new and ready.

        Raises
        ------
        NotServing
            It is not, and why.
        Unreachable
            The cluster has fallen silent, and the time is over.
        """
        deadline = time.monotonic() + self.timeout_s
        pods: list[Object] = []
        while True:
            trouble, silence = waiting_for or "nothing has begun", ""
            try:
                deployment, pods = self._look()
                self._tell_events()
            except Unreachable as error:
                silence = f"the cluster has fallen silent: {error}"
                self._tell(silence)
            except KubectlFailed as error:
                raise NotServing(f"the cluster does not show {self.name}: {error}") from None
            else:
                if deployment and is_done(deployment, self.wanted[EVENT]):
                    return
                if deployment and _event_of(deployment["spec"]["template"]) == self.wanted[EVENT]:
                    reasons = [*_refusals(deployment), *map(reason, filter(_is_unready, pods))]
                    trouble = "; ".join(reasons) or "its pods are still to come"
                self._tell(f"{_progress(deployment)}{trouble}")
                if any(_is_hopeless(pod) for pod in pods):
                    raise NotServing(f"release {self.wanted[VERSION]}: {trouble}{self._tail(pods)}")
            if time.monotonic() > deadline:
                if silence:
                    raise Unreachable(silence)
                late = f"was not ready after {self.timeout_s} s"
                tail = self._tail(pods)
                raise NotServing(f"release {self.wanted[VERSION]} {late}: {trouble}{tail}")
            time.sleep(POLL_S)

    def _look(self) -> tuple[Object | None, list[Object]]:
        """Return the Deployment, and those of its pods that are new."""
        found = self.cluster.get("deployments.apps,pods", self.labels)
        named = [one for one in found if one["metadata"]["name"] == self.name]
        pods: list[Object] = [
            one
            for one in found
            if one["kind"] == "Pod"
            and _event_of(one) == self.wanted[EVENT]
            and one["metadata"]["name"].startswith(f"{self.name}-")
        ]
        return next(iter(named), None), pods

    def _happened(self) -> Iterator[tuple[str, int, str]]:
        """Yield the events about the Deployment and its pods: uid, count and text."""
        for event in self.cluster.get("events"):
            about = event.get("involvedObject", {})
            if str(about.get("name", "")).startswith(self.name):
                text = f"{about.get('kind', '').lower()}/{about['name']}: {event.get('reason', '')}"
                count = event.get("count") or event.get("series", {}).get("count") or 1
                yield event["metadata"]["uid"], count, f"{text}: {event.get('message', '')}"

    def _tell_events(self) -> None:
        for uid, count, text in self._happened():
            if self._events.get(uid, 0) < count:
                self._events[uid] = count
                self.told(f"  {one_line(text)}")

    def _tell(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self.told(f"  {text}")

    def _tail(self, pods: Sequence[Object]) -> str:
        """Return the end of the log of a pod that is not ready, if one has got as far as that."""
        for pod in pods:
            status = _status(pod)
            if _is_unready(pod) and (status.get("restartCount") or "running" in _state(pod)):
                previous = ("--previous",) if status.get("restartCount") else ()
                log = self.cluster.log(pod["metadata"]["name"], CONTAINER, *previous)
                return f"\n{log}" if log else ""
        return ""


def is_done(deployment: Object, event: str) -> bool:
    """Tell whether a Deployment has changed over to what an event wanted, all of it."""
    status = deployment.get("status", {})
    replicas = deployment["spec"].get("replicas", 1)
    return (
        _event_of(deployment["spec"]["template"]) == event
        and status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
        and status.get("availableReplicas", 0) == replicas
    )


def is_settled(deployment: Object) -> bool:
    """Tell whether a Deployment's last change has come to its end, whatever was scaled since."""
    conditions = deployment.get("status", {}).get("conditions", ())
    return any(
        one["type"] == "Progressing" and one.get("reason") == "NewReplicaSetAvailable"
        for one in conditions
    ) and (
        deployment["status"].get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    )


def reason(pod: Object) -> str:
    """Say why a pod is not ready."""
    name, state, status = pod["metadata"]["name"], _state(pod), _status(pod)
    waiting = state.get("waiting", {})
    ended = (state if "terminated" in state else status.get("lastState", {})).get("terminated", {})
    said = [waiting.get("reason"), waiting.get("message")]
    if ended:
        said += [f"it has ended with {ended.get('exitCode')}", ended.get("reason")]
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            said += [condition.get("reason"), condition.get("message")]
    if "running" in state:
        said.append("it runs, and is not ready")
    return f"{name}: {one_line(', '.join(str(one) for one in said if one)) or 'not started yet'}"


def is_ready(pod: Object) -> bool:
    """Tell whether a pod gets requests."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def has_ended(pod: Object) -> bool:
    """Tell whether a pod is on its way out, or has only left its entry."""
    ended = pod.get("status", {}).get("phase") in ("Failed", "Succeeded")
    return ended or "deletionTimestamp" in pod["metadata"]


def is_new(pod: Object) -> bool:
    """Tell whether a pod has never been as far as to be asked: the autoscaler's newest, say."""
    status = _status(pod)
    return not status.get("started") and not status.get("restartCount")


def one_line(text: str) -> str:
    """Fold a text."""
    return " ".join(text.split())


def _status(pod: Object) -> Object:
    """Return what is said of the server's container."""
    statuses = pod.get("status", {}).get("containerStatuses", ())
    found: Object = next((one for one in statuses if one["name"] == CONTAINER), {})
    return found


def _state(pod: Object) -> Object:
    state: Object = _status(pod).get("state", {})
    return state


def _is_unready(pod: Object) -> bool:
    return not is_ready(pod) and not has_ended(pod)


def _is_hopeless(pod: Object) -> bool:
    return _state(pod).get("waiting", {}).get("reason") in HOPELESS


def _event_of(part: Object) -> str:
    return str(part["metadata"].get("annotations", {}).get(EVENT, ""))


def _refusals(deployment: Object) -> Iterator[str]:
    """Yield why the cluster lets no pod come: a quota, an admission."""
    for condition in deployment.get("status", {}).get("conditions", ()):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield one_line(f"{condition.get('reason')}: {condition.get('message')}")


def _progress(deployment: Object | None) -> str:
    if deployment is None:
        return ""
    updated = deployment.get("status", {}).get("updatedReplicas", 0)
    ready = deployment.get("status", {}).get("availableReplicas", 0)
    wanted = deployment["spec"].get("replicas", 1)
    return f"{updated} of {wanted} pods are new, {ready} serve; "
