"""`python -m toolkit.pipelines`: what CI calls is there, in its order, and has its owners."""

from __future__ import annotations

import sys
from pathlib import Path

from . import CannotTell
from .calls import GITLAB, calls, files
from .commands import Commands, mistakes, out_of_order, unreached
from .owners import unowned


def main() -> int:
    """Print the findings, one a line, and return the exit code."""
    root = Path()
    try:
        commands = Commands.of(root)
        every = {file: calls(root, file, commands.checks) for file in files(root)}
        github = [call for file, found in every.items() for call in found if file != GITLAB]
        forges = [found for found in (github, every.get(GITLAB)) if found]
        if not forges:
            raise CannotTell("no CI file calls nox or invoke")
        without_owner = list(unowned(root))
    except (CannotTell, OSError) as problem:
        print(f"could not tell: {problem}")
        return 1
    # A command that a matrix runs many times is one finding.
    wrong = dict.fromkeys(
        sentence
        for found in forges
        for sentence in (*mistakes(found, commands), *unreached(found, commands))
    )
    wrong |= dict.fromkeys(sentence for found in every.values() for sentence in out_of_order(found))
    wrong |= dict.fromkeys(without_owner)
    for sentence in wrong:
        print(sentence)
    number = sum(len(found) for found in forges)
    print(f"checked {number} commands of {len(every)} CI files")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
