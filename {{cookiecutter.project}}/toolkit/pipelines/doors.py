"""What nox and Invoke themselves say can be called."""

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
class Doors:
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
    def of(cls, root: Path) -> Doors:
        """Ask nox for its sessions, and Invoke for its tasks and each task's flags."""
        # As JSON, nox lists only what it would run; as text, also what runs on request.
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
    # It takes no wish for colours beside the one for none.
    plain = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "nox", *options],
        cwd=root,
        env=plain | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotTell(f"nox {' '.join(options)}: {done.stderr.strip()}")
    return done.stdout


def mistakes(calls: Sequence[Call], doors: Doors) -> Iterator[str]:
    """Yield a sentence with file and line for each call that a door does not know."""
    for call in calls:
        match call.words:
            case ("nox", "-s", session) if session not in doors.sessions:
                yield f"{call.place}: session: nox has no session {session!r}"
            case ("invoke", task, *_) if task not in doors.flags:
                yield f"{call.place}: task: invoke has no task {task!r}"
            case ("invoke", task, *arguments):
                for flag in arguments:
                    if flag.startswith("-") and flag not in doors.flags[task]:
                        yield f"{call.place}: flag: invoke {task} has no flag {flag!r}"


def unreached(calls: Sequence[Call], doors: Doors) -> Iterator[str]:
    """Yield a sentence for each session tagged ``ci`` that the calls of one forge leave out."""
    run = {call.words[2] for call in calls if call.words[:2] == ("nox", "-s")}
    for session in doors.checks:
        if session not in run:
            yield f"{calls[0].file}:1: session: {session!r} is tagged ci, and nothing here runs it"
