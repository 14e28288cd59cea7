"""Runs kubectl: the commands for a cluster, as argument lists.

Nothing is decided here. Credentials are kubectl's: the kubeconfig, or the account of the pod in
which CI runs.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PreconditionFailed, Unreachable

ANSWER_TIMEOUT_S = 15
POLL_S = 0.5
LOG_LINES = 20
# Objects as JSON, with the owners of their fields.
WITH_OWNERS = ("--output", "json", "--show-managed-fields")

# Messages of kubectl when the cluster did not answer: then its state is unknown.
SILENCE = re.compile(
    r"Unable to connect to the server|was refused - did you specify|connection refused"
    r"|connection reset|no route to host|no such host|i/o timeout|TLS handshake timeout"
    r"|deadline exceeded|request canceled|connection lost|unexpected EOF|etcdserver: "
    r"|\(ServiceUnavailable\)|\(Timeout\)|\(ServerTimeout\)|\(TooManyRequests\)"
    r"|You must be logged in to the server|getting credentials"
    r"|asked for the client to provide credentials|currently unable to handle the request"
    r"|unable to return a response in the time allotted|has received too many requests"
    r"|: EOF\b|apiserver (is shutting down|not ready)"
)
# In an answer through the API server's proxy, these are about the pod.
POD_S_OWN = re.compile(r"\(ServiceUnavailable\)|\(Timeout\)|\(ServerTimeout\)|\(TooManyRequests\)")


class KubectlFailed(Exception):
    """The cluster or kubectl has refused; the text is its message."""


@dataclass(frozen=True)
class Kubectl:
    """One namespace of one cluster.

    Parameters
    ----------
    context : str or None
        Of the kubeconfig; None where there is none, as in a pod.
    namespace : str
    manager : str
        The field manager.
    """

    context: str | None
    namespace: str
    manager: str

    @classmethod
    def choose(cls, context: str | None, namespace: str, manager: str) -> Kubectl:
        """Choose the context once: the current one may change during a command."""
        if context is None:
            try:
                context = run("config", "current-context").decode().strip() or None
            except KubectlFailed:
                context = None
        return cls(context, namespace, manager)

    def cluster(self) -> str:
        """Return the UID of the namespace kube-system, which no other cluster has."""
        found = self._run("get", "namespace", "kube-system", "--output", "json")
        return str(json.loads(found)["metadata"]["uid"])

    def get(self, kinds: str, selector: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Return the objects of some kinds, by their labels."""
        chosen: tuple[str, ...] = ()
        if selector:
            chosen = ("--selector", ",".join(f"{key}={value}" for key, value in selector.items()))
        found = self._run("get", kinds, *chosen, "--output", "json")
        return list(json.loads(found)["items"])

    def live(self, objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return these objects as they are now, without those that do not exist."""
        found = self._run(
            *("get", "--filename", "-", "--ignore-not-found", *WITH_OWNERS), stdin=listed(objects)
        )
        return items(found)

    def apply(self, objects: Sequence[Mapping[str, Any]], timeout_s: float) -> None:
        """Set the fields of these objects, also those that another manager owns."""
        self._apply(objects, "--force-conflicts", timeout_s=timeout_s)

    def would_apply(
        self, objects: Sequence[Mapping[str, Any]], *options: str
    ) -> list[dict[str, Any]]:
        """Return the objects after a dry run of the server, which changes nothing."""
        return items(self._apply(objects, "--dry-run=server", *WITH_OWNERS, *options))

    def own(self, one: Mapping[str, Any], owners: Sequence[Mapping[str, Any]]) -> None:
        """Set who owns which field of an object, if nobody has changed it since it was read."""
        metadata = one["metadata"]
        version = {"path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
        entries = {"path": "/metadata/managedFields", "value": owners}
        patch = [{"op": "test"} | version, {"op": "replace"} | entries]
        named = {key: one[key] for key in ("apiVersion", "kind")}
        self._run(
            *("patch", "--type=json", f"--patch={json.dumps(patch)}", "--filename", "-"),
            stdin=json.dumps(named | {"metadata": {"name": metadata["name"]}}).encode(),
        )

    def _apply(
        self,
        objects: Sequence[Mapping[str, Any]],
        *options: str,
        timeout_s: float = 4 * ANSWER_TIMEOUT_S,
    ) -> bytes:
        return self._run(
            *("apply", "--server-side", "--field-manager", self.manager, *options),
            *("--filename", "-"),
            stdin=listed(objects),
            timeout_s=timeout_s,
        )

    def delete(self, kinds: str, selector: Mapping[str, str], timeout_s: float) -> None:
        """Delete by labels, and wait until dependent objects are gone too."""
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        self._run(
            *("delete", kinds, "--selector", labels, "--ignore-not-found"),
            *("--cascade=foreground", "--wait", f"--timeout={timeout_s:.0f}s"),
            timeout_s=timeout_s + ANSWER_TIMEOUT_S,
        )

    def log(self, pod: str, container: str, *options: str) -> str:
        """Return the end of a container's log, or why there is none."""
        command = ("logs", pod, "--container", container, f"--tail={LOG_LINES}", *options)
        try:
            return self._run(*command).decode("utf-8", "replace").strip()
        except (KubectlFailed, Unreachable) as error:
            return f"(no log: {error})"

    def read(self, path: str) -> bytes:
        """Return the answer of a pod or a service, through the API server's proxy."""
        return self._proxied("get", "--raw", self._path(path))

    def send(self, path: str, body: bytes) -> bytes:
        """Return the answer to a body."""
        return self._proxied("create", "--raw", self._path(path), "--filename", "-", stdin=body)

    def _path(self, path: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{path}"

    def _proxied(self, *arguments: str, stdin: bytes = b"") -> bytes:
        try:
            return self._run(*arguments, stdin=stdin)
        except Unreachable as error:
            if POD_S_OWN.search(str(error)):
                raise KubectlFailed(str(error)) from None
            raise

    def _run(
        self, *arguments: str, stdin: bytes = b"", timeout_s: float = ANSWER_TIMEOUT_S
    ) -> bytes:
        where = [f"--context={self.context}"] if self.context else []
        where.append(f"--namespace={self.namespace}")
        return run(*where, *arguments, stdin=stdin, timeout_s=timeout_s)


def kustomize(folder: Path) -> bytes:
    """Return the rendered manifests of a kustomization; no cluster is involved."""
    return run("kustomize", str(folder))


def run(*arguments: str, stdin: bytes = b"", timeout_s: float = ANSWER_TIMEOUT_S) -> bytes:
    """Run kubectl and return what it printed.

    Raises
    ------
    KubectlFailed
        It was refused.
    Unreachable
        The cluster did not answer.
    """
    try:
        done = subprocess.run(
            ["kubectl", *arguments],
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        raise PreconditionFailed(
            "kubectl is not installed",
            why="the platform 'kubernetes' reaches its cluster through kubectl",
            state="nothing was changed",
            next_step="install kubectl 1.27 or newer",
        ) from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"the cluster did not answer within {timeout_s:.0f} s") from None
    if done.returncode:
        message = _message(done.stderr.decode("utf-8", "replace"))
        raise (Unreachable if SILENCE.search(message) else KubectlFailed)(message)
    return done.stdout


def _message(errors: str) -> str:
    """Return kubectl's message, without the log lines of its libraries."""
    lines = [line for line in errors.splitlines() if not re.match(r"[EIW]\d{4} ", line)]
    return " ".join(" ".join(lines).split()) or "kubectl has failed without a message"


def listed(objects: Sequence[Mapping[str, Any]]) -> bytes:
    """Return objects as kubectl reads them."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}).encode()


def items(printed: bytes) -> list[dict[str, Any]]:
    """Parse the objects that kubectl has printed: a list, a single one, or none."""
    if not printed.strip():
        return []
    document = json.loads(printed)
    return list(document["items"]) if document["kind"] == "List" else [document]


def retried(call: Callable[[], Any], timeout_s: float) -> Any:
    """Repeat a call while the cluster does not answer; `Unreachable` after the time limit."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return call()
        except Unreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
