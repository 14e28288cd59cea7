"""`python -m pipelines`: is every door that the CI files call there, and is every check run?"""

from __future__ import annotations

import sys
from pathlib import Path

from . import CannotTell
from .calls import GITLAB, calls, files
from .doors import Doors, mistakes, unreached


def main() -> int:
    """Print what is wrong, one finding a line, and return the exit code."""
    root = Path()
    try:
        doors = Doors.of(root)
        every = {file: calls(root, file, doors.checks) for file in files(root)}
        github = [call for file, found in every.items() for call in found if file != GITLAB]
        forges = [found for found in (github, every.get(GITLAB)) if found]
        if not forges:
            raise CannotTell("there is no CI file that calls anything")
    except (CannotTell, OSError) as problem:
        print(f"could not tell: {problem}")
        return 1
    # A command that a matrix runs many times is wrong once.
    wrong = dict.fromkeys(
        sentence
        for found in forges
        for sentence in (*mistakes(found, doors), *unreached(found, doors))
    )
    for sentence in wrong:
        print(sentence)
    number = sum(len(found) for found in forges)
    print(f"held {number} commands of {len(every)} CI files against nox and invoke")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
