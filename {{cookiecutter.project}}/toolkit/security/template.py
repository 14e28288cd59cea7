"""What the template has changed since this repository was made from it, or last updated.

`python -m toolkit.security.template` tries `cruft update` in a temporary clone, and names the files
that it would change here, and those where it would conflict with changes of the owner. A template
that has changed only what it does not generate asks for no update.

It also names the files of toolkit/ that the owner has changed: those that differ from the template
at the recorded commit, whatever toolkit/CHECKSUMS says. They are information, and fail nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from . import CannotTell

LINK = ".cruft.json"
# Copied by the template without rendering, so that the same file is the same object in git.
TOOLKIT = "toolkit/"
# The name of the folder that the template makes a repository of.
GENERATED = re.compile(r".*\{\{.*cookiecutter.*\}\}.*")
REJECTED = ".rej"
TIMEOUT_S = 300
# Git's status of a file that both sides have changed.
CONFLICTS = {"DD", "AU", "UD", "UA", "DU", "AA", "UU"}
CHANGES = {"?": "new", "A": "new", "D": "removed", "M": "changed", "T": "changed"}
# The login in an address may be a token.
LOGIN = re.compile(r"(?<=//)[^/@\s]+@")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command without prompts; `CannotTell` when it does not end in time."""
    # Colours would hide a login from the pattern that removes it.
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
        raise CannotTell(f"{command[0]} did not end within {TIMEOUT_S} s") from None


def git(folder: Path, *arguments: str) -> str:
    """Run git and return what it printed; `CannotTell` if it fails."""
    done = run(folder, "git", *arguments)
    if done.returncode:
        raise CannotTell(f"git {arguments[0]}: {LOGIN.sub('', done.stderr.strip())}")
    return done.stdout


@dataclass(frozen=True)
class Link:
    """What .cruft.json says of the template.

    Parameters
    ----------
    address : str
        Where git clones the template from.
    commit : str
        The template's commit that the repository was made from, or last updated to.
    directory : str
        The folder of the template in that repository, empty at its top.
    """

    address: str
    commit: str
    directory: str


def read_link(path: Path) -> Link:
    """Read .cruft.json; `CannotTell` where it is missing or broken."""
    try:
        document = json.loads(path.read_bytes())
        [commit] = re.findall("[0-9a-f]{40}", document["commit"])
        return Link(str(document["template"]), commit, document.get("directory") or "")
    except FileNotFoundError:
        raise CannotTell(
            f"there is no committed {LINK}: this repository is not linked to its template\n"
            f"Next: {cruft()} link ADDRESS asks for the template's commit and your answers, "
            f"and writes {LINK}: commit it."
        ) from None
    except (ValueError, LookupError, TypeError) as error:
        raise CannotTell(f"{LINK} is broken ({error!r}): restore it with git") from None


def cruft() -> Path:
    """Return the program beside this Python, as it is typed here."""
    program = Path(sys.executable).with_name("cruft")
    return program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program


def update(clone: Path) -> None:
    """Update a clone to the newest template; `CannotTell` if cruft fails."""
    done = run(clone, sys.executable, "-m", "cruft", "update", "--skip-apply-ask")
    if done.returncode:
        # Cruft's message follows its traceback.
        message = (done.stderr.strip() or done.stdout.strip()).rpartition("╯\n")[2]
        raise CannotTell(f"cruft update: {LOGIN.sub('', ' '.join(message.split()))}")


def changes(clone: Path) -> Iterator[tuple[str, str]]:
    """Yield each file that an update has changed in a clone, and in one word how."""
    status = git(clone, "status", "--porcelain", "--no-renames", "--untracked-files=all", "-z")
    for entry in status.split("\0")[:-1]:
        code, path = entry[:2], entry[3:]
        if path.endswith(REJECTED):
            yield path.removesuffix(REJECTED), "conflict"
        elif path != LINK:
            yield path, "conflict" if code in CONFLICTS else CHANGES[code.strip()[0]]


def toolkit_of_template(desk: Path, link: Link) -> dict[str, str]:
    """Return git's object of each file of toolkit/ in the template at the recorded commit."""
    source = desk / "template"
    # Names and objects suffice: no content is fetched.
    partly = ("--bare", "--filter=blob:none")
    git(desk, "clone", "--quiet", *partly, "--", link.address, str(source))
    top = f"{link.commit}:{link.directory}"
    folders = git(source, "ls-tree", "-d", "-z", "--name-only", top).split("\0")
    made_of = next(filter(GENERATED.fullmatch, folders), None)
    if made_of is None:
        raise CannotTell(f"the template has no folder to generate at {link.commit[:12]}")
    listed = git(source, "ls-tree", "-r", "-z", top, f"{made_of}/{TOOLKIT}").split("\0")[:-1]
    entries = (entry.partition("\t") for entry in listed)
    return {name.removeprefix(f"{made_of}/"): head.split()[2] for head, _, name in entries}


def toolkit_here() -> dict[str, str]:
    """Return what git would make of each file of toolkit/ as it is now, committed or not."""
    tracked = ("--cached", "--others", "--exclude-standard")
    listed = git(Path(), "ls-files", "-z", *tracked, "--", TOOLKIT).split("\0")[:-1]
    names = sorted({name for name in listed if Path(name).is_file()})
    return dict(zip(names, git(Path(), "hash-object", "--", *names).split(), strict=True))


def own_changes(theirs: Mapping[str, str], here: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each file that differs from the template's, and in one word how."""
    for name in sorted({*theirs, *here}):
        if name not in theirs:
            yield name, "new"
        elif name not in here:
            yield name, "removed"
        elif theirs[name] != here[name]:
            yield name, "changed"


def main() -> int:
    """Compare, and return the exit code: 1 where there is an update, or where nobody can tell."""
    try:
        with TemporaryDirectory() as desk:
            clone = Path(desk, "clone")
            git(Path(), "clone", "--quiet", ".", str(clone))
            link = read_link(clone / LINK)
            update(clone)
            found = sorted(changes(clone))
            newest = read_link(clone / LINK).commit[:12]
            own = list(own_changes(toolkit_of_template(Path(desk), link), toolkit_here()))
    except (CannotTell, OSError) as problem:
        print(f"could not tell: {problem}")
        return 1
    commit = link.commit[:12]
    for path, change in own:
        print(f"{path}:1: own: {change} here, not by the template at {commit}")
    if own:
        print(f"{len(own)} files of {TOOLKIT} are your own: cruft update keeps them or conflicts")
    for path, change in found:
        print(f"{path}:1: {change}: by the template between {commit} and {newest}")
    if not found:
        print(f"the template generates the same at {newest} as at {commit}")
        return 0
    print(
        f"Next: {cruft()} update, with nothing uncommitted; then nox, and commit.",
        "It exits with 0 also after a conflict with your changes: git ls-files -u lists those",
        f"files, and git status shows what was left beside a file as *{REJECTED}.",
        sep="\n",
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
