"""A generated repository, and the commands that its owner would type in it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ("staging", "prod")

# What a session around this process has set for itself would lead nox and uv astray in the
# repository.
FOREIGN = (
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONHOME",
    "NOX_CURRENT_SESSION",
    "UV_PROJECT_ENVIRONMENT",
)


class CommandFailed(Exception):
    """A command in the repository ended with another exit code than was expected."""


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def bake(into: Path, **answers: str) -> Path:
    """Bake the template into a folder and return the repository's.

    The user's own Cookiecutter settings are neither read nor written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        settings = Path(scratch, "settings.yaml")
        settings.write_text(f"replay_dir: {scratch}\n", encoding="utf-8")
        folder = cookiecutter(
            str(TEMPLATE),
            no_input=True,
            extra_context=answers,
            output_dir=str(into),
            config_file=str(settings),
        )
    return Path(folder)


@dataclass(frozen=True)
class Repository:
    """A clone of a generated repository.

    Parameters
    ----------
    folder : pathlib.Path
        Its working tree.
    state : pathlib.Path
        Where its releases serve from on this machine, so that the user's own folder stays
        untouched.
    programs : pathlib.Path
        The ``bin`` folder with its nox and invoke.
    actor : str
        Whose name its commits and events carry.
    """

    folder: Path
    state: Path
    programs: Path
    actor: str = "Ada Example"

    @classmethod
    def generate(cls, into: Path, programs: Path | None = None, **answers: str) -> Repository:
        """Bake the template into a folder, with free ports and short canaries."""
        folder = bake(into, **answers)
        repository = cls(folder, into / "state", programs or folder / ".venv" / "bin")
        repository.take_free_ports()
        repository.make_canaries_short()
        return repository

    def take_free_ports(self) -> None:
        """Give its environments ports that nobody listens on; a cluster has its own."""
        policy = tomllib.loads((self.folder / "release.toml").read_text(encoding="utf-8"))
        old = [table["port"] for table in policy["environments"].values() if "port" in table]
        for before, port in zip(old, free_ports(len(old)), strict=True):
            self.replace("release.toml", f"port = {before}\n", f"port = {port}\n")

    def make_canaries_short(self) -> None:
        """Let its canaries take seconds, and let a release be ten times as slow.

        The machine that is measured is also the one that measures, trains and tests: of two servers
        that answer in two milliseconds it makes one twice as slow as the other.
        """
        self.replace("release.toml", "window_s = 10\n", "window_s = 1\nrequests_per_s = 40\n")
        self.replace("release.toml", "max_slowdown = 0.1\n", "max_slowdown = 9.0\n")

    def release_unscanned(self) -> None:
        """Want no scan before a release: what it compares with comes from the network."""
        self.replace("release.toml", "scan = true\n", "scan = false\n")

    def begin(self, remote: Path) -> None:
        """Make it a git repository with a bare remote."""
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("Generated from the template")
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(remote))
        self.git("remote", "add", "origin", str(remote))
        self.git("push", "--quiet", "--set-upstream", "origin", "main")

    def install_tools(self, lock: str = "requirements/tools.txt") -> None:
        """Install nox and invoke as the repository's README says, with uv where it is installed."""
        folder, python = str(self.programs.parent), str(self.programs / "python")
        wanted = ["--quiet", "--require-hashes", "--requirement", lock]
        beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        uv = shutil.which("uv", path=beside)
        if uv:
            make = [uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable]
            self.run([*make, folder])
            self.run([uv, "pip", "install", "--compile-bytecode", "--python", python, *wanted])
        else:
            self.run([sys.executable, "-m", "venv", "--clear", folder])
            self.run([python, "-m", "pip", "install", *wanted])

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that its commands see."""
        address = self.actor.lower().replace(" ", ".") + "@example.com"
        return {name: value for name, value in os.environ.items() if name not in FOREIGN} | {
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "XDG_STATE_HOME": str(self.state),
            "SNAPSHOT_CACHE": str(self.state / "snapshots"),
            # The laptop's own: no server gets it, see `changes.depend_on_a_laptop`.
            "FEATURE_STORE": "the warehouse",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": self.actor,
            "GIT_AUTHOR_EMAIL": address,
            "GIT_COMMITTER_NAME": self.actor,
            "GIT_COMMITTER_EMAIL": address,
        }

    def run(self, command: list[str], code: int = 0) -> None:
        """Run a command with its output on this terminal; `CommandFailed` on another exit code."""
        done = subprocess.run(command, cwd=self.folder, env=self.environment, check=False)
        if done.returncode != code:
            raise CommandFailed(f"{' '.join(command)} exited {done.returncode}, not {code}")

    def capture(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command and return its exit code and what it printed."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def git(self, *arguments: str) -> str:
        """Run git and return what it printed; `CommandFailed` if it fails."""
        done = self.capture("git", *arguments)
        if done.returncode:
            raise CommandFailed(f"git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def git_bytes(self, *arguments: str) -> bytes:
        """Run git and return the bytes that it printed; `CommandFailed` if it fails."""
        command = ("git", *arguments)
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, check=False
        )
        if done.returncode:
            raise CommandFailed(f"{' '.join(command)}: {done.stderr.decode().strip()}")
        return done.stdout

    def nox(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run nox and return its exit code and what it printed."""
        return self.capture(str(self.programs / "nox"), *arguments)

    def invoke(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run invoke and return its exit code and what it printed."""
        return self.capture(str(self.programs / "invoke"), *arguments)

    def ask(self, task: str, *arguments: str) -> Any:
        """Run a release task with ``--json`` and return what it answered; `CommandFailed` if it fails."""
        done = self.invoke(task, *arguments, "--json")
        if done.returncode:
            raise CommandFailed(f"invoke {task}: exit {done.returncode}\n{done.stderr}")
        return json.loads(done.stdout)

    def commit(self, message: str) -> str:
        """Commit everything that has changed, merged at once if on main; return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        if self.git("branch", "--show-current") == "main" and self.git("remote"):
            self.git("push", "--quiet", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a file as a developer would; `CommandFailed` if the text is not there just once."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise CommandFailed(f"{path} holds {old!r} {text.count(old)} times, not once")
        file.write_text(text.replace(old, new), encoding="utf-8")

    def record(self) -> dict[str, Any]:
        """Return the record of the release of HEAD; `CommandFailed` if there is none, or two."""
        tags = self.git("tag", "--list", f"release/{self.git('rev-parse', 'HEAD')[:12]}-*")
        record: dict[str, Any] = json.loads(self.git("show", f"{tags}:release.json"))
        return record

    def address(self, environment: str) -> str:
        """Return ``host:port`` of an environment, as release.toml says."""
        policy = tomllib.loads((self.folder / "release.toml").read_text(encoding="utf-8"))
        table = policy["environments"][environment]
        return f"{table['host']}:{table['port']}"

    def stop(self) -> None:
        """End the servers of every environment that has any."""
        for environment in ENVIRONMENTS:
            if self.git("branch", "--list", f"env/{environment}"):
                self.invoke("stop", "--env", environment, "--yes")
