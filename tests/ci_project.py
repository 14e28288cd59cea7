"""A fresh repository whose pipelines are run, and the faults that must turn them red.

A fault is held against the one check that must find it.
"""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pytest
import trivy_database
from advisories import advisories
from ci_machine import Machine

from demo.repository import Repository

# In two pieces, so that nobody takes this file for a leak.
TOKEN = "ghp_" + "a1B2" * 9


def break_the_data(repository: Repository) -> None:
    repository.replace("data/sample.csv", "customer_id,age,", "customer_id,years,")


def ask_for_a_better_model(repository: Repository) -> None:
    policy = repository.folder / "quality.toml"
    text = policy.read_text(encoding="utf-8")
    policy.write_text(text.replace("min = 0.85", "min = 0.99", 1), encoding="utf-8")


def break_a_test(repository: Repository) -> None:
    with (repository.folder / "tests/test_data.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef test_fault() -> None:\n    assert 1 == 2\n")


def commit_a_token(repository: Repository) -> None:
    (repository.folder / "src/churn_model/fault.py").write_text(f'TOKEN = "{TOKEN}"\n')


def write_a_sentence(repository: Repository) -> None:
    with (repository.folder / "README.md").open("a", encoding="utf-8") as file:
        file.write("\nAda was here.\n")


@dataclass(frozen=True)
class Fault:
    """What somebody proposes to merge and must not be merged.

    Parameters
    ----------
    plant : callable
        Puts it into a repository.
    session : str
        The check that finds it.
    said : str
        What that check says of it.
    """

    plant: Callable[[Repository], None]
    session: str
    said: str


FAULTS = {
    "broken-data": Fault(break_the_data, "data", "years"),
    "broken-model": Fault(ask_for_a_better_model, "gate", "0.99"),
    "failing-test": Fault(break_a_test, "tests", "test_fault"),
    "planted-secret": Fault(
        commit_a_token, "secrets", "src/churn_model/fault.py:1: Access Token: in the file"
    ),
}


@dataclass(frozen=True)
class Project:
    """A fresh repository, its bare remote, and the machine of its pipelines.

    Parameters
    ----------
    repository : Repository
        Ada's clone. She may approve.
    remote : pathlib.Path
    machine : Machine
    """

    repository: Repository
    remote: Path
    machine: Machine

    @cached_property
    def listed(self) -> str:
        """What CI must run, as nox itself tells it."""
        return self.repository.nox("--tags", "ci", "--list", "--json").stdout

    @property
    def sessions(self) -> list[str]:
        """The names of what CI must run."""
        return [each["session"] for each in json.loads(self.listed)]

    def propose(self, branch: str, change: Callable[[Repository], None]) -> None:
        """Push a branch with a change."""
        self.repository.git("switch", "--quiet", "--create", branch, "main")
        change(self.repository)
        self.repository.commit(branch)
        self.repository.git("push", "--quiet", "origin", branch)
        self.repository.git("switch", "--quiet", "main")

    def served(self, environment: str) -> str:
        """Return the release that an environment's servers say they are."""
        connection = http.client.HTTPConnection(self.repository.address(environment), timeout=10)
        connection.request("GET", "/version")
        said: str = json.loads(connection.getresponse().read())["release"]
        connection.close()
        return said


def signed(project: Project) -> Project:
    """Let events and releases count by the signature of the release job alone."""
    repository, key = project.repository, project.remote.with_name("release_key")
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)]
    subprocess.run(made, check=True)
    public = key.with_suffix(".pub").read_text(encoding="ascii")
    line = f'release@example.com namespaces="git" {public}'
    (repository.folder / "allowed_signers").write_text(line, encoding="ascii")
    table = '[signing]\nevents = true\nby = ["release@example.com"]\n'
    repository.replace("release.toml", "".join(f"# {each}\n" for each in table.splitlines()), table)
    repository.commit("Let the release job sign")
    return replace(project, machine=replace(project.machine, signing_key=key))


def assert_signed(project: Project, folder: Path) -> None:
    """Hold that each event and each release is signed, and that a fresh clone's audit proves it."""
    here = project.repository
    here.git("clone", "--quiet", str(project.remote), str(folder / "clone"))
    auditor = replace(here, folder=folder / "clone")
    proved = auditor.ask("audit")
    assert {one["environment"] for one in proved["environments"]} == {"staging", "prod"}
    names = ("--format=%(objectname)", "refs/remotes/origin/env", "refs/tags/release")
    heads = auditor.git("for-each-ref", *names).splitlines()
    events = auditor.git("rev-list", "--remotes=origin/env/*").splitlines()
    assert len(heads) >= 3 and len(events) >= 4
    for name in (*heads, *events):
        assert "BEGIN SSH SIGNATURE" in auditor.git("cat-file", "-p", name), name


@contextmanager
def project(workspace: Path) -> Iterator[Project]:
    """Yield a project that nobody has worked on yet; stop its servers afterwards.

    What its audit and its scan ask know of no hole.
    """
    machine = Machine(workspace / "machine")
    generated = Repository.generate(workspace, ci="both")
    repository = replace(generated, state=machine.folder / "state")
    repository.install_tools()
    repository.begin(workspace / "remote.git")
    with pytest.MonkeyPatch.context() as patch, advisories(patch):
        trivy_database.in_use(patch, workspace / "trivy")
        yield Project(repository, workspace / "remote.git", machine)
        repository.git("fetch", "--quiet", "origin", "+refs/heads/env/*:refs/heads/env/*")
        repository.stop()
