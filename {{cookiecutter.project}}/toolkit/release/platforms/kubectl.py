"""kubectl: what is asked of a cluster, as argument lists, and how they are run.

Nothing here decides. Credentials are kubectl's own business: the kubeconfig, or the account of the
pod in which CI runs.
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

# What kubectl says when nobody has answered it, or nobody who knows: then nothing is known.
SILENCE = re.compile(
    r"Unable to connect to the server|was refused - did you specify|connection refused"
    r"|connection reset|no route to host|no such host|i/o timeout|TLS handshake timeout"
    r"|deadline exceeded|request canceled|connection lost|unexpected EOF|etcdserver: "
    r"|\(ServiceUnavailable\)|\(Timeout\)|\(ServerTimeout\)|\(TooManyRequests\)"
    r"|You must be logged in to the server|getting credentials"
)
# An answer through the API server's proxy: these words are the pod's, or about its pod.
POD_S_OWN = re.compile(r"\(ServiceUnavailable\)|\(Timeout\)|\(ServerTimeout\)|\(TooManyRequests\)")


class KubectlFailed(Exception):
    """The cluster, or kubectl, has refused; the text is what it said."""


@dataclass(frozen=True)
class Kubectl:
    """One namespace of one cluster.

    Parameters
    ----------
    context : str or None
        Of the kubeconfig; None: where there is none, as in a pod.
    namespace : str
    manager : str
        In whose name fields are set.
    """

    context: str | None
    namespace: str
    manager: str

    @classmethod
    def choose(cls, context: str | None, namespace: str, manager: str) -> Kubectl:
        """Keep to one context: somebody else may choose another one half-way."""
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
        """Return these objects as they are now; one that is not there is left out."""
        found = self._run(
            *("get", "--filename", "-", "--ignore-not-found", "--output", "json"),
            stdin=listed(objects),
        )
        return items(found)

    def apply(self, objects: Sequence[Mapping[str, Any]], timeout_s: float) -> None:
        """Set these fields, also where somebody else has set them since."""
        self._apply(objects, "--force-conflicts", timeout_s=timeout_s)

    def would_apply(
        self, objects: Sequence[Mapping[str, Any]], *options: str
    ) -> list[dict[str, Any]]:
        """Return what the objects would be, all admissions asked, and change nothing."""
        return items(self._apply(objects, "--dry-run=server", "--output", "json", *options))

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
        """Delete by labels, and wait until what belongs to it is gone too."""
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        self._run(
            *("delete", kinds, "--selector", labels, "--ignore-not-found"),
            *("--cascade=foreground", "--wait", f"--timeout={timeout_s:.0f}s"),
            timeout_s=timeout_s + ANSWER_TIMEOUT_S,
        )

    def log(self, pod: str, container: str, *options: str) -> str:
        """Return the end of a container's log, or why there is none."""
        asked = ("logs", pod, "--container", container, f"--tail={LOG_LINES}", *options)
        try:
            return self._run(*asked).decode("utf-8", "replace").strip()
        except (KubectlFailed, Unreachable) as error:
            return f"(no log: {error})"

    def read(self, path: str) -> bytes:
        """Return what a pod or a service answers, through the API server's proxy."""
        return self._proxied("get", "--raw", self._path(path))

    def send(self, path: str, body: bytes) -> bytes:
        """Return what it answers to a body."""
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
    """Return the manifests that a kustomization gives; no cluster is asked."""
    return run("kustomize", str(folder))


def run(*arguments: str, stdin: bytes = b"", timeout_s: float = ANSWER_TIMEOUT_S) -> bytes:
    """Run kubectl and return what it printed.

    Raises
    ------
    KubectlFailed
        It was refused.
    Unreachable
        Nobody has answered it.
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
            "there is no kubectl here",
            why="the platform 'kubernetes' speaks with its cluster through kubectl",
            state="nothing was changed",
            next_step="install kubectl 1.27 or newer",
        ) from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"the cluster gave no answer in {timeout_s:.0f} s") from None
    if done.returncode:
        said = _said(done.stderr.decode("utf-8", "replace"))
        raise (Unreachable if SILENCE.search(said) else KubectlFailed)(said)
    return done.stdout


def _said(errors: str) -> str:
    """Return what kubectl has said, without the lines that its libraries add."""
    lines = [line for line in errors.splitlines() if not re.match(r"[EIW]\d{4} ", line)]
    return " ".join(" ".join(lines).split()) or "kubectl has failed without a word"


def listed(objects: Sequence[Mapping[str, Any]]) -> bytes:
    """Write objects as kubectl reads them."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}).encode()


def items(printed: bytes) -> list[dict[str, Any]]:
    """Read the objects that kubectl has printed: a list, a single one, or none."""
    if not printed.strip():
        return []
    document = json.loads(printed)
    return list(document["items"]) if document["kind"] == "List" else [document]


def patiently(call: Callable[[], Any], patience_s: float) -> Any:
    """Ask again while nobody answers; `Unreachable` when the patience has run out."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except Unreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
