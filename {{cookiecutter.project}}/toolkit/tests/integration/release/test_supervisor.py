"""The supervisor keeps an environment serving when processes die."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit.release.errors import RolledBack
from toolkit.release.platforms.protocol import Instance
from toolkit.release.policy import Environment
from toolkit.release.progress import Progress
from toolkit.release.status import look
from toolkit.tests.workshop import SERVER, Workshop, free_port

PATIENCE_S = 10
ROOT = Path(__file__).parents[4]


def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait for something that happens in other processes; fail when it does not."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def answers(environment: Environment) -> bool:
    return port_answers(environment.port)


def port_answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
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
    since = workshop.machine.observe(workshop.staging).since
    killed = {instance.pid for instance in instances(workshop)}
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    # The listening sockets never closed: a request now waits, and is answered.
    assert answers(workshop.staging)
    until(lambda: {i.state for i in instances(workshop)} == {"ready"})
    assert {i.release for i in instances(workshop)} == {release.version}
    assert not killed & {i.pid for i in instances(workshop)}
    assert sum(i.restarts for i in instances(workshop)) == len(killed)
    assert since and workshop.machine.observe(workshop.staging).since == since


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


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Let this user's files be readable by everybody, as is usual."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_folders_and_logs_are_readable_by_their_user_alone(
    workshop: Workshop, open_umask: None
) -> None:
    # As an earlier version has left it.
    workshop.state.mkdir(parents=True, mode=0o755)
    workshop.promote(workshop.release(), workshop.staging)
    environment = workshop.state / "environments" / "staging"
    releases = workshop.state / "releases"
    folders = [workshop.state, environment.parent, environment, environment / "logs"]
    for folder in (*folders, releases, *(path for path in releases.iterdir() if path.is_dir())):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    files = [path for path in environment.rglob("*") if path.is_file()]
    assert {"desired.json", "actual.json", "supervisor.log"} <= {path.name for path in files}
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_log_is_kept_to_the_size_that_the_policy_states(workshop: Workshop) -> None:
    policy = replace(workshop.machine.policy, log_mb=1)
    small = replace(workshop, machine=replace(workshop.machine, policy=policy))
    small.promote(small.release(), small.staging)
    [log, *_] = (workshop.state / "environments" / "staging" / "logs").glob("*.log")
    with log.open("ab") as server:
        server.write(b"x" * (1024 * 1024 + 1))
    until(lambda: log.stat().st_size == 0)
    assert log.with_suffix(".log.old").stat().st_size > 1024 * 1024


# A supervisor that does not wait, so that thousands of restarts take seconds.
HASTY = """
import sys
from toolkit.release.platforms import supervisor
supervisor.LONGEST_BACKOFF_S, supervisor.TICK_S = 0, 0.001
sys.exit(supervisor.main())
"""
# Serves until the file exists, and then ends as soon as it is started.
CRASHES = """[ -e "$0" ] && exit 7; exec "$@" """


def crash_loop(folder: Path, restarts: int) -> None:
    """Let one of two servers crash so often, and look at the other."""
    bundle, broken = folder / "bundle", folder / "broken"
    bundle.mkdir()
    record = {"version": "v", "digest": "d"}
    (bundle / "release.json").write_text(json.dumps(record), encoding="utf-8")
    (bundle / "model.onnx").write_bytes(b"good")
    serve = [sys.executable, str(SERVER), "--bundle", str(bundle)]
    port = free_port()
    slots = [
        {"release": name, "digest": "d", "ready_timeout_s": PATIENCE_S, "command": command}
        for name, command in {
            "healthy": serve,
            "crashing": ["/bin/sh", "-c", CRASHES, str(broken), *serve],
        }.items()
    ]
    desired: dict[str, Any] = {"event": "e", "generation": "g", "host": "127.0.0.1", "port": port}
    environment = folder / "environment"
    environment.mkdir()
    (environment / "desired.json").write_text(json.dumps(desired | {"slots": slots}), "utf-8")

    def seen(release: str) -> dict[str, Any]:
        actual = json.loads((environment / "actual.json").read_text(encoding="utf-8"))
        [instance] = [one for one in actual["instances"] if one["release"] == release]
        return dict(instance)

    command = [sys.executable, "-c", HASTY, str(environment)]
    with subprocess.Popen(command, cwd=ROOT) as running:
        try:
            until(lambda: (environment / "actual.json").exists())
            until(lambda: seen("healthy")["state"] == seen("crashing")["state"] == "ready")
            healthy = seen("healthy")
            broken.touch()
            os.kill(seen("crashing")["pid"], signal.SIGKILL)
            until(lambda: bool(seen("crashing")["restarts"] > restarts), PATIENCE_S + restarts / 20)
            assert seen("healthy") == healthy
            broken.unlink()
            until(lambda: seen("crashing")["state"] == "ready")
            assert all(port_answers(port) for _ in range(20))
            assert len(list((environment / "logs").iterdir())) < 30
        finally:
            running.terminate()
    assert running.returncode == 0


def test_a_server_that_crashes_for_ever_ends_neither_supervisor_nor_neighbour(
    tmp_path: Path,
) -> None:
    # 2.0 ** 1024 is no float.
    crash_loop(tmp_path, restarts=1030)


@pytest.mark.endurance
def test_a_server_that_crashes_five_thousand_times_ends_nobody(tmp_path: Path) -> None:
    crash_loop(tmp_path, restarts=5000)


def heartbeat(workshop: Workshop) -> Path:
    return workshop.state / "environments" / "staging" / "heartbeat.json"


def supervisor_of(workshop: Workshop) -> int:
    """Return the process of staging's supervisor."""
    return int(json.loads(heartbeat(workshop).read_bytes())["pid"])


def test_a_server_that_hangs_is_seen_at_once_and_replaced(workshop: Workshop) -> None:
    workshop.promote(workshop.release(), workshop.staging)
    hung, other = instances(workshop)
    os.kill(hung.pid, signal.SIGSTOP)
    seen = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert seen.drift == f"{hung.address} not ready"
    assert "1 of 2 instances ready" in str(seen)
    until(lambda: hung.pid not in {one.pid for one in instances(workshop)}, patience_s=60)
    until(lambda: {one.state for one in instances(workshop)} == {"ready"})
    assert other in instances(workshop)
    log = workshop.state / "environments" / "staging" / "supervisor.log"
    assert f"process {hung.pid}: it did not answer 3 times" in log.read_text(encoding="utf-8")


def test_a_supervisor_that_hangs_is_seen_and_replaced_by_deploy(workshop: Workshop) -> None:
    release = workshop.release()
    workshop.promote(release, workshop.staging)
    hung = supervisor_of(workshop)
    os.kill(hung, signal.SIGSTOP)
    killed = instances(workshop)[0]
    os.kill(killed.pid, signal.SIGKILL)
    # Its servers are asked themselves, whatever it has written.
    assert look(workshop.machine, workshop.ledger(), workshop.staging).drift == (
        f"{killed.address} not ready"
    )
    os.utime(heartbeat(workshop), (time.time() - 60, time.time() - 60))
    assert (
        "the supervisor has not moved for 6" in workshop.machine.observe(workshop.staging).trouble
    )
    workshop.machine.deploy(workshop.staging, Progress())
    assert supervisor_of(workshop) != hung
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_terminal_that_closes_ends_no_environment(
    workshop: Workshop, number: signal.Signals
) -> None:
    workshop.promote(workshop.release(b"one"), workshop.staging)
    supervisor, servers = supervisor_of(workshop), instances(workshop)
    os.kill(supervisor, number)
    # It goes on to take orders, and the order before it ended nothing.
    second = workshop.release(b"two")
    workshop.promote(second, workshop.staging)
    assert supervisor_of(workshop) == supervisor
    assert {one.release for one in instances(workshop)} == {second.version}
    assert len(servers) == 2


def test_to_another_user_what_cannot_be_seen_is_not_nothing(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.promote(workshop.release(), workshop.staging)
    with monkeypatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
        drift = look(workshop.machine, workshop.ledger(), workshop.staging).drift
    assert "nothing runs in " in drift
    assert f"though something listens on 127.0.0.1:{workshop.staging.port}" in drift
