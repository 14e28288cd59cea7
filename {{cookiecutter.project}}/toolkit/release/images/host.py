"""The client of a Docker Engine, which verifies what the engine reports.

The docker SDK returns normally from a push that was denied or cut off. So every stream is read to
its end, an error in it is raised, and the digest must be in it and at the registry.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict

import docker
import requests
from docker.errors import APIError, DockerException
from docker.models.containers import Container
from docker.models.images import Image

from ..errors import BuildFailed, PreconditionFailed, PushFailed, RegistryDiffers, ReleaseError
from . import registry

# A push of some hundred megabytes over a slow line takes longer than the SDK's own 60 seconds.
TIMEOUT_S = 600
# The time limit for a registry that is only asked.
HURRIED_S = 5
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Credentials for the registry; without them those of the engine's own helper are used.
USER, TOKEN = "REGISTRY_USER", "REGISTRY_TOKEN"
SHOWN_LINES = 30
NO_RELEASE = "no release was made"


class LockedUp(TypedDict):
    """The options of a container that is only inspected: no network, no rights, little memory."""

    network_mode: str
    read_only: bool
    cap_drop: list[str]
    security_opt: list[str]
    mem_limit: str
    pids_limit: int


LOCKED_UP = LockedUp(
    network_mode="none",
    read_only=True,
    cap_drop=["ALL"],
    security_opt=["no-new-privileges"],
    mem_limit="1g",
    pids_limit=100,
)

Report = Callable[[str], None]


@contextmanager
def raising(
    error: type[ReleaseError], what: str, next_step: str, state: str = NO_RELEASE
) -> Iterator[None]:
    """Turn any error of an engine, or of the connection to it, into a `ReleaseError`."""
    try:
        yield
    except (DockerException, requests.RequestException, OSError) as cause:
        explanation = cause.explanation if isinstance(cause, APIError) else None
        why = " ".join(str(explanation or cause).split())
        raise error(what, why, state, next_step) from None


class Host:
    """One Docker Engine."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client

    @classmethod
    def connect(cls) -> Host:
        """Connect to the engine that DOCKER_HOST names; `PreconditionFailed` if none answers."""
        what, state = "no Docker Engine answers", "nothing was changed"
        with raising(PreconditionFailed, what, "docker info", state):
            client = docker.from_env(timeout=TIMEOUT_S)
            client.ping()
        return cls(client)

    def build(
        self, context: bytes, tag: str, arguments: Mapping[str, str], report: Report
    ) -> Image:
        """Build an image from a tar archive; `BuildFailed` has the engine's last lines."""
        what, next_step = "the image cannot be built", "fix the Dockerfile, or what it installs"
        lines: list[str] = []
        with raising(BuildFailed, what, next_step):
            stream = self.client.api.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                tag=tag,
                buildargs=dict(arguments),
                rm=True,
                forcerm=True,
                decode=True,
            )
            for message in stream:
                if "error" in message:
                    why = "\n".join([*lines[-SHOWN_LINES:], str(message["error"]).strip()])
                    raise BuildFailed(what, why, NO_RELEASE, next_step)
                if line := str(message.get("stream") or message.get("status") or "").strip():
                    lines.append(line)
                    report(line)
            return self.client.images.get(tag)

    def push(self, image: Image, repository: str, tag: str, report: Report) -> str:
        """Push an image under one tag, and return the digest that the registry holds it by.

        Raises
        ------
        PushFailed
            The registry cannot be reached, refuses, or stops before it names a digest.
        RegistryDiffers
            The tag at the registry is not the image that was pushed.
        """
        account = login()
        user = f"{account['username']}, from {USER}" if account else "that of docker login"
        what = f"{repository} did not accept the image (user: {user})"
        next_step = f"docker login, or {USER} and {TOKEN}; then invoke build --push"
        digest = ""
        with raising(PushFailed, what, next_step):
            image.tag(repository, tag)
            stream = self.client.api.push(
                repository, tag=tag, stream=True, decode=True, auth_config=account
            )
            for message in stream:
                if "error" in message or "errorDetail" in message:
                    detail = message.get("errorDetail") or {}
                    why = str(detail.get("message") or message.get("error"))
                    raise PushFailed(what, why, NO_RELEASE, next_step)
                digest = str((message.get("aux") or {}).get("Digest") or digest)
                if message.get("id") and message.get("status"):
                    report(f"{message['id']} {message['status']}")
        if not DIGEST.fullmatch(digest):
            why = "the push ended without an error, and without a digest"
            raise PushFailed(what, why, NO_RELEASE, next_step)
        with raising(PushFailed, f"{repository}:{tag} cannot be read back", next_step):
            held = self.held(repository, tag, digest)
        if held != digest:
            raise RegistryDiffers(
                f"{repository}:{tag} is not the image that was pushed",
                why=f"{digest} was pushed, the registry has {held}",
                state=NO_RELEASE,
                next_step="find out who else pushes to this tag, then invoke build --push",
            )
        return digest

    def held(self, repository: str, tag: str, digest: str) -> str:
        """Return the digest that a registry holds under a tag.

        It is ``digest`` too where the tag names an index that lists it for the engine's platform.
        """
        account = login()
        found = self.client.images.get_registry_data(f"{repository}:{tag}", auth_config=account)
        if found.id != digest and found.attrs["Descriptor"]["mediaType"] in registry.INDEXES:
            engine = self.client.version()
            platform = {"os": engine["Os"], "architecture": engine["Arch"]}
            if registry.lists(repository, found.id, digest, platform, account):
                return digest
        return str(found.id)

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Wait no longer than `HURRIED_S` for each answer."""
        usual, self.client.api.timeout = self.client.api.timeout, HURRIED_S
        try:
            yield
        finally:
            self.client.api.timeout = usual

    def run_inside(self, image: Image, script: str) -> str:
        """Run a Python script in a locked-up container, and return what it prints.

        `BuildFailed` when the script fails there.
        """
        with raising(BuildFailed, "the image's packages cannot be listed", "docker run the image"):
            output = self.client.containers.run(
                image, ["python3", "-c", script], remove=True, **LOCKED_UP
            )
        return output.decode()

    @contextmanager
    def running(self, image: Image) -> Iterator[Container]:
        """Run an image's own command in a locked-up container, which is removed afterwards."""
        with raising(BuildFailed, "the image does not start", "docker run the image"):
            container = self.client.containers.run(image, detach=True, **LOCKED_UP)
        try:
            yield container
        finally:
            container.remove(force=True)

    def size(self, name: str) -> int:
        """Return the bytes of an image's layers."""
        with raising(BuildFailed, f"the engine does not know {name}", f"docker pull {name}"):
            return int(self.client.images.get(name).attrs["Size"])


# The port of the image's own command.
PORT = 8080

# Runs inside the container, from where alone a server without a network can be reached.
CLIENT = """
import json, sys, urllib.error, urllib.request
port, path, body = *sys.argv[1:3], sys.argv[3] if len(sys.argv) > 3 else None
request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body and body.encode())
try:
    with urllib.request.urlopen(request, timeout=5) as answer:
        print(json.dumps([answer.status, json.load(answer)]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
except OSError as error:
    print(json.dumps([0, str(error)]))
"""


def ask(container: Container, path: str, body: object = None, port: int = PORT) -> tuple[int, Any]:
    """Send a request to the server in a container; return status and answer, or 0 and the error."""
    arguments = [str(port), path, *([] if body is None else [json.dumps(body)])]
    try:
        done = container.exec_run(["python3", "-c", CLIENT, *arguments])
    except APIError as error:  # It has ended.
        return 0, error.explanation
    output = b"".join([done.output] if isinstance(done.output, bytes) else done.output).decode()
    if done.exit_code:
        return 0, output[-500:]
    status, answer = json.loads(output)
    return int(status), answer


def login() -> dict[str, str] | None:
    """Return the registry's credentials of the environment; None: the engine's own are used."""
    user, token = os.environ.get(USER), os.environ.get(TOKEN)
    return {"username": user, "password": token} if user and token else None
