"""The machine that a forge's jobs run on in tests, and the secrets that it gives to all of them."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from demo.repository import FOREIGN, free_ports

# What the forge that runs these tests has set would be taken for the tested one's. Nox takes no
# wish for colours beside the one for none.
FORGE = re.compile(r"(CI|GCL|GITHUB|GITLAB|RUNNER|FORCE_COLOR)(_|$)")


class RunnerMissing(Exception):
    """No pipeline can be run here; the text is the reason to skip a test with."""


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command that must succeed and return what it printed."""
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True)
class Machine:
    """One machine that jobs run on, and whose servers stay.

    Parameters
    ----------
    folder : pathlib.Path
        Everything that jobs and servers leave behind is in here.
    mark : str
        Is part of every planted secret, so that one search finds them all.
    signing_key : pathlib.Path or None
        The private key of the release job, which lies outside of that folder. A job sees it only
        where its pipeline hands it on.
    """

    folder: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(16))
    port: int = field(default_factory=lambda: free_ports(1)[0])
    signing_key: Path | None = None

    @property
    def secrets(self) -> dict[str, str]:
        """What every job sees and nobody may read afterwards; nobody listens at the address."""
        return {
            "GITHUB_TOKEN": f"ghp_{self.mark}",
            "GITLAB_TOKEN": f"glpat-{self.mark}",
            "REGISTRY_TOKEN": self.mark,
            "RELEASE_WEBHOOK_URL": f"{self.nobody}/services/{self.mark}",
        }

    @property
    def nobody(self) -> str:
        """An address where nobody answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What every job sees; neither these tests' own tools nor anybody's git settings."""
        own = str(Path(sys.executable).parent)
        path = [place for place in os.environ["PATH"].split(os.pathsep) if place != own]
        ours = {
            name: each
            for name, each in os.environ.items()
            if name not in FOREIGN and not FORGE.match(name)
        }
        return {
            **ours,
            "PATH": os.pathsep.join(path),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **self.secrets,
        }

    def make_folder(self, name: str) -> Path:
        """Return a new folder with a name and the next number."""
        number = 1
        while True:
            folder = self.folder / f"{name}-{number}"
            try:
                folder.mkdir(parents=True)
                return folder
            except FileExistsError:
                number += 1

    @cached_property
    def python(self) -> Path:
        """The ``bin`` folder of a Python that had nothing but pip before jobs used it."""
        folder = self.folder / "python"
        run(sys.executable, "-m", "virtualenv", "--quiet", str(folder))
        return folder / "bin"

    def leaks(self, remote: Path) -> list[str]:
        """Return each file of this machine, and the remote if an object of it, that has a secret."""
        search = ["grep", "--recursive", "--files-with-matches", "--text", "--fixed-strings"]
        skipped = ["--exclude-dir=.nox", "--exclude-dir=.venv", "--exclude-dir=python"]
        marks = [self.mark]
        if self.signing_key:
            # A line between the first and the last, which every key has.
            marks.append(self.signing_key.read_text(encoding="ascii").splitlines()[2])
        wanted = [f"--regexp={mark}" for mark in marks]
        done = subprocess.run(
            [*search, *skipped, *wanted, str(self.folder)], capture_output=True, text=True
        )
        assert done.returncode in (0, 1), done.stderr
        found = done.stdout.splitlines()
        objects = subprocess.run(
            ["git", "cat-file", "--batch-all-objects", "--batch"],
            cwd=remote,
            check=True,
            capture_output=True,
        ).stdout
        return found + [str(remote)] * any(mark.encode() in objects for mark in marks)
