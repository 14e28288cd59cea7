"""The ``docker`` platform: a release's image on one Docker host.

An environment is a handful of containers, identified by their labels: a holder, which publishes the
port and holds one listening socket a slot, and a server for each slot, in the holder's network. In
a rolling update the new server takes the slot's socket too, and the old one drains only when the
new one is ready. Between two commands only the engine runs, which restarts a crashed server.
"""

from __future__ import annotations

import inspect
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

import requests
from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container
from docker.types import LogConfig

from ..canary.traffic import Replay, side_of
from ..canary.verdict import Side
from ..errors import ArtifactGone, NotServing, PreconditionFailed, ReleaseFailed
from ..images.host import Host, ask, login
from ..images.record import image_of
from ..policy import Environment, Policy
from ..records import Record
from ..smoke import BUSY, ask_over_http
from . import protocol, socket_holder, socket_taker
from .blame import SILENT, ended_by_itself, neither_starts, of_the_machine
from .process import exclusive, manifest_of, state_directory
from .protocol import CANARY, CONNECTIONS, CONTROL, STABLE, Instance, Observation, Unseen

MANIFEST = "docker.json"
PORT = 8080
# Private ports of servers in the network that they share.
OWN_PORTS = range(20_000, 60_000)
DRAIN_LIMIT_S = 30
POLL_S = 0.1
LOG_LINES = 20
# The engine's drivers that keep a log in files; what others keep is the host's own decision.
LOG_FILES = ("json-file", "local")
OK = 200
SCHEME = "http://"
# The mark of an empty log.
BEGINNING = "1970-01-01T00:00:01Z"

# Labels: the container's environment, and what runs in it.
PROJECT, ENVIRONMENT, SLOT = "release.project", "release.environment", "release.slot"
RELEASE, DIGEST, OWN_PORT = "release.version", "release.digest", "release.port"
TRACK = "release.track"
ADDRESS, SLOTS = "release.address", "release.slots"
HOLDER = "holder"
# Labels of an image, as its Dockerfile sets them.
TITLE, VERSION = "org.opencontainers.image.title", "org.opencontainers.image.version"


@contextmanager
def serving(what: str) -> Iterator[None]:
    """Turn every error of the engine, or that there is none, into `NotServing`."""
    try:
        yield
    except (DockerException, requests.RequestException, OSError) as error:
        raise NotServing(f"{what}: {error}") from None
    except PreconditionFailed as error:
        raise NotServing(f"{what}: {error.what}: {error.why}") from None


class DockerPlatform:
    """Drives one environment's containers.

    Parameters
    ----------
    environment : Environment
    policy : Policy
    """

    def __init__(self, environment: Environment, policy: Policy) -> None:
        self.environment = environment
        self.policy = policy
        self._labels = {PROJECT: policy.project, ENVIRONMENT: environment.name}
        self._state = state_directory(policy.project)
        self._lock = self._state / "environments" / environment.name / "lock"

    def locate(self) -> None:
        """Do nothing: DOCKER_HOST names the engine."""

    def render(
        self, record: Record, bundle: Callable[[], Mapping[str, bytes]], event: str
    ) -> dict[str, bytes]:
        """Return ``docker.json``: the image by digest, the address, and the server's command."""
        image = image_of(record, bundle())
        manifest = {
            "platform": "docker",
            "release": record.version,
            "digest": record.digest,
            "image": image.reference,
            "image_id": image.image_id,
            "host": self.environment.host,
            "port": self.environment.port,
            "instances": self.environment.instances,
            "ready_timeout_s": self.environment.ready_timeout_s,
            "serve": list(self.policy.serve),
        }
        return {MANIFEST: (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()}

    def examine(self, desired: Mapping[str, bytes]) -> None:
        """Do nothing: every rendered state is valid."""

    def require(self, record: Record, bundle: Mapping[str, bytes]) -> None:
        """Look for the image on the host, and at the registry only if it is not there."""
        image = image_of(record, bundle)
        images = self._host.client.images
        try:
            with serving(f"neither the host nor the registry has {image.reference}"):
                try:
                    images.get(image.reference)
                except ImageNotFound:
                    with self._host.hurried():
                        images.get_registry_data(image.reference, auth_config=login())
        except NotServing as error:
            raise ArtifactGone(
                f"the image of release {record.version} is gone",
                why=str(error),
                state=f"{self.environment.name} unchanged",
                next_step="push it to the registry again, or choose another release",
            ) from None

    def warning(self, record: Record, bundle: Mapping[str, bytes]) -> str:
        """Compare the tag at the registry with the release; the digest is what is deployed."""
        image = image_of(record, bundle)
        tag = f"{image.repository}:{image.tag}"
        try:
            with serving(f"{tag} cannot be read at the registry"), self._host.hurried():
                held = self._host.held(image.repository, image.tag, image.digest)
        except NotServing as error:
            return str(error)
        if held == image.digest:
            return ""
        return f"{tag} is {held} at the registry, the release is {image.digest}: the digest counts"

    def preflight(self, record: Record, bundle: Callable[[], Mapping[str, bytes]]) -> None:
        """Pull the image by its digest, if the host does not have it."""
        image = image_of(record, bundle())
        with serving(f"{image.reference} cannot be pulled"):
            images = self._host.client.images
            try:
                found = images.get(image.reference)
            except ImageNotFound:
                found = images.pull(image.reference, auth_config=login())
        if found.id != image.image_id:
            raise NotServing(
                f"{image.reference} is {found.id}, the release's image {image.image_id}"
            )

    def apply(
        self,
        desired: Mapping[str, bytes],
        event: str,
        guard: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Update one slot after the other, unless another command has taken over."""
        manifest = manifest_of(desired, MANIFEST)
        self._serve([manifest] * manifest["instances"], guard)

    def canary(
        self,
        desired: Mapping[str, bytes],
        before: Mapping[str, bytes],
        instances: int,
        event: str,
        guard: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Give some of the slots to the new release: the kernel gives each slot an equal share."""
        new, old = manifest_of(desired, MANIFEST), manifest_of(before, MANIFEST)
        others = [old] * (new["instances"] - instances)
        tried = [new | {"track": CANARY}] * instances
        self._serve(tried + others, guard)
        control = [one | {"track": CONTROL} for one in others[:instances]]
        with of_the_machine():
            self._serve(tried + control + others[instances:], guard)

    def answered(self, address: str, mark: str) -> tuple[Side, str]:
        """Read on in a container's log; a mark is the engine's time of the last line."""
        with serving(f"the log of {address} cannot be read"):
            container = self._host.client.containers.get(address)
            if not mark:
                newest = container.logs(timestamps=True, tail=1)
                return Side((), 0), newest.partition(b" ")[0].decode() or BEGINNING
            second = datetime.fromisoformat(mark).timestamp() // 1
            log = container.logs(timestamps=True, since=second)
        lines = [line.split(b" ", 1) for line in log.splitlines() if b" " in line]
        # All timestamps have one width, so that texts sort as times.
        newer = [line for line in lines if line[0].decode() > mark]
        last = newer[-1][0].decode() if newer else mark
        return side_of(b"\n".join(line for _, line in newer)), last

    def replay(self, requests: Sequence[Any], per_second: int) -> Replay:
        """Return a replay to the environment's address: the kernel chooses the server."""
        return Replay([self.observe().endpoint], requests, per_second)

    def stop(self, event: str, guard: Callable[[], None]) -> None:
        """Drain every server, then end the holder."""
        with exclusive(self._lock, self._state), serving("the engine has refused"):
            guard()
            self._clear()

    def observe(self) -> Observation:
        """Return the containers, each with its readiness."""
        try:
            with serving("the engine does not answer"):
                found = self._containers()
                holders = [one for one in found if one.labels[SLOT] == HOLDER]
                running = [one for one in found if one.labels[SLOT] != HOLDER]
                servers = tuple(_instance(one) for one in running)
        except (NotServing, PreconditionFailed) as error:
            return Unseen("", (), str(error))
        if not holders:
            return Observation(
                "", servers, "no container holds the port" if servers else "nothing runs"
            )
        wanted = int(holders[0].labels[SLOTS])
        trouble = "" if len(servers) == wanted else f"{len(servers)} of {wanted} servers exist"
        endpoint = f"{SCHEME}{holders[0].labels[ADDRESS]}"
        return Observation(endpoint, servers, trouble, _since(running))

    def changed(self, desired: Mapping[str, bytes]) -> str:
        """Return an empty text: `observe` sees everything."""
        return ""

    def unready(self, record: Record) -> str:
        """Look for the release's image on the host."""
        return (
            ""
            if record.version in self.stored()
            else "its image is not on the host; a rollback would pull it from the registry"
        )

    def stored(self) -> list[str]:
        """Return the releases whose images are on the host."""
        with serving("the engine does not answer"):
            images = self._host.client.images.list(
                filters={"label": f"{TITLE}={self.policy.project}"}
            )
        return sorted({image.labels[VERSION] for image in images if VERSION in image.labels})

    def discard(self, release: str) -> None:
        """Remove a release's image from the host; the registry keeps it."""
        with serving(f"the image of {release} cannot be removed"):
            client = self._host.client
            for image in client.images.list(filters={"label": f"{VERSION}={release}"}):
                client.images.remove(str(image.id), force=True)

    def ask(self, address: str, path: str, body: Any = None) -> Any:
        """Return one server's answer, requested from inside its container."""
        if address.startswith(SCHEME):
            return ask_over_http(address, path, body)
        with serving(f"{address} does not answer"):
            container = self._host.client.containers.get(address)
        status, answer = ask(container, path, body, int(container.labels[OWN_PORT]))
        if status != OK:
            # Without a status nothing has answered.
            kind = NotServing if status in (0, BUSY) else ReleaseFailed
            raise kind(f"{address}{path} answers {status}: {answer}")
        return answer

    @cached_property
    def _host(self) -> Host:
        return Host.connect()

    def _containers(self) -> list[Container]:
        wanted = [f"{name}={value}" for name, value in self._labels.items()]
        found = self._host.client.containers.list(all=True, filters={"label": wanted})
        return sorted(found, key=lambda one: str(one.name))

    def _hold(self, manifest: Mapping[str, Any]) -> Container:
        """Return the container that holds the port, recreated if its settings have changed."""
        wanted = {
            ADDRESS: protocol.url_of(manifest["host"], manifest["port"]).removeprefix(SCHEME),
            SLOTS: str(manifest["instances"]),
        }
        for one in self._containers():
            if one.labels[SLOT] == HOLDER:
                if one.status == "running" and wanted.items() <= one.labels.items():
                    return one
                # The servers share its network: a new holder needs new servers.
                self._clear()
        return self._run(
            manifest["image"],
            HOLDER,
            HOLDER,
            [inspect.getsource(socket_holder), str(PORT), str(manifest["instances"])],
            wanted,
            ports={f"{PORT}/tcp": (manifest["host"], manifest["port"])},
        )

    def _serve(self, manifests: list[dict[str, Any]], guard: Callable[[], None]) -> None:
        """Make each slot serve its manifest, one after the other."""
        with exclusive(self._lock, self._state), serving("the engine has refused"):
            guard()
            holder = self._hold(manifests[0])
            for slot, manifest in enumerate(manifests):
                guard()
                self._update(slot, holder, manifest)

    def _update(self, slot: int, holder: Container, manifest: Mapping[str, Any]) -> None:
        """Make a slot serve a manifest, and nothing else."""
        here = [one for one in self._containers() if one.labels[SLOT] == str(slot)]
        right = [one for one in here if _serves(one, manifest)]
        if not right:
            right = [self._start_beside(here, slot, holder, manifest)]
        for one in here:
            if one.id != right[0].id:
                _end(one)

    def _start_beside(
        self, here: Sequence[Container], slot: int, holder: Container, manifest: Mapping[str, Any]
    ) -> Container:
        """Start a server; a failure is its own only where another of what serves here starts."""
        try:
            return self._start(slot, holder, manifest)
        except ReleaseFailed as failure:
            for one in here:
                if one.status == "running" and one.labels[DIGEST] != manifest["digest"]:
                    try:
                        _end(self._start(slot, holder, _again(one, manifest)))
                    except NotServing:
                        other = neither_starts(one.labels[RELEASE])
                        raise NotServing(f"{failure}\n{other}") from None
            raise

    def _start(self, slot: int, holder: Container, manifest: Mapping[str, Any]) -> Container:
        port, track = random.choice(OWN_PORTS), manifest.get("track", STABLE)
        server = self._run(
            manifest["image"],
            str(slot),
            f"{slot}-{manifest['release']}-{port}",
            [
                *(inspect.getsource(socket_taker), str(slot), str(port)),
                *(*manifest["serve"], "--bundle", "/app/bundle"),
            ],
            {
                RELEASE: manifest["release"],
                DIGEST: manifest["digest"],
                OWN_PORT: str(port),
                TRACK: track,
            },
            variables=dict([CONNECTIONS]) if track != STABLE else {},
            network_mode=f"container:{holder.id}",
        )
        deadline = time.monotonic() + manifest["ready_timeout_s"]
        try:
            while (status := ask(server, "/ready", port=port)[0]) != OK:
                server.reload()
                if server.attrs["RestartCount"] or server.status == "exited":
                    raise exited(server, manifest)
                if time.monotonic() > deadline:
                    late = f"was not ready after {manifest['ready_timeout_s']} s"
                    why = f"release {manifest['release']} {late}\n{_tail(server)}"
                    raise ReleaseFailed(why) if status else NotServing(f"{why}\n{SILENT}")
                time.sleep(POLL_S)
        except BaseException:
            server.remove(force=True)
            raise
        return server

    def _run(
        self,
        image: str,
        slot: str,
        name: str,
        script: list[str],
        labels: dict[str, str],
        variables: dict[str, str] | None = None,
        ports: dict[str, tuple[str, int]] | None = None,
        network_mode: str | None = None,
    ) -> Container:
        return self._host.client.containers.run(
            image,
            ["python3", "-c", *script],
            detach=True,
            name=f"{self.policy.project}-{self.environment.name}-{name}",
            labels=self._labels | {SLOT: slot} | labels,
            environment=variables,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            restart_policy={"Name": "always"},
            # The image's own checks the port that all servers share; `observe` checks each server.
            healthcheck={"test": ["NONE"]},
            ports=ports,
            network_mode=network_mode,
            log_config=self._log_config(),
        )

    def _log_config(self) -> LogConfig | None:
        """Limit a log as on the ``process`` platform; the engine's own default is no limit."""
        driver = self._host.client.info()["LoggingDriver"]
        limits = {"max-size": f"{self.policy.log_mb}m", "max-file": "2"}
        return LogConfig(type=driver, config=limits) if driver in LOG_FILES else None

    def _clear(self) -> None:
        found = self._containers()
        for one in sorted(found, key=lambda one: one.labels[SLOT] == HOLDER):
            _end(one)


def _serves(container: Container, manifest: Mapping[str, Any]) -> bool:
    return (
        container.status == "running"
        and container.labels[DIGEST] == manifest["digest"]
        and _track(container) == manifest.get("track", STABLE)
        and container.image is not None
        and container.image.id == manifest["image_id"]
    )


def _again(server: Container, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest for another server like this one, with the time limit of a new one."""
    return {
        "image": server.attrs["Config"]["Image"],
        "release": server.labels[RELEASE],
        "digest": server.labels[DIGEST],
        # What `_start` puts before and after it.
        "serve": server.attrs["Config"]["Cmd"][5:-2],
        "ready_timeout_s": manifest["ready_timeout_s"],
    }


def _instance(container: Container) -> Instance:
    labels, state = container.labels, "failed"
    if container.status == "running":
        status, _ = ask(container, "/ready", port=int(labels[OWN_PORT]))
        state = "ready" if status == OK else "starting"
    return Instance(
        release=labels[RELEASE],
        digest=labels[DIGEST],
        address=str(container.name),
        pid=int(container.attrs["State"]["Pid"]),
        state=state,
        restarts=int(container.attrs["RestartCount"]),
        track=_track(container),
    )


def _track(container: Container) -> str:
    # Containers of an earlier version have no such label.
    return str(container.labels.get(TRACK, STABLE))


def _since(servers: Sequence[Container]) -> str:
    """Return when the newest server was created: the engine restarts the same container."""
    if len({one.labels[DIGEST] for one in servers}) != 1:
        return ""
    newest = max(datetime.fromisoformat(one.attrs["Created"]) for one in servers)
    return newest.isoformat(timespec="seconds")


def exited(container: Container, manifest: Mapping[str, Any]) -> NotServing:
    """Return the error for a server that has ended before it was ready."""
    state, tail = container.attrs["State"], _tail(container)
    is_its_own = not state.get("OOMKilled") and ended_by_itself(int(state["ExitCode"]), tail)
    text = f"release {manifest['release']} exits at once\n{tail}"
    return ReleaseFailed(text) if is_its_own else NotServing(text)


def _end(container: Container) -> None:
    container.stop(timeout=DRAIN_LIMIT_S)
    container.remove(force=True)


def _tail(container: Container) -> str:
    return container.logs(tail=LOG_LINES).decode("utf-8", "replace").strip()
