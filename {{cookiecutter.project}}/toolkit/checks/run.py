"""Runs a module of this repository as `python -m` does, but finds the repository's modules last.

With `-m` or PYTHONPATH a file `uuid.py` at the root would run in place of Python's own. So Python
starts this file with `-P`, and the sources follow everything that is installed.
"""

import runpy
import sys

SOURCES = ("src", ".")

if __name__ == "__main__":
    sys.path += SOURCES
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
