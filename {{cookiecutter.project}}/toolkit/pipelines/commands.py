"""The sessions and tasks of a repository, as nox and Invoke list them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from invoke.collection import Collection
from invoke.loader import FilesystemLoader

from . import CannotTell
from .calls import Call


@dataclass(frozen=True)
class Commands:
    """The sessions and tasks of a repository.

    Parameters
    ----------
    sessions : frozenset of str
    checks : tuple of str
        The sessions that are tagged ``ci``, in their order.
    flags : mapping of str to frozenset of str
        The long flags of each task.
    """

    sessions: frozenset[str]
    checks: tuple[str, ...]
    flags: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, root: Path) -> Commands:
        """Read nox's sessions, and Invoke's tasks with their flags."""
        # As JSON, nox lists only what it would run by default; as text, every session.
        listed = re.findall(r"^[*-] (\S+)", _ask_nox(root, "--list"), flags=re.MULTILINE)
        checks = json.loads(_ask_nox(root, "--tags", "ci", "--list", "--json"))
        tasks, _ = FilesystemLoader(start=str(root)).load("tasks")
        return cls(
            sessions=frozenset(listed),
            checks=tuple(check["session"] for check in checks),
            flags={
                str(task.name): frozenset(task.flags)
                for task in Collection.from_module(tasks).to_contexts()
            },
        )


def _ask_nox(root: Path, *options: str) -> str:
    # It refuses FORCE_COLOR beside NO_COLOR.
    plain = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "nox", *options],
        cwd=root,
        env=plain | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotTell(f"nox {' '.join(options)}: {done.stderr.strip()}")
    return done.stdout


def mistakes(calls: Sequence[Call], commands: Commands) -> Iterator[str]:
    """Yield a finding for each call of a session, a task or a flag that does not exist."""
    for call in calls:
        match call.words:
            case ("nox", "-s", session) if session not in commands.sessions:
                yield f"{call.place}: session: nox has no session {session!r}"
            case ("invoke", task, *_) if task not in commands.flags:
                yield f"{call.place}: task: invoke has no task {task!r}"
            case ("invoke", task, *arguments):
                for flag in arguments:
                    if flag.startswith("-") and flag not in commands.flags[task]:
                        yield f"{call.place}: flag: invoke {task} has no flag {flag!r}"


def unreached(calls: Sequence[Call], commands: Commands) -> Iterator[str]:
    """Yield a finding for each session tagged ``ci`` that the calls of one forge leave out."""
    run = {call.words[2] for call in calls if call.words[:2] == ("nox", "-s")}
    for session in commands.checks:
        if session not in run:
            yield f"{calls[0].file}:1: session: {session!r} is tagged ci, and nothing here runs it"


def out_of_order(calls: Sequence[Call]) -> Iterator[str]:
    """Yield a finding for each release that is not built and scanned just before."""
    done: list[str] = []
    for call in calls:
        match call.words:
            case ("invoke", "build", *arguments) if "--push" in arguments:
                if done[-2:] != ["build", "scan"]:
                    before = "invoke build, then nox -s scan"
                    yield f"{call.place}: order: a release comes after {before}, in the same file"
                done.clear()
            case ("invoke", "build", *_):
                done.append("build")
            case ("nox", "-s", "scan"):
                done.append("scan")
