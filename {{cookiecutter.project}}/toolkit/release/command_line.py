"""What all release commands have in common: output, questions, errors and exit codes.

People read standard error; machines read the one JSON document on standard output.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from .errors import ConfigurationError, Interrupted, NotServing, PreconditionFailed, ReleaseError
from .git import GitFailed


def command(body: Callable[..., Any]) -> Callable[..., None]:
    """Print what a task returns, and turn an error into its message and exit code."""

    @functools.wraps(body)
    def run(c: Context, *arguments: Any, **options: Any) -> None:
        as_json = options.get("json", False)
        # A cancelled CI job and a lost terminal must end as cleanly as Ctrl-C does. SIGINT is set
        # too: a script's background command starts with it ignored.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
        try:
            answer = body(c, *arguments, **options)
            if as_json:
                print_json(answer)
            return
        except KeyboardInterrupt:
            failure: ReleaseError = Interrupted(
                "interrupted",
                state="no promotion, rollback or recovery was under way",
                next_step="invoke status",
            )
        except ReleaseError as error:
            failure = error
        except (GitFailed, NotServing, OSError) as error:
            # A full disk or a broken repository: a change under way keeps its lock.
            failure = PreconditionFailed(
                "the command could not continue", why=str(error), next_step="invoke status"
            )
        if as_json:
            print_json({"error": vars(failure), "exit_code": failure.exit_code})
        raise Exit(str(failure), code=failure.exit_code)

    return run


def print_json(answer: Any) -> None:
    """Print an answer on standard output, for machines."""
    print(json.dumps(answer, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    """Return a dataclass or a path as JSON holds it; answers.schema.json describes all answers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def say(text: object) -> None:
    """Print a message for people, on standard error."""
    print(text, file=sys.stderr)


def refuse_dry(c: Context, command: str) -> None:
    """Refuse ``invoke --dry`` for a command without a dry run: Invoke would run all its Python."""
    if c.config.run.dry:
        raise ConfigurationError(
            f"{command} has no dry run",
            state="nothing was changed",
            next_step=f"invoke status shows the state; invoke --help {command} what it would do",
        )


def confirm(question: str, command: str, state: str) -> None:
    """Ask on a terminal; without one, refuse: ``--yes`` is required there."""
    if not sys.stdin.isatty() or os.environ.get("CI"):
        raise ConfigurationError(
            f"not confirmed: {question}",
            why="there is no terminal to ask on",
            state=state,
            next_step=f"invoke {command} --yes",
        )
    print(f"{question} [y/N] ", file=sys.stderr, end="", flush=True)
    if sys.stdin.readline().strip().lower() != "y":
        raise Interrupted("not done", state=state)
