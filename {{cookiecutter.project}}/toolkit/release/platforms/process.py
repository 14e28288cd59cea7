"""The ``process`` platform: real servers on this machine, from the release's own environment.

It needs neither Docker nor a cluster. Everything lives in ``$XDG_STATE_HOME/<project>`` (else
``~/.local/state``), outside of the checkout, which a CI job removes:

- ``releases/<version>/bundle`` and ``venv``: a release made ready to start, shared by all
  environments;
- ``environments/<name>/``: the supervisor's folder, with ``desired.json``, ``actual.json`` and
  ``logs/``.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..canary.traffic import Replay, side_of
from ..canary.verdict import Side
from ..errors import MACHINE_TROUBLE, ConfigurationError, Locked, MachineFailed, NotServing
from ..policy import Environment, Policy
from ..records import FILE_NAME, Record, sha256
from ..smoke import ask_over_http
from . import supervisor
from .protocol import Instance, Observation

MANIFEST = "process.json"
COMPLETE = "complete"
POLL_S = 0.05
START_TIMEOUT_S = 10
INSTALL_TIMEOUT_S = 900


def state_directory(project: str) -> Path:
    """Return this project's folder on the serving machine."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / project


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock on a file, waiting for it; the kernel frees it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class ProcessPlatform:
    """Drives one environment's supervisor.

    Parameters
    ----------
    environment : Environment
    policy : Policy
    """

    def __init__(self, environment: Environment, policy: Policy) -> None:
        self.environment = environment
        self.policy = policy
        self.state = state_directory(policy.project)
        self.folder = self.state / "environments" / environment.name

    def locate(self) -> None:
        """Be here: servers run on the machine on which the command is typed."""

    def render(
        self, record: Record, bundle: Callable[[], Mapping[str, bytes]], event: str
    ) -> dict[str, bytes]:
        """Return ``process.json``: address, number of servers and how to start one."""
        manifest = {
            "platform": "process",
            "release": record.version,
            "digest": record.digest,
            "host": self.environment.host,
            "port": self.environment.port,
            "instances": self.environment.instances,
            "ready_timeout_s": self.environment.ready_timeout_s,
            "serve": list(self.policy.serve),
        }
        return {MANIFEST: (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()}

    def examine(self, desired: Mapping[str, bytes]) -> None:
        """Refuse nothing: what has been rendered here is taken here."""

    def require(self, record: Record, bundle: Mapping[str, bytes]) -> None:
        """Want nothing but the bundle, which whoever asks has in hand."""

    def warning(self, record: Record, bundle: Mapping[str, bytes]) -> str:
        """Have nothing to say: a bundle is in git and nowhere else."""
        return ""

    def preflight(self, record: Record, bundle: Callable[[], Mapping[str, bytes]]) -> None:
        """Lay the bundle out and install its locked environment, once a version on this machine."""
        home = self._release_folder(record.version)
        with exclusive(home.with_suffix(".lock")):
            if self._is_complete(home, record):
                return
            # What is there comes from an install that was killed, or was damaged since.
            shutil.rmtree(home, ignore_errors=True)
            try:
                _lay_out(home, bundle(), "--compile-bytecode")
                supervisor.write_json(home / COMPLETE, {"digest": record.digest})
            except (OSError, NotServing):
                # A full disk must have room again for the way back.
                shutil.rmtree(home, ignore_errors=True)
                raise

    def apply(
        self,
        desired: Mapping[str, bytes],
        event: str,
        guard: Callable[[], None],
        told: Callable[[str], None],
    ) -> None:
        """Tell the supervisor the new desired state, and wait until it is reached."""
        manifest = manifest_of(desired, MANIFEST)
        self._serve(manifest, [self._spec(manifest)] * manifest["instances"], event, guard)

    def canary(
        self,
        desired: Mapping[str, bytes],
        before: Mapping[str, bytes],
        instances: int,
        event: str,
        guard: Callable[[], None],
        told: Callable[[str], None],
    ) -> None:
        """Give some of the slots to the new release: the kernel gives each an equal share."""
        new, old = manifest_of(desired, MANIFEST), manifest_of(before, MANIFEST)
        rest = new["instances"] - instances
        self._serve(new, [self._spec(new)] * instances + [self._spec(old)] * rest, event, guard)

    def answered(self, address: str, mark: str) -> tuple[Side, str]:
        """Read on in a server's log file; a mark is a position."""
        path = self._actual().get("logs", {}).get(address)
        if path is None:
            raise NotServing(f"the server {address} is gone")
        with Path(path).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if not mark:
                return Side((), 0), str(end)
            # The supervisor cuts a log that has grown too long: then it begins anew.
            begin = file.seek(int(mark) if int(mark) <= end else 0)
            lines = file.read()
        # A line that is being written is read when it is whole.
        whole = lines.rfind(b"\n") + 1
        return side_of(lines[:whole]), str(begin + whole)

    def replay(self, requests: Sequence[Any], per_second: int) -> Replay:
        """Return who asks at the environment's address."""
        return Replay(self.observe().endpoint, requests, per_second)

    def stop(self, event: str, guard: Callable[[], None]) -> None:
        """Drain every server and end the supervisor."""
        if self._is_supervised():
            state = {"event": event, "host": self.environment.host, "port": self.environment.port}
            self._reach(state | {"slots": []}, guard, timeout_s=2 * supervisor.DRAIN_LIMIT_S)

    def remove(self) -> None:
        """Stop, and leave nothing of this environment behind; its releases stay."""
        self.stop("", lambda: None)
        shutil.rmtree(self.folder, ignore_errors=True)

    def stored(self) -> list[str]:
        """Return the releases whose folders are there, whole or not."""
        folder = self.state / "releases"
        return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []

    def discard(self, release: str) -> None:
        """Remove a release's folder, unless somebody is laying it out."""
        home = self._release_folder(release)
        with exclusive(home.with_suffix(".lock")):
            shutil.rmtree(home, ignore_errors=True)

    def ask(self, address: str, path: str, body: Any = None) -> Any:
        """Return the JSON that one server answers on its private socket."""
        return ask_over_http(address, path, body)

    def observe(self) -> Observation:
        """Read what the supervisor last told, and whether there is one."""
        if not self._is_supervised():
            return Observation("", (), "nothing runs")
        actual = self._actual()
        if not actual:
            return Observation("", (), "the supervisor has not told yet what runs")
        instances = tuple(Instance(**instance) for instance in actual["instances"])
        endpoint = f"http://{actual['host']}:{actual['port']}"
        return Observation(endpoint, instances, actual["trouble"])

    def changed(self, desired: Mapping[str, bytes]) -> str:
        """Have nothing to say: `observe` has seen all that there is."""
        return ""

    def _spec(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Return how the supervisor starts a server of a state."""
        home = self._release_folder(manifest["release"])
        return {
            "release": manifest["release"],
            "digest": manifest["digest"],
            "ready_timeout_s": manifest["ready_timeout_s"],
            "command": [
                str(home / "venv" / "bin" / "python"),
                *manifest["serve"],
                "--bundle",
                str(home / "bundle"),
            ],
        }

    def _serve(
        self,
        manifest: Mapping[str, Any],
        slots: list[dict[str, Any]],
        event: str,
        guard: Callable[[], None],
    ) -> None:
        state = {"event": event, "host": manifest["host"], "port": manifest["port"]}
        # Each slot in turn may take its whole time to get ready.
        timeout_s = manifest["ready_timeout_s"] * (len(slots) + 1)
        self._reach(state | {"slots": slots}, guard, timeout_s)

    def _release_folder(self, version: str) -> Path:
        return self.state / "releases" / version

    def _is_complete(self, home: Path, record: Record) -> bool:
        """Prove the files of a release that was laid out before: a disk outlives many hands."""
        try:
            done = json.loads((home / COMPLETE).read_text(encoding="utf-8"))
            intact = all(
                sha256((home / "bundle" / name).read_bytes()) == checksum
                for name, checksum in record.artifacts.items()
            )
            record_file = (home / "bundle" / FILE_NAME).read_bytes()
        except (OSError, ValueError):
            return False
        return (
            bool(done == {"digest": record.digest}) and intact and record_file == record.to_json()
        )

    def _is_supervised(self) -> bool:
        """Tell whether a supervisor lives: it holds its lock as long as it does."""
        if not self.folder.is_dir():
            return False
        lock = supervisor.try_lock(self.folder / "supervisor.lock", fcntl.LOCK_SH)
        if lock is not None:
            os.close(lock)
        return lock is None

    def _actual(self) -> dict[str, Any]:
        try:
            actual: dict[str, Any] = json.loads(
                (self.folder / "actual.json").read_text(encoding="utf-8")
            )
        except (OSError, ValueError):
            return {}
        return actual

    def _reach(self, state: dict[str, Any], guard: Callable[[], None], timeout_s: float) -> None:
        # The same event may be applied twice, so each telling has a name of its own.
        generation = uuid.uuid4().hex
        with exclusive(self.folder / "apply.lock"):
            guard()
            supervisor.write_json(self.folder / "desired.json", state | {"generation": generation})
            if not self._is_supervised():
                self._start_supervisor()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            desired = json.loads((self.folder / "desired.json").read_text(encoding="utf-8"))
            if desired["generation"] != generation:
                raise Locked(
                    f"{self.environment.name} was taken over while this command worked",
                    why=f"event {desired['event'][:12]} is the newer one",
                    state="whoever took over decides now",
                    next_step=f"invoke history --env {self.environment.name}",
                )
            actual = self._actual()
            if actual.get("generation") == generation:
                if actual["trouble"]:
                    raise NotServing(actual["trouble"])
                if actual["converged"]:
                    return
            if not self._is_supervised():
                if not state["slots"]:
                    return
                raise NotServing(f"the supervisor ended; see {self.folder / 'supervisor.log'}")
            time.sleep(POLL_S)
        raise NotServing(f"the change was not done after {timeout_s:.0f} s")

    def _start_supervisor(self) -> None:
        (self.folder / "actual.json").unlink(missing_ok=True)
        with (self.folder / "supervisor.log").open("ab") as log:
            started = subprocess.Popen(
                # The base interpreter: the virtual environment of this command may be removed.
                [
                    getattr(sys, "_base_executable", sys.executable),
                    "-I",
                    supervisor.__file__,
                    str(self.folder),
                ],
                cwd=self.folder,
                env={name: os.environ[name] for name in supervisor.INHERITED if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # It outlives this command, which is not to wait for it, nor to warn that it did not.
        started.returncode = 0
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_supervised():
            if time.monotonic() > deadline:
                raise NotServing(
                    f"the supervisor does not start; see {self.folder / 'supervisor.log'}"
                )
            time.sleep(POLL_S)


def manifest_of(desired: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Read a platform's manifest; `ConfigurationError` if the state is another platform's."""
    try:
        manifest: dict[str, Any] = json.loads(desired[name])
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"this state holds no {name}",
            why="it was written for another platform",
            state="nothing was changed",
            next_step="promote the release anew, so that it is rendered for this platform",
        ) from None
    return manifest


def _lay_out(home: Path, bundle: Mapping[str, bytes], *uv_options: str) -> None:
    """Write a bundle's files, and install what it locks and holds."""
    (home / "bundle").mkdir(parents=True)
    for name, content in bundle.items():
        (home / "bundle" / name).write_bytes(content)
    wheels = [str(path) for path in (home / "bundle").glob("*.whl")]
    lock = home / "bundle" / "requirements.txt"
    for command in _install_commands(home / "venv", lock, wheels, uv_options):
        _install(command)


def run_inside(bundle: Mapping[str, bytes], script: str) -> str:
    """Run a Python script in a release's environment, made to be thrown away; return its output.

    `NotServing` when the environment cannot be made, or the script fails there.
    """
    with tempfile.TemporaryDirectory() as desk:
        _lay_out(Path(desk), bundle)
        python = str(Path(desk, "venv", "bin", "python"))
        done = subprocess.run(
            [python, "-I", "-c", script], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise NotServing(f"its Python fails: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _install_commands(
    venv: Path, lock: Path, wheels: list[str], uv_options: Iterable[str]
) -> list[list[str]]:
    """Return the commands that make the release's environment: uv where it is, pip otherwise."""
    python = str(venv / "bin" / "python")
    uv = _uv()
    if uv:
        install = [uv, "pip", "install", "--quiet", "--python", python, *uv_options]
        make = [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(venv)]
    else:
        install = [python, "-m", "pip", "install", "--quiet"]
        make = [sys.executable, "-m", "venv", str(venv)]
    return [
        make,
        [*install, "--require-hashes", "--requirement", str(lock)],
        [*install, "--no-deps", *wheels],
    ]


def _uv() -> str | None:
    """Find uv beside this interpreter or on the PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _install(command: list[str]) -> None:
    environment = os.environ | {
        "UV_PYTHON_DOWNLOADS": "never",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotServing(
            f"{' '.join(command[:4])} was not done after {INSTALL_TIMEOUT_S} s"
        ) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        kind = MachineFailed if MACHINE_TROUBLE.search(said) else NotServing
        raise kind(f"the release's environment cannot be installed: {said}")
