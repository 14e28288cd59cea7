"""The ``docker`` platform, with a stand-in for the engine."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator, Mapping

import pytest
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from toolkit.release.errors import NotServing, PreconditionFailed, ReleaseFailed
from toolkit.release.platforms.blame import of_the_machine
from toolkit.release.platforms.docker import (
    ADDRESS,
    DIGEST,
    RELEASE,
    SLOT,
    SLOTS,
    TRACK,
    DockerPlatform,
    exited,
    serving,
)
from toolkit.release.platforms.protocol import CONTROL, STABLE
from toolkit.release.policy import Environment, Policy
from toolkit.tests.workshop import free_port


class Engine(http.server.BaseHTTPRequestHandler):
    """An engine with the containers of a test, which keeps its requests."""

    asked: list[str] = []
    containers: dict[str, object] = {}

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        answer: object = {"ApiVersion": "1.44"}
        if path.endswith("/containers/json"):
            answer = [{"Id": name} for name in self.containers]
        elif "/containers/" in path:
            answer = self.containers[path.split("/")[3]]
        content = b"" if path.endswith("/logs") else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Lead the SDK to the stand-in, and return its requests."""
    monkeypatch.setattr(Engine, "asked", [])
    monkeypatch.setattr(Engine, "containers", {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        yield Engine.asked
        server.shutdown()
        thread.join()


@pytest.fixture
def platform() -> DockerPlatform:
    prod = Environment("prod", "docker", "127.0.0.1", 8102, 2)
    return DockerPlatform(prod, Policy("churn", ("-m", "server"), 20, 600, (prod,)))


def test_a_platform_connects_to_its_engine_once_and_only_when_needed(
    asked: list[str], platform: DockerPlatform
) -> None:
    assert asked == []
    for _ in range(3):
        assert platform.observe().trouble == "nothing runs"
    assert asked.count("/v1.44/containers/json") == 3
    assert asked.count("/v1.44/_ping") == 1


def container(
    slot: str, digest: str, created: str, labels: Mapping[str, str] | None = None
) -> dict[str, object]:
    """Return a server that has crashed, as an engine describes it."""
    labels = {
        **{SLOT: slot, RELEASE: digest, DIGEST: digest, ADDRESS: "127.0.0.1:8102", SLOTS: "2"},
        **(labels or {}),
    }
    state = {"Status": "restarting", "Pid": 0, "StartedAt": "2026-11-29T12:00:00.1Z"}
    config = {"Labels": labels, "Tty": False}
    parts = {"State": state, "Config": config, "Created": created, "RestartCount": 7}
    return {"Id": slot, "Name": f"/churn-prod-{slot}"} | parts


def test_servers_serve_since_the_newest_was_created_whenever_they_were_restarted(
    asked: list[str], platform: DockerPlatform
) -> None:
    Engine.containers |= {
        "holder": container("holder", "", "2026-11-29T07:00:00.1Z"),
        "0": container("0", "a", "2026-11-29T08:00:00.123456789Z"),
        "1": container("1", "a", "2026-11-29T09:00:00.123456789Z"),
    }
    assert platform.observe().since == "2026-11-29T09:00:00+00:00"
    Engine.containers["1"] = container("1", "b", "2026-11-29T10:00:00.1Z")
    assert platform.observe().since == ""


def test_a_control_is_told_from_the_servers_of_an_earlier_version_beside_it(
    asked: list[str], platform: DockerPlatform
) -> None:
    created = "2026-11-29T08:00:00.1Z"
    Engine.containers |= {
        "holder": container("holder", "", created),
        "0": container("0", "a", created, {TRACK: CONTROL}),
        "1": container("1", "a", created),
    }
    seen = platform.observe()
    assert [one.track for one in seen.instances] == [CONTROL, STABLE]
    assert seen.drift("a") == "servers of a canary run"


def test_without_an_engine_nothing_can_be_observed(
    platform: DockerPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")
    assert "no Docker Engine answers" in platform.observe().trouble
    with pytest.raises(NotServing, match="no Docker Engine answers"):
        platform.ask("prod-0", "/health")


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("the registry is silent"),
        requests.Timeout("the registry is slow"),
        APIError("toomanyrequests: the limit of pulls is reached"),
        ImageNotFound("manifest unknown"),
        DockerException("Error while fetching server API version"),
        OSError("No space left on device"),
        PreconditionFailed("no Docker Engine answers", "connection refused"),
    ],
    ids=str,
)
def test_no_error_of_the_engine_or_the_registry_is_the_release_s(error: Exception) -> None:
    with pytest.raises(NotServing) as refusal, serving("the image cannot be pulled"):
        raise error
    assert not isinstance(refusal.value, ReleaseFailed)


def test_a_control_that_does_not_start_says_nothing_of_the_release() -> None:
    with pytest.raises(NotServing, match="control does not start: it exits") as refusal:
        with of_the_machine():
            raise ReleaseFailed("it exits at once")
    assert not isinstance(refusal.value, ReleaseFailed)


@pytest.mark.parametrize(
    ("code", "killed_for_memory", "is_bad"),
    [
        (1, False, True),
        (139, False, True),
        (137, False, False),
        (1, True, False),
        (0, False, False),
    ],
)
def test_a_container_that_ends_by_itself_and_no_other_counts_against_its_release(
    asked: list[str], platform: DockerPlatform, code: int, killed_for_memory: bool, is_bad: bool
) -> None:
    ended = container("0", "a", "2026-11-29T08:00:00.1Z")
    state = {"Status": "exited", "Pid": 0, "ExitCode": code, "OOMKilled": killed_for_memory}
    Engine.containers["0"] = ended | {"State": state}
    [server] = platform._containers()
    error = exited(server, {"release": "a"})
    assert isinstance(error, ReleaseFailed) is is_bad
    assert "release a exits at once" in str(error)
