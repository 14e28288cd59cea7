"""The release that scores: a process in an environment of its own, which is given whole columns."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from ...errors import ConfigurationError

MODULE = "toolkit.serving.batch"
ABSENT = f"No module named {MODULE}"
SHOWN = 1_000


@dataclass(frozen=True)
class Answer:
    """What a release says of n customers.

    Attributes
    ----------
    rows
        The positions of the k valid customers, [k].
    probabilities, churn
        Theirs, [k].
    explanations
        Theirs, [k]; empty where none are wanted.
    errors
        ``row``, ``field``, ``value``, ``rule`` and ``reason`` of each error of the others.
    """

    rows: list[int]
    probabilities: list[float]
    churn: list[bool]
    explanations: list[dict[str, Any]]
    errors: list[dict[str, Any]]


class Worker:
    """A release that answers until it is closed.

    Parameters
    ----------
    python
        The interpreter of the release's environment.
    bundle
        The release's files.
    explain
        How many contributions to explain each prediction by; 0 for no explanations.

    Attributes
    ----------
    release, model_sha256
        Who answers, by its own words.

    Raises
    ------
    ConfigurationError
        The release cannot score: its own words tell why.
    """

    def __init__(self, python: Path, bundle: Path, explain: int) -> None:
        with ExitStack() as stack:
            self._said = stack.enter_context(tempfile.TemporaryFile())
            command = [str(python), "-I", "-m", MODULE, "--bundle", str(bundle)]
            self._process = stack.enter_context(
                subprocess.Popen(
                    [*command, "--explain", str(explain)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._said,
                )
            )
            # Whatever comes in between ends it: it would wait for ever.
            stack.callback(self.kill)
            version = self._line()
            self.release: str = version["release"]
            self.model_sha256: str = version["model_sha256"]
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End the release."""
        self._stack.close()

    def ask(self, columns: Mapping[str, Sequence[Any]]) -> Answer:
        """Return the answer for n customers.

        Parameters
        ----------
        columns
            The features by name, [n] each, None for a null.
        """
        assert self._process.stdin is not None, "it was started with a pipe"
        try:
            self._process.stdin.write(to_json(dict(columns)) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None
        answer = self._line()
        if "error" in answer:
            raise ConfigurationError(answer["error"], answer["next_step"])
        return Answer(**answer)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None, "it was started with a pipe"
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._failed()
        found: dict[str, Any] = json.loads(line)
        return found

    def _failed(self) -> ConfigurationError:
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace").strip()[-SHOWN:]
        if ABSENT in said:
            return ConfigurationError(
                f"the release was built before there were batch scores: it has no {MODULE}",
                "release again, and promote that",
            )
        how = f"by signal {-code}" if code < 0 else f"with {code}"
        return ConfigurationError(
            f"the release has ended {how}: {said or 'it said nothing'}",
            "see why; the system ends what takes too much memory",
        )
