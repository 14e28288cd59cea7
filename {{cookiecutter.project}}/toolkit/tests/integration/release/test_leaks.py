"""No command shows or stores a secret of its environment; docs/secrets.md lists them."""

from __future__ import annotations

import inspect
import json
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.collection import Collection
from invoke.program import Program
from invoke.tasks import Task

from toolkit.release import tasks
from toolkit.release.signing_key import BEGIN
from toolkit.tests.command_line import write_policy
from toolkit.tests.listener import Listener, listening
from toolkit.tests.workshop import Workshop, commit, git

# Part of every planted secret, so that one search finds them all.
MARK = secrets.token_hex(16)
PLANTED = {
    "REGISTRY_USER": "ada",
    "REGISTRY_TOKEN": MARK,
    "GITHUB_TOKEN": f"ghp_{MARK}",
    "GITLAB_TOKEN": f"glpat-{MARK}",
    "FORGE_TOKEN": f"glpat-{MARK}",
    "CI_JOB_TOKEN": f"glcbt-{MARK}",
    "RELEASE_SIGNING_KEY": f"{BEGIN}OPENSSH PRIVATE KEY-----\n{MARK}\n",
    "DOCKER_HOST": f"tcp://ada:{MARK}@127.0.0.1:9",
    "CUSTOMERS": f"postgresql://ada:{MARK}@127.0.0.1:9/customers",
    "AWS_ACCESS_KEY_ID": "ada",
    "AWS_SECRET_ACCESS_KEY": MARK,
}
TASKS = {task.name: task for task in vars(tasks).values() if isinstance(task, Task)}
STAGING = ("--env", "staging")


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """A job of GitHub with planted secrets; its forge and its webhook refuse, and quote them."""
    usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    refusal = json.dumps({"message": f"ghp_{MARK} is not welcome"}).encode()
    with listening(403, refusal) as forge:
        job = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": forge.address,
            "GITHUB_REPOSITORY": "team/churn",
            "GITHUB_RUN_ID": "1",
            "RELEASE_WEBHOOK_URL": f"{forge.address}/{MARK}",
        }
        for name, value in (PLANTED | job).items():
            monkeypatch.setenv(name, value)
        yield forge
    for number, handler in usual.items():
        signal.signal(number, handler)


def invoke(*arguments: str) -> None:
    """Run a command, which may fail."""
    namespace = Collection.from_module(tasks)
    Program(version="1", namespace=namespace).run(["invoke", *arguments], exit=False)


def leaks(*folders: Path) -> list[str]:
    """Return the files, and the objects of git repositories, that hold a planted secret."""
    found = [
        str(path)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and MARK.encode() in path.read_bytes()
    ]
    for folder in folders:
        if (folder / ".git").exists() or (folder / "objects").exists():
            every = ("git", "cat-file", "--batch-all-objects", "--batch", "--buffer")
            content = subprocess.check_output(every, cwd=folder)
            found += [f"an object of {folder}"] if MARK.encode() in content else []
    return found


def run_every_command(workshop: Workshop) -> set[str]:
    """Run every command, and return their names."""
    typed = set()

    def type_in(task: str, *arguments: str) -> None:
        typed.add(task)
        invoke(task, *arguments)

    for model in (b"one", b"two"):
        commit(workshop.folder, "work")
        workshop.train(model)
        type_in("champion", "--env", "prod")
        type_in("build", "--push")
        type_in("diff", *STAGING)
        type_in("promote", *STAGING, "--yes")
    type_in("approve", "--env", "prod", "--reason", "looked at it")
    for task in ("hold", "unhold", "rollback"):
        type_in(task, *STAGING, "--reason", "a test")
    for task in ("status", "history", "audit"):
        arguments = STAGING if task == "history" else ("--html",) if task == "audit" else ()
        type_in(task, *arguments)
        type_in(task, *arguments, "--json")
    type_in("drill", *STAGING, "--sandbox", "--yes")
    for task in TASKS.keys() - typed - {"stop"}:
        options = inspect.signature(TASKS[task].body).parameters
        type_in(task, *(STAGING if "env" in options else ()), *(["--yes"] * ("yes" in options)))
    type_in("stop", *STAGING, "--yes")
    return typed


def test_no_command_shows_or_leaves_a_secret(
    workshop: Workshop,
    forge: Listener,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    workshop.pack()
    write_policy(workshop.folder, workshop.machine.policy)
    git(workshop.folder, "push", "--quiet", "origin", "main")
    monkeypatch.chdir(workshop.folder)
    assert run_every_command(workshop) == set(TASKS)
    for task in TASKS:
        invoke("--help", task)
    invoke("--list")
    used = {path for path, _, _ in forge.requests}
    assert {f"/{MARK}", "/repos/team/churn/actions/runs/1/approvals"} <= used
    output = "".join(capfd.readouterr())
    assert output.count("verified") > 2 and "the notification failed" in output
    assert MARK not in output
    assert {"dist", "reports"} <= {path.name for path in workshop.folder.iterdir()}
    assert leaks(workshop.folder, tmp_path / "remote.git", workshop.state) == []


def test_a_secret_that_is_left_anywhere_is_found(workshop: Workshop) -> None:
    report, log = workshop.folder / "reports" / "gate.json", workshop.state / "server.log"
    for path in (report, log):
        path.parent.mkdir(parents=True)
        path.write_text(f"GET /{MARK}\n")
    assert leaks(workshop.folder, workshop.state) == [str(report), str(log)]
    git(workshop.folder, "add", "reports")
    report.unlink()
    assert leaks(workshop.folder) == [f"an object of {workshop.folder}"]
