"""A repository whose environments are on one Docker host, and the releases that its tests promote."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import engine
import pytest
from docker.models.containers import Container
from faulty_registry import FaultyRegistry
from living import scan

from demo.client import Customers
from demo.repository import Repository

PATIENCE_S = 20
# Longer than the shortest canary.
LEASE_S = 8


@dataclass(frozen=True)
class Host:
    """A repository whose environments are on one Docker host, two releases good, two not.

    Parameters
    ----------
    repository : Repository
    client : docker.DockerClient
    registry : FaultyRegistry
    first, second, bad, wrong : str
        Versions; the last two proved themselves at their build. Where it is promoted, the bad one
        does not serve, and the wrong one answers the contrary.
    case : dict
        A ``request`` that all of them can answer, and the second's ``response``.
    """

    repository: Repository
    client: docker.DockerClient
    registry: FaultyRegistry
    first: str
    second: str
    bad: str
    wrong: str
    case: dict[str, Any]

    def promote(self, environment: str, version: str) -> None:
        """Promote a release, approved where that is wanted."""
        if environment == "prod":
            self.repository.ask("approve", "--env", environment, "--version", version)
        self.repository.ask("promote", "--env", environment, "--version", version, "--yes")

    def let_serve(self, environment: str, version: str) -> None:
        """Promote a release unless it serves already: what a test before has left is not known."""
        if self.serves(environment) != version:
            self.promote(environment, version)

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

    def customers(self, environment: str = "prod") -> Customers:
        """Return customers who do not stop asking."""
        return Customers(self.repository.address(environment), self.case["request"])

    def servers(self, environment: str, every: bool = False) -> list[Container]:
        """Return an environment's running servers, or every container that is one's."""
        wanted = [f"release.environment={environment}", "release.version"]
        return self.client.containers.list(all=every, filters={"label": wanted})

    def serves(self, environment: str) -> str:
        """Return the release that all servers run, no canary and without drift."""
        [status] = self.repository.ask("status", "--env", environment, "--exit-code")
        runs = [one.labels["release.version"] for one in self.servers(environment, every=True)]
        assert runs == [status["release"]] * 2
        return str(status["release"])

    def other(self, serves: str) -> str:
        """Return the good release that does not serve."""
        return self.first if serves == self.second else self.second

    @contextmanager
    def without(self, path: str) -> Iterator[None]:
        """Take a file of the base image away, on the disk of the engine."""
        layers = self.servers("staging")[0].attrs["GraphDriver"]["Data"]["LowerDir"].split(":")
        found = [Path(layer, path) for layer in layers if Path(layer, path).is_file()]
        if not found:
            pytest.skip("the files of this engine are out of reach")
        away = found[-1].with_suffix(".away")
        found[-1].rename(away)
        try:
            yield
        finally:
            away.rename(found[-1])

    def kill_promotion(self, environment: str, version: str, when: Callable[[str], bool]) -> None:
        """Promote, kill the command at a line of its progress, and wait for the lock to run out."""
        command = ("promote", "--env", environment, "--version", version, "--yes")
        with subprocess.Popen(
            [str(self.repository.programs / "invoke"), *command],
            cwd=self.repository.folder,
            env=self.repository.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            assert run.stderr
            assert any(when(line) for line in run.stderr), "it has ended before"
            run.kill()
        time.sleep(LEASE_S + 1)

    def starts(self, environment: str, version: str) -> bool:
        """Wait until a first server of a release starts."""
        deadline = time.monotonic() + PATIENCE_S
        while version not in {one.labels["release.version"] for one in self.servers(environment)}:
            assert time.monotonic() < deadline, "no new server starts"
            time.sleep(0.01)
        return True


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


def answer_the_contrary(repository: Repository) -> None:
    """Commit a server that is right in its image, and wrong on a socket that is handed over."""
    module, answer = "toolkit/serving/prediction.py", "        if not math.isfinite(probability):\n"
    turned = """        if "--fd" in sys.argv:
            probability = 1 - probability
"""
    repository.replace(module, answer, turned + answer)
    repository.replace(module, "import math\n", "import math\nimport sys\n")
    repository.commit("Answer the contrary")
