"""A kubectl without a cluster: it keeps its objects in a file, and has faults on request.

As a program it is the ``kubectl`` of a test: it applies, shows and deletes objects, lets
the pods of a Deployment come and go, and answers for the servers in them. Rendering it leaves to
the real kubectl. It needs the standard library alone, because a test starts it many times.
"""

from __future__ import annotations

import bisect
import copy
import fcntl
import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from .server_side_apply import Conflict, applied, patched, updated

CLUSTER = "11111111-2222-3333-4444-555555555555"
PROBABILITY = 0.25
REPLICAS = 2
# The field of the release's image.
IMAGE = ["spec", "template", "spec", "containers", 0, "image"]
SILENCE = "Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout"
# How long a pod takes to become ready.
START_S = 0.2
# How long a new autoscaler takes to look at its Deployment.
AUTOSCALE_S = 0.5
BOUNDS_S = [0.0005 * 10 ** (step / 10) for step in range(38)]
# The median of a model's answers, by what its name begins with.
MEDIANS_S = {"steady": 0.02, "slower": 0.2}

Object = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """A cluster's state, in a file that every kubectl of a test shares.

    Parameters
    ----------
    path : pathlib.Path
    """

    path: Path

    @classmethod
    def begin(cls, folder: Path, real: str) -> Cluster:
        """Begin an empty cluster in a folder."""
        cluster = cls(folder / "cluster.json")
        state = {
            "uid": CLUSTER,
            "real": real,
            "folder": str(folder),
            "objects": {},
            "pods": {},
            "events": [],
            "releases": {},
            "calls": [],
            "faults": {},
            "per_second": 0,
        }
        cluster.path.write_text(json.dumps(state), encoding="utf-8")
        return cluster

    def give(self, folder: Path) -> None:
        """Put this cluster's kubectl into a folder."""
        program, here = folder / "kubectl", Path(__file__).resolve()
        folder.mkdir(exist_ok=True)
        package = ".".join(here.relative_to(here.parents[2]).with_suffix("").parts)
        # Imported, and not run as a script, it is compiled only once, beside the tests' bytecode.
        lines = [
            f"#!{sys.executable} -IS",
            f"import sys; sys.pycache_prefix = {sys.pycache_prefix!r}",
            f"sys.path.insert(0, {str(here.parents[2])!r})",
            f"from {package} import main; main({str(self.path)!r}, sys.argv[1:])",
        ]
        program.write_text("\n".join(lines) + "\n", encoding="utf-8")
        program.chmod(0o755)

    @contextmanager
    def state(self) -> Iterator[Object]:
        """Lock and return the state, and write it back."""
        with self.path.open("r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            state: Object = json.load(file)
            try:
                yield state
            finally:
                file.seek(0)
                file.truncate()
                json.dump(state, file)

    def fault(self, **faults: object) -> None:
        """Set faults; None removes one."""
        with self.state() as state:
            state["faults"] |= faults

    def traffic(self, per_second: int) -> None:
        """Let clients send so many requests to every pod."""
        with self.state() as state:
            state["per_second"] = per_second

    def know(self, digest: str, release: Mapping[str, str]) -> None:
        """Add an image to the registry."""
        with self.state() as state:
            state["releases"][digest] = dict(release)

    def apply(self, objects: Sequence[Object]) -> None:
        """Apply objects as an agent would."""
        with self.state() as state:
            for one in objects:
                live = state["objects"].get(key_of(one))
                store(state, applied(live, one, "argocd-controller", is_forced=True))
            reconcile(state)

    def edit(
        self, name: str, path: Sequence[Any], value: object, manager: str = "kubectl-edit"
    ) -> None:
        """Set a field by hand."""
        with self.state() as state:
            one = copy.deepcopy(state["objects"][name])
            part = one
            for step in path[:-1]:
                part = part[step]
            part[path[-1]] = value
            store(state, updated(state["objects"][name], one, manager))
            reconcile(state)

    def scale(self, name: str, pods: int) -> None:
        """Set the number of pods by hand, as `kubectl scale` does."""
        with self.state() as state:
            scale(state, name, pods, "kubectl")
            reconcile(state)

    def remove(self, name: str) -> None:
        """Delete an object by hand."""
        with self.state() as state:
            del state["objects"][name]
            reconcile(state)

    def objects(self) -> dict[str, Object]:
        """Return the objects by kind and name."""
        with self.state() as state:
            reconcile(state)
            return dict(state["objects"])

    def images(self) -> set[str]:
        """Return what the pods run."""
        with self.state() as state:
            reconcile(state)
            return {pod["spec"]["containers"][0]["image"] for pod in state["pods"].values()}

    def endpoint(self) -> tuple[str, int]:
        """Return where the Service leads a new connection: to a real server that is ready."""
        with self.state() as state:
            reconcile(state)
            ports = [pod["port"] for pod in state["pods"].values() if is_ready(pod)]
        if not ports:
            raise ConnectionRefusedError("no pod is ready")
        return "127.0.0.1", random.choice(ports)

    def close(self) -> None:
        """End the real servers of all pods."""
        with self.state() as state:
            for name in list(state["pods"]):
                end(state, name)

    def calls(self, *words: str) -> list[list[str]]:
        """Return the commands that have all these words in them."""
        with self.state() as state:
            return [call for call in state["calls"] if set(words) <= set(call)]

    def applied(self) -> int:
        """Return how often something was applied, without dry runs."""
        return sum("--dry-run=server" not in call for call in self.calls("apply"))


def key_of(one: Mapping[str, Any]) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


def store(state: Object, one: Object) -> None:
    """Keep an object as a new version; a change of its spec is a new generation."""
    before = state["objects"].get(key_of(one))
    metadata = one["metadata"]
    if before is None:
        metadata |= {"generation": 1, "uid": key_of(one), "created": time.time()}
    elif one.get("spec") != before.get("spec"):
        metadata["generation"] += 1
    if one != before:
        metadata["resourceVersion"] = str(int(metadata.get("resourceVersion", 0)) + 1)
    state["objects"][key_of(one)] = one


def scale(state: Object, name: str, pods: int, manager: str) -> None:
    """Set the number of pods through the subresource for that."""
    live = state["objects"][name]
    one = {**live, "spec": {**live["spec"], "replicas": pods}}
    store(state, updated(live, one, manager, "scale"))


def reconcile(state: Object) -> None:
    """Do what the cluster's controllers would have done until now."""
    for one in list(state["objects"].values()):
        if one["kind"] == "HorizontalPodAutoscaler":
            _autoscale(state, one)
    deployments = {name: one for name, one in state["objects"].items() if is_deployment(one)}
    for name, pod in list(state["pods"].items()):
        if pod["owner"] not in deployments:
            end(state, name)
    for name, one in deployments.items():
        _roll_out(state, name, one)


def _autoscale(state: Object, autoscaler: Object) -> None:
    """Keep a Deployment within the bounds of its autoscaler, which has no metrics."""
    spec = autoscaler["spec"]
    name = f"Deployment/{spec['scaleTargetRef']['name']}"
    age = time.time() - autoscaler["metadata"]["created"]
    is_asleep = state["faults"].get("autoscaler") == "asleep" or age < AUTOSCALE_S
    if name not in state["objects"] or is_asleep:
        return
    pods = state["objects"][name]["spec"]["replicas"]
    within = min(max(pods, spec["minReplicas"]), spec["maxReplicas"])
    if pods and pods != within:
        scale(state, name, within, "kube-controller-manager")


def is_deployment(one: Mapping[str, Any]) -> bool:
    return bool(one["kind"] == "Deployment")


def _roll_out(state: Object, owner: str, deployment: Object) -> None:
    template, wanted = deployment["spec"]["template"], deployment["spec"]["replicas"]
    revision = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
    mine = {name: pod for name, pod in state["pods"].items() if pod["owner"] == owner}
    new = [name for name, pod in mine.items() if pod["revision"] == revision]
    denied = state["faults"].get("admission")
    for number in range(len(new), 0 if denied else wanted):
        name = f"{deployment['metadata']['name']}-{revision}-{number}"
        pod = copy.deepcopy(template) | {"kind": "Pod", "apiVersion": "v1"}
        pod["metadata"]["name"] = name
        pod |= {"owner": owner, "revision": revision, "created": time.time(), "asked": 0}
        state["pods"][name] = mine[name] = pod
        new.append(name)
        tell(state, name, "Scheduled", f"assigned {name} to node-{number}")
    for name in new[wanted:]:
        end(state, name)
    for name in new[:wanted]:
        _show(state, mine[name])
    ready = [name for name in new[:wanted] if is_ready(mine[name])]
    if len(ready) == wanted:
        for name in set(mine) - set(new):
            end(state, name)
    left = [pod for pod in state["pods"].values() if pod["owner"] == owner]
    done = len(ready) == wanted == len(left)
    settled = f'ReplicaSet "{deployment["metadata"]["name"]}-{revision}" has progressed.'
    conditions = deployment.get("status", {}).get("conditions", [])[:1]
    # A complete update stays so, with its time, whatever becomes of the pods later.
    if not conditions or conditions[0]["message"] != settled:
        progressing = {
            "type": "Progressing",
            "status": "True",
            "reason": "NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
            "message": settled if done else "",
            "lastUpdateTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        conditions = [progressing]
    if denied and len(new) < wanted:
        conditions.append(
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": denied,
            }
        )
    status = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": len(left),
        "updatedReplicas": len(new[:wanted]),
        "availableReplicas": sum(map(is_ready, left)),
        "conditions": conditions,
    }
    store(state, {**deployment, "metadata": {**deployment["metadata"]}, "status": status})


def _show(state: Object, pod: Object) -> None:
    """Set a pod's status by its age."""
    repository, _, digest = pod["spec"]["containers"][0]["image"].partition("@")
    release = state["releases"].get(digest, {})
    model, age = release.get("model", ""), time.time() - pod["created"]
    runs = state["faults"].get("runs") or digest
    status: Object = {"name": "server", "restartCount": 0, "started": False, "imageID": ""}
    ready = False
    if not release:
        waiting = {"reason": "ImagePullBackOff", "message": f"manifest for {digest} not found"}
        status["state"] = {"waiting": waiting}
    elif age < START_S:
        status["state"] = {"waiting": {"reason": "ContainerCreating"}}
    elif model == "crash at start":
        status["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
        status["lastState"] = {"terminated": {"exitCode": 1, "reason": "Error"}}
        status["restartCount"] = 2
    elif "command" in release and (code := _real().run(pod, release, state["folder"])) is not None:
        status["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
        status["lastState"] = {"terminated": {"exitCode": code, "reason": "Error"}}
        status["restartCount"] = 2
    else:
        ready = _real().is_ready(pod) if "pid" in pod else model != "never ready"
        status |= {"state": {"running": {}}, "started": ready, "imageID": f"{repository}@{runs}"}
        if model == "never ready":
            tell(state, pod["metadata"]["name"], "Unhealthy", "Startup probe failed: 503")
    pod["status"] = {
        "phase": "Running",
        "containerStatuses": [status],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }


def end(state: Object, name: str) -> None:
    """Remove a pod, and end its server if that is a real one."""
    pod = state["pods"].pop(name)
    if "pid" in pod:
        with suppress(ProcessLookupError):
            os.killpg(pod["pid"], signal.SIGTERM)


def is_ready(pod: Object) -> bool:
    return bool(pod["status"]["conditions"][0]["status"] == "True")


def _real() -> ModuleType:
    # Imported where it is needed: its libraries would make each of many starts slower.
    from . import real_pods

    return real_pods


def tell(state: Object, pod: str, reason: str, message: str) -> None:
    """Write an event, once."""
    event = {
        "kind": "Event",
        "metadata": {"uid": f"{pod}-{reason}", "name": f"{pod}-{reason}"},
        "involvedObject": {"kind": "Pod", "name": pod},
        "reason": reason,
        "message": message,
        "count": 1,
    }
    if event not in state["events"]:
        state["events"].append(event)


def fail(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(1)


def option(arguments: Sequence[str], name: str) -> str:
    """Return the word after an option, or an empty text."""
    return arguments[arguments.index(name) + 1] if name in arguments else ""


def chosen(state: Object, arguments: Sequence[str]) -> list[Object]:
    """Return the objects that a get or a delete names by kinds and labels."""
    kinds = {kind.partition(".")[0].rstrip("s").capitalize() for kind in arguments[1].split(",")}
    wanted = [pair.split("=") for pair in option(arguments, "--selector").split(",") if pair]
    every = [*state["objects"].values(), *state["pods"].values(), *state["events"]]
    return [
        one
        for one in every
        if one["kind"] in kinds
        and all(one["metadata"].get("labels", {}).get(key) == value for key, value in wanted)
    ]


def get(state: Object, arguments: Sequence[str]) -> None:
    if arguments[1:3] == ["namespace", "kube-system"]:
        print(json.dumps({"kind": "Namespace", "metadata": {"uid": state["uid"]}}))
    elif "--raw" in arguments:
        print(proxied(state, option(arguments, "--raw"), b""), end="")
    elif "--filename" in arguments:
        named = [key_of(one) for one in json.load(sys.stdin)["items"]]
        found = [state["objects"][name] for name in named if name in state["objects"]]
        show(found, arguments)
    elif state["faults"].get("forbids"):
        fail(f"Error from server (Forbidden): {arguments[1]} is forbidden: no access")
    else:
        show(chosen(state, arguments), arguments)


def show(objects: Sequence[Object], arguments: Sequence[str]) -> None:
    """Print objects, with the owners of their fields where that is asked."""
    left_out = () if "--show-managed-fields" in arguments else ("managedFields",)
    shown = [
        {**one, "metadata": {k: v for k, v in one["metadata"].items() if k not in left_out}}
        for one in objects
    ]
    print(json.dumps({"kind": "List", "items": shown}))


def create(state: Object, arguments: Sequence[str]) -> None:
    print(proxied(state, option(arguments, "--raw"), sys.stdin.buffer.read()), end="")


def apply(state: Object, arguments: Sequence[str]) -> None:
    wanted, faults = json.load(sys.stdin)["items"], state["faults"]
    if any(one["kind"] == faults.get("rejects") for one in wanted):
        fail(f"Error from server (Forbidden): admission webhook denies {faults['rejects']}")
    manager, is_forced = option(arguments, "--field-manager"), "--force-conflicts" in arguments
    try:
        results = [
            applied(state["objects"].get(key_of(one)), one, manager, is_forced) for one in wanted
        ]
    except Conflict as error:
        fail(f"error: {error}")
    if "--dry-run=server" in arguments:
        show(results, arguments)
        return
    for one in results:
        store(state, one)
    if faults.get("silent after") == "apply":
        faults["silent"] = True


def patch(state: Object, arguments: Sequence[str]) -> None:
    name, faults = key_of(json.load(sys.stdin)), state["faults"]
    (operations,) = (one.removeprefix("--patch=") for one in arguments if "--patch=" in one)
    if faults.get("busy"):
        # Another one changes the object at the same time.
        faults["busy"] -= 1
        state["objects"][name]["metadata"]["resourceVersion"] += "0"
    try:
        one = patched(state["objects"][name], json.loads(operations))
    except Conflict as error:
        fail(f"The request is invalid: {error}")
    store(state, one)


def delete(state: Object, arguments: Sequence[str]) -> None:
    for one in chosen(state, arguments):
        del state["objects"][key_of(one)]


def logs(state: Object, arguments: Sequence[str]) -> None:
    log = Path(state["folder"]) / f"{arguments[1]}.log"
    if log.exists():
        print(log.read_text(encoding="utf-8"), end="")
        return
    image = state["pods"][arguments[1]]["spec"]["containers"][0]["image"]
    release = state["releases"][image.partition("@")[2]]
    print(f"this model: {release['model']}")


def proxied(state: Object, path: str, body: bytes) -> str:
    """Return what a server answers, through the API server's proxy."""
    kind, name, _, asked = path.split("/", 5)[5].split("/", 3)
    name, _, port = name.partition(":")
    if kind == "services":
        ready = [pod for pod in state["pods"].values() if is_ready(pod)]
        if not ready:
            fail("Error from server (ServiceUnavailable): no endpoints available for service")
        pod = random.choice(ready)
    elif not port.isdecimal() or name not in state["pods"]:
        fail("Error from server (ServiceUnavailable): error trying to reach service")
    else:
        pod = state["pods"][name]
    release = state["releases"][pod["spec"]["containers"][0]["image"].partition("@")[2]]
    model = release["model"]
    if "pid" in pod:
        try:
            answer: str = _real().answer(pod, asked, body)
        except OSError as error:
            fail(f"Error from server (InternalError): {error}")
        return answer
    if asked == "metrics":
        if state["faults"].get("metrics") == "down":
            fail("Error from server (ServiceUnavailable): error trying to reach service")
        return metrics(state, pod, model)
    if asked == "predict":
        pod["asked"] += 1
        wrong = model == "wrong predictions"
        return json.dumps({"churn_probability": 0.9 if wrong else PROBABILITY})
    if asked == "version":
        output = {key: release[key] for key in ("release", "digest", "model_sha256")}
        return json.dumps(output | ({"digest": "sha256:x"} if model == "wrong version" else {}))
    return json.dumps({"status": "ok"})


def metrics(state: Object, pod: Object, model: str) -> str:
    """Return the metrics of a server with traffic since its start."""
    count = pod["asked"] + int(state["per_second"] * (time.time() - pod["created"]))
    median = next((s for name, s in MEDIANS_S.items() if model.startswith(name)), 0.001)
    rng = random.Random(pod["metadata"]["name"])
    latencies = sorted(median * rng.lognormvariate(0, 0.3) for _ in range(count))
    lines = []
    for bound in [*BOUNDS_S, float("inf")]:
        within: float = bisect.bisect_right(latencies, bound)
        if state["faults"].get("metrics") == "nan":
            within = float("nan")
        le = "+Inf" if bound == float("inf") else f"{bound:.6g}"
        lines.append(sample("churn_request_seconds_bucket", within, le=le))
    lines.append(sample("churn_requests_total", count, status="200"))
    return "\n".join(lines) + "\n"


def sample(name: str, value: float, **labels: str) -> str:
    """Return one line of a server's metrics."""
    pairs = ",".join(f'{key}="{text}"' for key, text in (labels | {"path": "/predict"}).items())
    return name + "{" + pairs + "} " + str(value)


def main(where: str, given: Sequence[str]) -> None:
    """Run kubectl."""
    path = Path(where)
    arguments = [one for one in given if not one.startswith(("--namespace=", "--context="))]
    if arguments[0] == "kustomize":
        with Cluster(path).state() as state:
            real = state["real"]
        os.execv(real, [real, *arguments])
    with Cluster(path).state() as state:
        state["calls"].append(list(given))
        if arguments[0] == "config":
            print("the-test")
            return
        silent = state["faults"].get("silent")
        if not silent:
            reconcile(state)
            globals()[arguments[0]](state, arguments)
            reconcile(state)
    if silent:
        fail(silent if isinstance(silent, str) else SILENCE)
