"""A rolling update in a cluster, watched until it is complete or has clearly failed.

Its progress is reported, and the reasons of a failure are in the error: the pods' states, and the
end of the log of one that has failed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import NotServing, ReleaseFailed, Unreachable
from .blame import ended_by_itself
from .kubectl import POLL_S, Kubectl, KubectlFailed
from .manifests import CONTAINER, EVENT, VERSION

# Reasons of the kubelet for which waiting is in vain.
HOPELESS = ("CrashLoopBackOff", "InvalidImageName", "CreateContainerConfigError")
# The kubelet's event for a probe that was answered, though not with success.
REFUSED = re.compile(r"probe failed: (HTTP probe failed with statuscode: )?[45]\d\d")

Object = Mapping[str, Any]


@dataclass
class Rollout:
    """Watches one Deployment.

    Parameters
    ----------
    cluster : Kubectl
    labels : mapping of str to str
        Of the environment's objects.
    name : str
        Of the Deployment.
    wanted : mapping of str to str
        The annotations of the new pods.
    least : int
        How many of them its autoscaler wants at least.
    timeout_s : int
    report : callable
        Receives the progress, a line at a time.
    """

    cluster: Kubectl
    labels: Mapping[str, str]
    name: str
    wanted: Mapping[str, str]
    least: int
    timeout_s: int
    report: Callable[[str], None]
    _events: dict[str, int] = field(init=False, default_factory=dict)
    _last: str = field(init=False, default="")
    _told: set[str] = field(init=False, default_factory=set)

    def skip_earlier_events(self) -> None:
        """Do not report the events until now."""
        for uid, count, _ in self._cluster_events():
            self._events[uid] = count

    def wait(self, waiting_for: str = "") -> None:
        """Wait until every pod is new and ready.

        Raises
        ------
        NotServing
            A pod cannot become ready, or not in time; the text says why. `ReleaseFailed` where the
            server itself has ended, or answers that it is not ready.
        Unreachable
            The cluster does not answer, and the time is over.
        """
        deadline = time.monotonic() + self.timeout_s
        pods: list[Object] = []
        while True:
            trouble, silence = waiting_for or "the update has not started", ""
            try:
                deployment, pods = self._look()
                self._report_events()
            except Unreachable as error:
                silence = f"the cluster does not answer: {error}"
                self._report_once(silence)
            except KubectlFailed as error:
                raise NotServing(f"the cluster does not return {self.name}: {error}") from None
            else:
                short = _short_of(deployment, self.least)
                if deployment and is_done(deployment, self.wanted[EVENT]) and not short:
                    return
                if deployment and _event_of(deployment["spec"]["template"]) == self.wanted[EVENT]:
                    reasons = [*_refusals(deployment), *map(reason, filter(_is_unready, pods))]
                    trouble = "; ".join(reasons) or short or "its pods are not created yet"
                self._report_once(f"{_progress(deployment)}{trouble}")
                if any(_is_hopeless(pod) for pod in pods):
                    tail = self._tail(pods)
                    kind = ReleaseFailed if _have_ended_by_themselves(pods, tail) else NotServing
                    raise kind(f"release {self.wanted[VERSION]}: {trouble}{tail}")
            if time.monotonic() > deadline:
                if silence:
                    raise Unreachable(silence)
                late = f"was not ready after {self.timeout_s} s"
                tail = self._tail(pods)
                # The kubelet has asked, and the server has answered that it is not ready.
                has_refused = any(REFUSED.search(told) for told in self._told)
                kind = ReleaseFailed if has_refused else NotServing
                raise kind(f"release {self.wanted[VERSION]} {late}: {trouble}{tail}")
            time.sleep(POLL_S)

    def _look(self) -> tuple[Object | None, list[Object]]:
        """Return the Deployment and its new pods."""
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

    def _cluster_events(self) -> Iterator[tuple[str, int, str]]:
        """Yield the events of the Deployment and its pods: uid, count and text."""
        for event in self.cluster.get("events"):
            about = event.get("involvedObject", {})
            if str(about.get("name", "")).startswith(self.name):
                text = f"{about.get('kind', '').lower()}/{about['name']}: {event.get('reason', '')}"
                count = event.get("count") or event.get("series", {}).get("count") or 1
                yield event["metadata"]["uid"], count, f"{text}: {event.get('message', '')}"

    def _report_events(self) -> None:
        for uid, count, text in self._cluster_events():
            if self._events.get(uid, 0) < count:
                self._events[uid] = count
                self._told.add(text)
                self.report(f"  {one_line(text)}")

    def _report_once(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self.report(f"  {text}")

    def _tail(self, pods: Sequence[Object]) -> str:
        """Return the end of the log of a pod that is not ready, if one has a log."""
        for pod in pods:
            status = _status(pod)
            if _is_unready(pod) and (status.get("restartCount") or "running" in _state(pod)):
                previous = ("--previous",) if status.get("restartCount") else ()
                log = self.cluster.log(pod["metadata"]["name"], CONTAINER, *previous)
                return f"\n{log}" if log else ""
        return ""


def is_done(deployment: Object, event: str) -> bool:
    """Return whether the rolling update of a Deployment to an event's state is complete."""
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
    """Return whether a Deployment's last update is complete, whatever was scaled since."""
    return _completion(deployment) is not None


def settled_at(deployment: Object) -> str:
    """Return when a Deployment's last update was complete, or an empty text."""
    return str((_completion(deployment) or {}).get("lastUpdateTime", ""))


def reason(pod: Object) -> str:
    """Return why a pod is not ready."""
    name, state, status = pod["metadata"]["name"], _state(pod), _status(pod)
    waiting = state.get("waiting", {})
    ended = (state if "terminated" in state else status.get("lastState", {})).get("terminated", {})
    parts = [waiting.get("reason"), waiting.get("message")]
    if ended:
        parts += [f"it has exited with {ended.get('exitCode')}", ended.get("reason")]
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            parts += [condition.get("reason"), condition.get("message")]
    if "running" in state:
        parts.append("it runs, but is not ready")
    return f"{name}: {one_line(', '.join(str(one) for one in parts if one)) or 'not started yet'}"


def is_ready(pod: Object) -> bool:
    """Return whether a pod gets requests."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def has_ended(pod: Object) -> bool:
    """Return whether a pod is terminating, or has ended."""
    ended = pod.get("status", {}).get("phase") in ("Failed", "Succeeded")
    return ended or "deletionTimestamp" in pod["metadata"]


def is_new(pod: Object) -> bool:
    """Return whether a pod has never been started, such as the autoscaler's newest."""
    status = _status(pod)
    return not status.get("started") and not status.get("restartCount")


def one_line(text: str) -> str:
    """Fold a text into one line."""
    return " ".join(text.split())


def _status(pod: Object) -> Object:
    """Return the status of the server's container."""
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


def _have_ended_by_themselves(pods: Sequence[Object], log: str) -> bool:
    """Return whether a server of these pods has ended for a reason of its own."""
    for pod in pods:
        ended = _status(pod).get("lastState", {}).get("terminated", {})
        code = int(ended.get("exitCode", 0))
        if ended.get("reason") != "OOMKilled" and ended_by_itself(code, log):
            return True
    return False


def _completion(deployment: Object) -> Object | None:
    """Return the condition of a Deployment that its last update is complete, or None."""
    status = deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return None
    return next(
        (
            one
            for one in status.get("conditions", ())
            if one["type"] == "Progressing" and one.get("reason") == "NewReplicaSetAvailable"
        ),
        None,
    )


def _event_of(part: Object) -> str:
    return str(part["metadata"].get("annotations", {}).get(EVENT, ""))


def _refusals(deployment: Object) -> Iterator[str]:
    """Yield why the cluster creates no pod, such as a quota or an admission."""
    for condition in deployment.get("status", {}).get("conditions", ()):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield one_line(f"{condition.get('reason')}: {condition.get('message')}")


def _short_of(deployment: Object | None, least: int) -> str:
    """Return that the autoscaler has not looked at a new Deployment yet, or an empty text.

    One that somebody has scaled to zero it leaves alone.
    """
    pods = deployment["spec"].get("replicas", 1) if deployment else 0
    if not pods or pods >= least:
        return ""
    return f"its autoscaler has not yet asked for the {least} pods that it wants at least"


def _progress(deployment: Object | None) -> str:
    if deployment is None:
        return ""
    updated = deployment.get("status", {}).get("updatedReplicas", 0)
    ready = deployment.get("status", {}).get("availableReplicas", 0)
    wanted = deployment["spec"].get("replicas", 1)
    return f"{updated} of {wanted} pods are new, {ready} serve; "
