"""Runs a module of this repository as `python -m` does, but finds the repository's modules last.

With `-m` or PYTHONPATH a file `uuid.py` at the root would run in place of Python's own. So Python
starts this file with `-P`, and the sources follow everything that is installed.
"""

import atexit
import gc
import runpy
import sys

SOURCES = ("src", ".")
# Imported libraries are a million objects, of which none is garbage: looking through them again
# and again while they are imported, and once more at the end, was a fifth of a check's time.
OBJECTS_BETWEEN_COLLECTIONS = 50_000


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the arguments of `python` that run a module so, from the repository's root."""
    return ("-P", "toolkit/checks/run.py", name, *arguments)


if __name__ == "__main__":
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(gc.freeze)
    sys.path += SOURCES
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
