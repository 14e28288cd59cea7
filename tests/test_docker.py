"""Releases on one Docker host: brought by digest, changed without a lost request, taken back.

The numbers in the names are those of the failure cases that every release machine meets.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker
import engine
import image_index
import pytest
from docker.models.containers import Container
from faulty_registry import FaultyRegistry
from living import Living, scan
from trivy_database import Database

from demo.changes import learn_more_slowly
from demo.client import Customers
from demo.repository import Repository

# The first test waits for an engine, its base image and three releases: beside other work, minutes each.
pytestmark = [pytest.mark.full, pytest.mark.timeout(2700)]

DRIFTED, ROLLED_BACK, GONE = 3, 30, 41
PATIENCE_S = 20


@dataclass(frozen=True)
class Host:
    """A repository whose environments are on one Docker host, with two good releases and a bad one.

    Parameters
    ----------
    repository : Repository
    client : docker.DockerClient
    registry : FaultyRegistry
    first, second, bad : str
        Versions; the bad one proved itself at its build, and does not serve where it is promoted.
    customer : dict
        Whom all of them can answer about.
    """

    repository: Repository
    client: docker.DockerClient
    registry: FaultyRegistry
    first: str
    second: str
    bad: str
    customer: dict[str, Any]

    def promote(self, environment: str, version: str) -> None:
        """Promote a release, approved where that is wanted."""
        if environment == "prod":
            self.repository.ask("approve", "--env", environment, "--version", version)
        self.repository.ask("promote", "--env", environment, "--version", version, "--yes")

    @property
    def images(self) -> str:
        """Where the releases' images are."""
        return f"{self.registry.address}/models/churn-model"

    def digest(self, version: str) -> str:
        """Return the digest of a release's image, as its tag in git has it."""
        kept = self.repository.git("show", f"release/{version}:image.json")
        return str(json.loads(kept)["digest"])

    def remove(self, version: str) -> None:
        """Take a release's image off the host."""
        image = self.client.images.get(f"{self.images}@{self.digest(version)}")
        self.client.images.remove(str(image.id), force=True)

    def would_promote(self, environment: str, version: str) -> str:
        """Return what a promotion says before it does anything."""
        done = self.repository.invoke(
            *("promote", "--env", environment, "--version", version, "--dry-run")
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def customers(self) -> Customers:
        """Return customers of prod who do not stop asking."""
        return Customers(self.repository.address("prod"), self.customer)

    def servers(self, environment: str) -> list[Container]:
        """Return an environment's running servers."""
        wanted = [f"release.environment={environment}", "release.version"]
        return self.client.containers.list(filters={"label": wanted})


def release(repository: Repository) -> str:
    """Train, build, scan and push what is committed, and return its version."""
    repository.ask("champion", "--env", "prod")
    trained = repository.nox("-s", "train")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    repository.ask("build", "--base", engine.BASE_IMAGE)
    scan(repository)
    built = repository.ask("build", "--push", "--base", engine.BASE_IMAGE)
    version: str = built["record"]["version"]
    return version


@pytest.fixture(scope="module")
def host(
    living: Living,
    docker_engine: engine.Engine,
    registry: FaultyRegistry,
    known_holes: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Host]:
    """Return three releases in a registry; nothing is promoted."""
    workspace = tmp_path_factory.mktemp("docker")
    repository = living.generate(
        workspace, platform="docker", registry=f"{registry.address}/models"
    )
    repository.begin(workspace / "remote.git")
    first = release(repository)
    learn_more_slowly(repository)
    second = release(repository)
    source = "toolkit/serving/__main__.py"
    repository.replace(
        source, "inherited(options.fd or ())", "inherited(map((999).__add__, options.fd or ()))"
    )
    repository.commit("Serve, but not on a socket that is handed over")
    bad = release(repository)
    yield Host(
        *(repository, docker_engine.client, registry, first, second, bad),
        living.customer(),
    )
    for environment in ("staging", "prod"):
        repository.invoke("stop", "--env", environment, "--yes")


@pytest.fixture(autouse=True)
def sound_registry(host: Host) -> Iterator[None]:
    """Put the registry back after each test."""
    upstream = host.registry.upstream
    yield
    host.registry.mend()
    host.registry.upstream = upstream


def test_05_a_tag_that_has_moved_is_told_and_the_digest_wins(host: Host) -> None:
    assert "warning" not in host.would_promote("staging", host.first)
    base = host.client.images.get(engine.BASE_IMAGE)
    base.tag(host.images, host.first)
    host.client.images.push(host.images, host.first)
    done = host.repository.invoke(
        *("promote", "--env", "staging", "--version", host.first, "--yes")
    )
    assert done.returncode == 0, done.stderr
    assert f"warning   {host.images}:{host.first} is sha256:" in done.stderr
    assert f"the release is {host.digest(host.first)}: the digest counts" in done.stderr
    served = {server.attrs["Config"]["Image"] for server in host.servers("staging")}
    assert served == {f"{host.images}@{host.digest(host.first)}"}
    # Their logs are limited, as release.toml says.
    logs = [server.attrs["HostConfig"]["LogConfig"] for server in host.servers("staging")]
    assert {log["Config"]["max-size"] for log in logs} == {"50m"}


def test_a_release_is_promoted_by_digest_and_changed_without_a_lost_request(host: Host) -> None:
    # What is only in the registry is brought from there.
    host.remove(host.second)
    host.promote("prod", host.first)
    host.promote("staging", host.second)
    with host.customers() as customers:
        host.promote("prod", host.second)
        time.sleep(0.5)
    assert customers.failures == []
    assert customers.answers.keys() == {host.first, host.second}
    newest = host.repository.ask("history", "--env", "prod")[0]
    assert newest["canary"].startswith("pass: "), "one of two servers has tried it first"
    [status] = host.repository.ask("status", "--env", "prod", "--exit-code")
    assert status["release"] == host.second
    for server in host.servers("prod"):
        assert "@sha256:" in server.attrs["Config"]["Image"]
        assert server.attrs["HostConfig"]["ReadonlyRootfs"]
        assert server.attrs["HostConfig"]["CapDrop"] == ["ALL"]


def test_13_a_release_that_does_not_serve_rolls_itself_back(host: Host) -> None:
    with host.customers() as customers:
        done = host.repository.invoke(
            *("promote", "--env", "staging", "--version", host.bad, "--yes")
        )
        time.sleep(0.5)
    assert done.returncode == ROLLED_BACK, done.stderr
    assert "not an inherited listening socket" in done.stderr
    assert customers.failures == []
    [status] = host.repository.ask("status", "--env", "staging", "--exit-code")
    assert status["release"] == host.second


def test_36_a_tag_may_be_an_index_of_the_release_s_image_and_of_no_other(host: Host) -> None:
    platform = image_index.platform(host.client)
    image_index.put(host.images, host.first, host.digest(host.first), platform)
    assert "warning" not in host.would_promote("staging", host.first)
    index = image_index.put(host.images, host.first, host.digest(host.second), platform)
    assert f"is {index} at the registry" in host.would_promote("staging", host.first)


@pytest.mark.parametrize("fault", ["refuses", "hangs"])
def test_a_registry_that_is_down_keeps_no_promotion_of_an_image_that_is_here(
    host: Host, fault: str
) -> None:
    setattr(host.registry, fault, True)
    began = time.monotonic()
    said = host.would_promote("staging", host.first)
    assert f"{host.images}:{host.first} cannot be read at the registry" in said
    assert time.monotonic() - began < PATIENCE_S


def test_26_an_image_that_is_gone_is_found_out_before_anything_is_touched(host: Host) -> None:
    for environment in ("staging", "prod"):
        # The container that holds the port runs from the release that served first.
        host.repository.invoke("stop", "--env", environment, "--yes")
        host.repository.ask("deploy", "--env", environment)
    before = host.repository.git("rev-parse", "env/prod")
    rollback = ("rollback", "--env", "prod")
    host.remove(host.first)
    assert host.repository.invoke(*rollback, "--dry-run").returncode == 0
    with engine.registry() as empty:
        host.registry.upstream = empty
        done = host.repository.invoke(*rollback)
    assert done.returncode == GONE, done.stderr
    assert f"neither the host nor the registry has {host.images}@sha256:" in done.stderr
    assert "state: prod unchanged" in done.stderr
    assert host.repository.git("rev-parse", "env/prod") == before
    [status] = host.repository.ask("status", "--env", "prod", "--exit-code")
    assert status["release"] == host.second


def test_29_a_server_that_somebody_has_removed_is_seen_and_brought_back(host: Host) -> None:
    host.servers("prod")[0].remove(force=True)
    changed = host.repository.invoke("status", "--env", "prod", "--exit-code")
    assert changed.returncode == DRIFTED, changed.stdout
    assert "1 of 2 servers exist" in changed.stdout
    host.repository.ask("deploy", "--env", "prod")
    assert len(host.servers("prod")) == 2
    assert host.repository.ask("status", "--env", "prod", "--exit-code")


def test_a_server_that_ends_is_started_again_on_its_socket(host: Host) -> None:
    server = host.servers("prod")[0]
    with host.customers() as customers:
        # Its first process hears a signal from inside only where it has a handler: it drains.
        server.exec_run(["python3", "-c", "import os, signal; os.kill(1, signal.SIGTERM)"])
        deadline = time.monotonic() + PATIENCE_S
        while not server.attrs["RestartCount"]:
            assert time.monotonic() < deadline, server.status
            time.sleep(0.2)
            server.reload()
        time.sleep(2)
    assert customers.failures == []
    assert host.repository.ask("status", "--env", "prod", "--exit-code")


def test_a_rollback_needs_no_registry_while_the_image_is_on_the_host(host: Host) -> None:
    host.client.images.pull(f"{host.images}@{host.digest(host.first)}")
    host.registry.refuses = True
    with host.customers() as customers:
        event = host.repository.ask("rollback", "--env", "prod", "--reason", "a test")
        time.sleep(0.5)
    assert (event["release"], event["outcome"]) == (host.first, "verified")
    assert customers.failures == []
    assert customers.answers[host.first] > 0


def test_an_environment_that_is_stopped_has_no_container_left(host: Host) -> None:
    host.repository.invoke("stop", "--env", "prod", "--yes")
    assert host.servers("prod") == []
    ended = host.repository.invoke("status", "--env", "prod", "--exit-code")
    assert ended.returncode == DRIFTED
