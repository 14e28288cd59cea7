"""The commands of the CI files, each with its place."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import CannotTell

WORKFLOWS = Path(".github/workflows")
GITLAB = Path(".gitlab-ci.yml")
# ${VERSION:+--version "$VERSION"}: arguments that are given only when VERSION is set.
OPTIONAL = re.compile(r"\$\{\w+:\+(.*?)\}")
# The double braces of a workflow.
EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")


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


class Text(str):
    """A YAML scalar with its line."""

    line: int


class _Loader(yaml.BaseLoader):
    """Reads every scalar as text: `on` stays a word, and `3.10` keeps its zero."""

    def construct_scalar(self, node: yaml.ScalarNode) -> Text:
        text = Text(super().construct_scalar(node))
        # A block scalar begins on the line after its "|".
        text.line = node.start_mark.line + (2 if node.style in ("|", ">") else 1)
        return text


def read(path: Path) -> Any:
    """Return a YAML file's content, every scalar a `Text`; `CannotTell` if it is not YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise CannotTell(f"{path}: {error}") from None


def files(root: Path) -> list[Path]:
    """Return the CI files of a repository, relative to it."""
    found = sorted(path.relative_to(root) for path in (root / WORKFLOWS).glob("*.yml"))
    return [*found, GITLAB] if (root / GITLAB).exists() else found


def calls(root: Path, file: Path, checks: Sequence[str]) -> list[Call]:
    """Return the commands of one CI file, in their order.

    Parameters
    ----------
    root : pathlib.Path
        The repository.
    file : pathlib.Path
        One of its `files`.
    checks : sequence of str
        The sessions of a matrix that is made from `nox --list`.
    """
    content = read(root / file)
    try:
        return list(_of_gitlab(content) if file == GITLAB else _of_github(file, content, checks))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CannotTell(f"{file}: its commands cannot be read: {error!r}") from None


def _of_github(file: Path, workflow: Any, checks: Sequence[str]) -> Iterator[Call]:
    triggers = workflow["on"] if isinstance(workflow["on"], dict) else {}
    inputs = (triggers.get("workflow_dispatch") or {}).get("inputs", {})
    offered = {f"inputs.{name}": one["options"] for name, one in inputs.items() if "options" in one}
    for job in workflow["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        if isinstance(matrix.get("include"), str):
            matrix = {"session": checks}
        choices = offered | {f"matrix.{name}": values for name, values in matrix.items()}
        for step in job.get("steps", []):
            if "run" in step:
                variables = {
                    name: choices.get(EXPRESSION.sub(r"\1", value), [value])
                    for name, value in step.get("env", {}).items()
                }
                yield from _commands(file, [step["run"]], variables)


def _of_gitlab(pipeline: Any) -> Iterator[Call]:
    yield from _commands(GITLAB, pipeline.get("default", {}).get("before_script", []), {})
    for job in pipeline.values():
        if isinstance(job, dict) and "script" in job:
            for variables in job.get("parallel", {}).get("matrix", [{}]):
                yield from _commands(GITLAB, job["script"], variables)


def _commands(
    file: Path, scripts: Sequence[Text], variables: Mapping[str, Sequence[str]]
) -> Iterator[Call]:
    for script in scripts:
        for offset, line in enumerate(script.splitlines()):
            command = OPTIONAL.sub(r"\1", line)
            used = [name for name in variables if f"${name}" in command]
            for values in itertools.product(*(variables[name] for name in used)):
                filled = command
                for name, value in zip(used, values, strict=True):
                    filled = filled.replace(f"${name}", value)
                yield Call(file, script.line + offset, tuple(shlex.split(filled)))
