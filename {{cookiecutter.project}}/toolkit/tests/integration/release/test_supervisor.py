"""The supervisor keeps an environment serving when processes die."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.release.errors import RolledBack
from toolkit.release.platforms.protocol import Instance
from toolkit.release.policy import Environment
from toolkit.release.progress import Progress
from toolkit.tests.workshop import Workshop

PATIENCE_S = 10


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in other processes; fail when it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def answers(environment: Environment) -> bool:
    connection = http.client.HTTPConnection(environment.host, environment.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def instances(workshop: Workshop) -> tuple[Instance, ...]:
    return workshop.machine.observe(workshop.staging).instances


def test_a_killed_server_is_started_again_from_the_same_release(workshop: Workshop) -> None:
    release = workshop.release()
    workshop.promote(release, workshop.staging)
    killed = {instance.pid for instance in instances(workshop)}
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    # The listening sockets never closed: a request now waits, and is answered.
    assert answers(workshop.staging)
    until(lambda: {i.state for i in instances(workshop)} == {"ready"})
    assert {i.release for i in instances(workshop)} == {release.version}
    assert not killed & {i.pid for i in instances(workshop)}
    assert sum(i.restarts for i in instances(workshop)) == len(killed)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_without_their_supervisor_servers_end_and_deploy_starts_them_again(
    workshop: Workshop,
) -> None:
    workshop.promote(workshop.release(), workshop.staging)
    servers = instances(workshop)
    parent = int(Path(f"/proc/{servers[0].pid}/stat").read_text().split()[3])
    os.kill(parent, signal.SIGKILL)
    until(lambda: not answers(workshop.staging))
    assert instances(workshop) == ()
    workshop.machine.deploy(workshop.staging, Progress())
    assert answers(workshop.staging)


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's environment from /proc")
def test_no_secret_of_the_command_reaches_a_server(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", "planted-secret")
    workshop.promote(workshop.release(), workshop.staging)
    for instance in instances(workshop):
        assert b"planted-secret" not in Path(f"/proc/{instance.pid}/environ").read_bytes()


def test_a_port_that_is_in_use_is_named(workshop: Workshop) -> None:
    # Two sockets that both share their port would be accepted.
    address = (workshop.staging.host, workshop.staging.port)
    with socket.create_server(address, reuse_port=True), pytest.raises(RolledBack) as refusal:
        workshop.promote(workshop.release(), workshop.staging)
    assert f"cannot listen on 127.0.0.1:{workshop.staging.port}" in refusal.value.why


def test_a_killed_installation_is_repeated(workshop: Workshop, tmp_path: Path) -> None:
    release = workshop.release()
    home = tmp_path / "state" / "workshop" / "releases" / release.version
    (home / "bundle").mkdir(parents=True)
    (home / "bundle" / "model.onnx").write_bytes(b"half of it")
    workshop.promote(release, workshop.staging)
    assert answers(workshop.staging)
