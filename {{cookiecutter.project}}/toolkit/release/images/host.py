"""Speaks with the Docker Engine, and believes nothing that it does not see.

The docker SDK returns normally from a push that was denied or cut off. So every stream is read to
its end, an error in it is raised, and a digest must be in it and at the registry.
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
# What a registry that hangs may cost where it is only asked.
HURRIED_S = 5
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# The environment's credentials for the registry; without them the engine's own helper is asked.
USER, TOKEN = "REGISTRY_USER", "REGISTRY_TOKEN"
SHOWN_LINES = 30
NO_RELEASE = "no release was made"


class LockedUp(TypedDict):
    """How a container is run that is only looked at: it may do nothing and reach nobody."""

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

Told = Callable[[str], None]


@contextmanager
def raising(
    error: type[ReleaseError], what: str, next_step: str, state: str = NO_RELEASE
) -> Iterator[None]:
    """Turn whatever an engine, or the connection to it, can raise into one of our errors."""
    try:
        yield
    except (DockerException, requests.RequestException, OSError) as cause:
        words = cause.explanation if isinstance(cause, APIError) else None
        why = " ".join(str(words or cause).split())
        raise error(what, why, state, next_step) from None


class Host:
    """One Docker Engine."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client

    @classmethod
    def connect(cls) -> Host:
        """Return the engine of this environment; `PreconditionFailed` where none answers."""
        what, state = "no Docker Engine answers", "nothing was changed"
        with raising(PreconditionFailed, what, "docker info", state):
            client = docker.from_env(timeout=TIMEOUT_S)
            client.ping()
        return cls(client)

    def build(self, context: bytes, tag: str, arguments: Mapping[str, str], told: Told) -> Image:
        """Build an image from a tar archive; `BuildFailed` has the engine's last lines."""
        what, next_step = "the image cannot be built", "mend the Dockerfile, or what it installs"
        said: list[str] = []
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
                    why = "\n".join([*said[-SHOWN_LINES:], str(message["error"]).strip()])
                    raise BuildFailed(what, why, NO_RELEASE, next_step)
                if line := str(message.get("stream") or message.get("status") or "").strip():
                    said.append(line)
                    told(line)
            return self.client.images.get(tag)

    def push(self, image: Image, repository: str, tag: str, told: Told) -> str:
        """Push an image under one tag, and return the digest that the registry holds it by.

        Raises
        ------
        PushFailed
            The registry cannot be reached, refuses, or went away before it named a digest.
        RegistryDiffers
            What the tag names at the registry is not what was pushed.
        """
        account = login()
        who = f"as {account['username']}, of {USER}" if account else "as docker login says"
        what = f"{repository} did not take the image ({who})"
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
                    told(f"{message['id']} {message['status']}")
        if not DIGEST.fullmatch(digest):
            why = "the push ended without an error, and without a digest"
            raise PushFailed(what, why, NO_RELEASE, next_step)
        with raising(PushFailed, f"{repository}:{tag} cannot be read back", next_step):
            held = self.held(repository, tag, digest)
        if held != digest:
            raise RegistryDiffers(
                f"{repository}:{tag} is not the image that was pushed",
                why=f"pushed was {digest}, the registry has {held}",
                state=NO_RELEASE,
                next_step="find out who else pushes to this tag; then invoke build --push",
            )
        return digest

    def held(self, repository: str, tag: str, digest: str) -> str:
        """Return the digest that a registry holds under a tag.

        It is ``digest`` too where the tag names an index that has just this for the engine's
        platform.
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
        """Wait only `HURRIED_S` for each answer."""
        usual, self.client.api.timeout = self.client.api.timeout, HURRIED_S
        try:
            yield
        finally:
            self.client.api.timeout = usual

    def run_inside(self, image: Image, script: str) -> str:
        """Run a Python script in a locked-up container, and return what it prints.

        `BuildFailed` when the script fails there.
        """
        with raising(BuildFailed, "the image cannot be looked into", "docker run the image"):
            output = self.client.containers.run(
                image, ["python3", "-c", script], remove=True, **LOCKED_UP
            )
        return output.decode()

    @contextmanager
    def running(self, image: Image) -> Iterator[Container]:
        """Run an image as it will serve, locked up; it is gone afterwards."""
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


# Where the image's own command serves.
PORT = 8080

# Asks the server from inside, where alone it can be reached: in a container without a network.
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
    """Ask the server in a container; return status and answer, or 0 and why there is none."""
    arguments = [str(port), path, *([] if body is None else [json.dumps(body)])]
    try:
        done = container.exec_run(["python3", "-c", CLIENT, *arguments])
    except APIError as error:  # It has ended.
        return 0, error.explanation
    said = b"".join([done.output] if isinstance(done.output, bytes) else done.output).decode()
    if done.exit_code:
        return 0, said[-500:]
    status, answer = json.loads(said)
    return int(status), answer


def login() -> dict[str, str] | None:
    """Return what the environment holds for a registry; None: the engine's own helper is asked."""
    user, token = os.environ.get(USER), os.environ.get(TOKEN)
    return {"username": user, "password": token} if user and token else None
