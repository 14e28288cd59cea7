"""The ``docker`` platform, with a stand-in for the engine."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from toolkit.release.errors import PreconditionFailed
from toolkit.release.platforms.docker import DockerPlatform
from toolkit.release.policy import Environment, Policy
from toolkit.tests.workshop import free_port


class Engine(http.server.BaseHTTPRequestHandler):
    """An engine without a container, which keeps its requests."""

    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path.partition("?")[0])
        answer: object = {"ApiVersion": "1.44"} if self.path.endswith("/version") else []
        content = json.dumps(answer).encode()
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


def test_without_an_engine_nothing_can_be_observed(
    platform: DockerPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")
    assert "no Docker Engine answers" in platform.observe().trouble
    with pytest.raises(PreconditionFailed) as refusal:
        platform.ask("prod-0", "/health")
    assert refusal.value.state == "nothing was changed"
