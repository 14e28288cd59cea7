"""The signing key of a release job, as a forge hands it out: in a variable, and here in no file.

Git takes a key from a file alone. So there is one while git signs, which only this user may read.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ConfigurationError

VARIABLE = "RELEASE_SIGNING_KEY"
# Begins every private key that ssh-keygen has ever written.
BEGIN = "-----BEGIN "

_taken = ""


def take() -> str:
    """Return the content of the variable, or empty, and take it out of the environment.

    No program that this one starts is given it: a build runs code of the commit. Invoke may run
    several tasks in one process, so it is kept for the others.
    """
    global _taken
    _taken = os.environ.pop(VARIABLE, _taken)
    return _taken


@contextmanager
def written(content: str) -> Iterator[Path]:
    """Lay a key out in a file, mode 0600, of a folder that only this user may enter; remove both.

    Parameters
    ----------
    content : str
        A private key, or the path of a file with one: GitLab gives variables of the type File so,
        with a mode that ssh refuses.

    Raises
    ------
    ConfigurationError
        It is neither.
    """
    key = content if content.lstrip().startswith(BEGIN) else _in_file(content)
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        path = Path(folder, "key")
        with open(path, "w", encoding="utf-8", opener=_private) as file:
            # Forges and browsers cut the last line's end off, or write those of another system.
            file.write("\n".join(key.strip().splitlines()) + "\n")
        yield path


def _in_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):  # Whatever it is, it may be a secret: it is not repeated.
        raise ConfigurationError(
            f"the variable {VARIABLE} holds no key to sign with",
            why="it is neither a private key, nor the path of a file that can be read",
            state="nothing was changed",
            next_step="put the whole private half there, with its first and its last line",
        ) from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)
