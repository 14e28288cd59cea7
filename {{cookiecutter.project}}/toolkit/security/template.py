"""Tells whether the template has moved on since this repository was made from it, or last updated.

`python -m security.template` tries `cruft update` in a throw-away clone, and names what it would
change here, and where it would meet changes of your own. A template that has moved on in what it
does not generate is nothing to update for.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from . import CannotTell

LINK = ".cruft.json"
REJECTED = ".rej"
TIMEOUT_S = 300
# What git says of a file that both sides have changed.
CONFLICTS = {"DD", "AU", "UD", "UA", "DU", "AA", "UU"}
CHANGES = {"?": "new", "A": "new", "D": "removed", "M": "changed", "T": "changed"}
# What stands before an address may be a token.
LOGIN = re.compile(r"(?<=//)[^/@\s]+@")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that asks nobody anything; `CannotTell` when it does not end."""
    # Colours would stand between a login and what it is found by.
    plain = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=plain | {"GIT_TERMINAL_PROMPT": "0", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotTell(f"{command[0]} was not done after {TIMEOUT_S} s") from None


def git(folder: Path, *arguments: str) -> str:
    """Run git and return what it printed; `CannotTell` if it fails."""
    done = run(folder, "git", *arguments)
    if done.returncode:
        raise CannotTell(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def recorded(link: Path) -> str:
    """Return the template's commit that the repository was made from, or last updated to."""
    try:
        [commit] = re.findall("[0-9a-f]{40}", json.loads(link.read_bytes())["commit"])
    except FileNotFoundError:
        raise CannotTell(
            f"there is no committed {LINK}: this repository is not linked to its template\n"
            f"Next: {cruft()} link ADDRESS asks for the template's commit and your answers, "
            f"and writes {LINK}: commit it."
        ) from None
    except (ValueError, LookupError, TypeError) as error:
        raise CannotTell(f"{LINK} is broken ({error!r}): restore it with git") from None
    return str(commit)


def cruft() -> Path:
    """Return the program beside this Python, as one would type it here."""
    program = Path(sys.executable).with_name("cruft")
    return program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program


def update(clone: Path) -> None:
    """Update a clone to the newest template; `CannotTell` if cruft does not get that far."""
    done = run(clone, sys.executable, "-m", "cruft", "update", "--skip-apply-ask")
    if done.returncode:
        # After its traceback, cruft says what happened in a paragraph.
        said = (done.stderr.strip() or done.stdout.strip()).rpartition("╯\n")[2]
        raise CannotTell(f"cruft update: {LOGIN.sub('', ' '.join(said.split()))}")


def changes(clone: Path) -> Iterator[tuple[str, str]]:
    """Yield what an update has done to a clone: each file, and in one word what became of it."""
    status = git(clone, "status", "--porcelain", "--no-renames", "--untracked-files=all", "-z")
    for entry in status.split("\0")[:-1]:
        code, path = entry[:2], entry[3:]
        if path.endswith(REJECTED):
            yield path.removesuffix(REJECTED), "conflict"
        elif path != LINK:
            yield path, "conflict" if code in CONFLICTS else CHANGES[code.strip()[0]]


def main() -> int:
    """Look, and return the exit code: 1 where there is an update, and for what cannot be told."""
    try:
        with TemporaryDirectory() as desk:
            clone = Path(desk, "clone")
            git(Path(), "clone", "--quiet", ".", str(clone))
            commit = recorded(clone / LINK)
            update(clone)
            found = sorted(changes(clone))
            newest = recorded(clone / LINK)
    except (CannotTell, OSError) as problem:
        print(f"could not tell: {problem}")
        return 1
    for path, change in found:
        print(f"{path}:1: {change}: by the template between {commit[:12]} and {newest[:12]}")
    if not found:
        print(f"the template generates the same at {newest[:12]} as at {commit[:12]}")
        return 0
    print(
        f"Next: {cruft()} update, with nothing uncommitted; then nox, and commit.",
        "It ends with 0 where it has met changes of your own: git ls-files -u names those files,",
        f"and git status what it has left beside one as *{REJECTED}.",
        sep="\n",
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
