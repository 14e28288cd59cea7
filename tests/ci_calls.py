"""What the CI files of a generated repository call, and what is wrong with it."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

WORKFLOWS = Path(".github/workflows")
GITLAB = Path(".gitlab-ci.yml")

# What CI does besides calling the doors: getting them, telling their story, joining the jobs.
AROUND_THE_DOORS = {
    "python -m pip install --require-hashes -r requirements-doors.txt",
    "python3 -m venv .nox/doors",
    ". .nox/doors/bin/activate",
    'cat reports/*.md >> "$GITHUB_STEP_SUMMARY"',
    'test "$RESULT" = success',
}


@dataclass(frozen=True)
class Call:
    """One command of a CI file.

    Parameters
    ----------
    file : pathlib.Path
        Relative to the repository.
    line : int
        Counted from 1.
    words : tuple of str
        The command with its variables filled in.
    """

    file: Path
    line: int
    words: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Doors:
    """What nox and Invoke themselves say can be called.

    Parameters
    ----------
    sessions : frozenset of str
    flags : mapping of str to frozenset of str
        The long flags of each task.
    """

    sessions: frozenset[str]
    flags: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, repository: Path) -> Doors:
        """Ask nox for its sessions, and Invoke for its tasks and each task's flags."""
        plain = os.environ | {"NO_COLOR": "1"}

        def ask(*command: str) -> str:
            run = subprocess.run(
                [sys.executable, "-m", *command],
                cwd=repository,
                env=plain,
                capture_output=True,
                text=True,
            )
            assert run.returncode == 0, run.stderr
            return run.stdout

        # As JSON, nox lists only what it would run; as text, also what runs on request.
        sessions = re.findall(r"^[*-] (\S+)", ask("nox", "--list"), flags=re.MULTILINE)
        tasks = json.loads(ask("invoke", "--list", "--list-format", "json"))["tasks"]
        helps = {task["name"]: ask("invoke", "--help", task["name"]) for task in tasks}
        return cls(
            sessions=frozenset(sessions),
            flags={
                task: frozenset(re.findall(r"^ +(--[a-z][a-z-]*)", text, flags=re.MULTILINE))
                for task, text in helps.items()
            },
        )


class Text(str):
    """A YAML scalar that knows its line."""

    line: int


class _Loader(yaml.BaseLoader):
    """Reads every scalar as text: `on` stays a word, and `3.10` keeps its zero."""

    def construct_scalar(self, node: yaml.ScalarNode) -> Text:
        text = Text(super().construct_scalar(node))
        # A block scalar begins on the line after its "|".
        text.line = node.start_mark.line + (2 if node.style in ("|", ">") else 1)
        return text


def read(path: Path) -> Any:
    """Return a YAML file's content, every scalar a `Text`."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)


def github_calls(repository: Path) -> list[Call]:
    """Return what GitHub calls, from a push to main on, then the rollback button."""
    return [
        call
        for name in ("main.yml", "rollback.yml")
        for call in _workflow(repository, WORKFLOWS / name)
    ]


def _workflow(repository: Path, file: Path) -> Iterator[Call]:
    workflow = read(repository / file)
    inputs = (
        (workflow["on"].get("workflow_dispatch") or {}) if isinstance(workflow["on"], dict) else {}
    )
    options = {
        f"inputs.{name}": choice["options"] for name, choice in inputs.get("inputs", {}).items()
    }
    for job in workflow["jobs"].values():
        if "uses" in job:
            yield from _workflow(repository, Path(job["uses"]))
            continue
        matrix = job.get("strategy", {}).get("matrix", {})
        choices = options | {f"matrix.{name}": values for name, values in matrix.items()}
        for step in job["steps"]:
            if "run" in step:
                variables = {
                    name: choices.get(value.removeprefix("${{").removesuffix("}}").strip(), [value])
                    for name, value in step.get("env", {}).items()
                }
                yield from _calls(file, [step["run"]], variables)


def gitlab_calls(repository: Path) -> list[Call]:
    """Return what GitLab calls, in the order of its file."""
    pipeline = read(repository / GITLAB)
    calls = list(_calls(GITLAB, pipeline["default"]["before_script"], {}))
    for job in pipeline.values():
        if isinstance(job, dict) and "script" in job:
            matrix = job.get("parallel", {}).get("matrix", [{}])
            for variables in matrix:
                calls.extend(_calls(GITLAB, job["script"], variables))
    return calls


def _calls(
    file: Path, scripts: Sequence[Text], variables: Mapping[str, Sequence[str]]
) -> Iterator[Call]:
    for script in scripts:
        for offset, command in enumerate(script.splitlines()):
            if command in AROUND_THE_DOORS:
                continue
            used = [name for name in variables if f"${name}" in command]
            for values in itertools.product(*(variables[name] for name in used)):
                filled = command
                for name, value in zip(used, values, strict=True):
                    filled = filled.replace(f"${name}", value)
                yield Call(file, script.line + offset, tuple(shlex.split(filled)))


def mistakes(calls: Sequence[Call], doors: Doors) -> list[str]:
    """Return a sentence with file and line for each call that no door answers."""
    found = []
    for call in calls:
        match call.words:
            case ("nox", "-s", session) if session in doors.sessions:
                pass
            case ("nox", "-s", session):
                found.append(f"{call.place}: nox has no session {session!r}")
            case ("invoke", task, *arguments) if task in doors.flags:
                flags = [word for word in arguments if word.startswith("-")]
                found.extend(
                    f"{call.place}: invoke {task} has no flag {flag!r}"
                    for flag in flags
                    if flag not in doors.flags[task]
                )
            case ("invoke", task, *_):
                found.append(f"{call.place}: invoke has no task {task!r}")
            case words:
                found.append(f"{call.place}: {shlex.join(words)!r} is not a call of a door")
    # A command that a matrix runs many times is wrong once.
    return list(dict.fromkeys(found))
