"""A second interpreter, with another hash seed, for the test of purity.

It takes seconds to import its libraries. So this module imports none of them: whoever starts the
other process before importing the same waits once.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

GIVEN, ANSWER, ERRORS = "given.pickle", "answer.pickle", "errors.txt"
# As toolkit/checks/run.py does: the sources are found last.
RUN = "import sys; sys.path += sys.argv[2:]; import toolkit.model.purity as p; p.main(sys.argv[1])"


class OtherProcessFailed(Exception):
    """It has ended without an answer; the message is its last line, or its exit code."""


class OtherProcess:
    """Runs `purity.main` on what it is given; a context, which ends the process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="purity-")
        self._place = Path(self._folder.name).resolve()
        sources = (os.path.abspath(path) for path in sys.path if path)
        seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
        with (self._place / ERRORS).open("wb") as errors:
            self._child = subprocess.Popen(
                (sys.executable, "-P", "-c", RUN, str(self._place), *sources),
                env=os.environ | {"PYTHONHASHSEED": seed},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def __enter__(self) -> "OtherProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self._child.kill()
        self._child.communicate()
        self._folder.cleanup()

    def give(self, given: object) -> None:
        """Let it begin."""
        (self._place / GIVEN).write_bytes(pickle.dumps(given))
        assert self._child.stdin is not None, "it was asked for"
        # It waits for the end of its input.
        self._child.stdin.close()

    def answer(self) -> Any:
        """Wait, and return what it has found.

        Raises
        ------
        OtherProcessFailed
            It has ended without an answer.
        """
        if code := self._child.wait():
            text = (self._place / ERRORS).read_text(encoding="utf-8", errors="replace")
            lines = [line for line in text.split("\n") if line]
            raise OtherProcessFailed(lines[-1] if lines else f"exit code {code}")
        return pickle.loads((self._place / ANSWER).read_bytes())
