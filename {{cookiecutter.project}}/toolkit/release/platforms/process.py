"""The ``process`` platform: real servers on this machine, from the release's own environment.

It needs neither Docker nor a cluster. Its files are in ``$XDG_STATE_HOME/<project>`` (default:
``~/.local/state``), outside of the checkout, which a CI job removes:

- ``releases/<version>/bundle`` and ``venv``: a staged release, shared by all environments;
- ``packages/<key>``: the packages of a lock, shared by all releases with that lock;
- ``environments/<name>/``: the supervisor's folder, with ``desired.json``, ``actual.json`` and
  ``logs/``.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ..canary.traffic import Replay, side_of
from ..canary.verdict import Side
from ..errors import ConfigurationError, Locked, NotServing
from ..policy import Environment, Policy
from ..records import FILE_NAME, Record, sha256
from ..smoke import ask_over_http
from . import installation, supervisor
from .blame import of_the_machine, start_failed
from .installation import COMPLETE
from .protocol import (
    CANARY,
    CONNECTIONS,
    CONTROL,
    Instance,
    Observation,
    Unseen,
    compared,
    url_of,
)

MANIFEST = "process.json"
POLL_S = 0.05
START_TIMEOUT_S = 10
READY_TIMEOUT_S = 5
# A command with the lock of a release may be installing it.
LOCK_TIMEOUT_S = installation.INSTALL_TIMEOUT_S


def state_directory(project: str) -> Path:
    """Return this project's folder on the serving machine."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / project


@contextmanager
def exclusive(path: Path, state: Path) -> Iterator[None]:
    """Hold a lock on a file, waiting for it; the kernel releases it when the process dies.

    `NotServing` when another command holds it for too long, such as one that was stopped. The
    folders of the file, up to that of the state, are made such that only this user may enter them;
    those of earlier versions are closed.
    """
    for folder in reversed(path.parents):
        if folder == state or state in folder.parents:
            make_private(folder)
    with open(path, "a", encoding="utf-8", opener=supervisor.private) as file:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while not _is_locked(file):
            if time.monotonic() > deadline:
                raise NotServing(
                    f"another command has held {path} for {LOCK_TIMEOUT_S} s: end it if it hangs"
                )
            time.sleep(POLL_S)
        yield


def _is_locked(file: IO[str]) -> bool:
    """Return whether this process has the lock now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def make_private(folder: Path) -> None:
    """Make a folder that only this user may enter, or close one that others may."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


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
        """Do nothing: servers run on the machine of the command."""

    def render(
        self, record: Record, bundle: Callable[[], Mapping[str, bytes]], event: str
    ) -> dict[str, bytes]:
        """Return ``process.json``: address, number of servers and their command."""
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
        """Do nothing: every rendered state is valid."""

    def require(self, record: Record, bundle: Mapping[str, bytes]) -> None:
        """Do nothing: the bundle is all that is needed."""

    def warning(self, record: Record, bundle: Mapping[str, bytes]) -> str:
        """Return an empty text: a bundle is only in git."""
        return ""

    def preflight(self, record: Record, bundle: Callable[[], Mapping[str, bytes]]) -> None:
        """Write the bundle and install its locked environment, once a version on this machine."""
        home = self._release_folder(record.version)
        with exclusive(home.with_suffix(".lock"), self.state):
            if self._is_complete(home, record):
                return
            # An installation that was killed, or damaged since, or whose interpreter is gone.
            shutil.rmtree(home, ignore_errors=True)
            served = record.served(bundle())
            packages = self.state / "packages" / installation.key_of(served)
            try:
                make_private(home)
                with exclusive(packages.with_suffix(".lock"), self.state):
                    installation.install_packages(packages, served)
                    installation.install(home, served, packages)
                    done = {"digest": record.digest, "packages": packages.name}
                    supervisor.write_json(home / COMPLETE, done)
            except (OSError, NotServing):
                # A full disk needs space again for the undoing.
                shutil.rmtree(home, ignore_errors=True)
                raise

    def apply(
        self,
        desired: Mapping[str, bytes],
        event: str,
        guard: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Give the supervisor the new desired state, and wait until it is reached."""
        manifest = manifest_of(desired, MANIFEST)
        self._serve(manifest, [self._spec(manifest)] * manifest["instances"], event, guard)

    def canary(
        self,
        desired: Mapping[str, bytes],
        before: Mapping[str, bytes],
        instances: int,
        event: str,
        guard: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Give some of the slots to the new release: the kernel gives each slot an equal share."""
        new, old = manifest_of(desired, MANIFEST), manifest_of(before, MANIFEST)
        others = [self._spec(old)] * (new["instances"] - instances)
        tried = [_on(CANARY, self._spec(new))] * instances
        self._serve(new, tried + others, event, guard)
        control = [_on(CONTROL, one) for one in others[:instances]]
        with of_the_machine():
            self._serve(new, tried + control + others[instances:], event, guard)

    def answered(self, address: str, mark: str) -> tuple[Side, str]:
        """Read on in a server's log file; a mark is a position."""
        path = self._actual().get("logs", {}).get(address)
        if path is None:
            raise NotServing(f"the server {address} is gone")
        with Path(path).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if not mark:
                return Side((), 0), str(end)
            # The supervisor truncates a log that has grown too long: then reading starts anew.
            begin = file.seek(int(mark) if int(mark) <= end else 0)
            lines = file.read()
        # An incomplete line is read the next time.
        end_of_line = lines.rfind(b"\n") + 1
        return side_of(lines[:end_of_line]), str(begin + end_of_line)

    def replay(self, requests: Sequence[Any], per_second: int) -> Replay:
        """Return a replay to the private addresses of both."""
        return Replay(compared(self.observe()), requests, per_second)

    def stop(self, event: str, guard: Callable[[], None]) -> None:
        """Drain every server and end the supervisor."""
        if self._is_supervised():
            state = {"event": event, "host": self.environment.host, "port": self.environment.port}
            self._reach(state | {"slots": []}, guard, timeout_s=2 * supervisor.DRAIN_LIMIT_S)

    def remove(self) -> None:
        """Stop, and remove this environment's folder; its releases stay."""
        self.stop("", lambda: None)
        shutil.rmtree(self.folder, ignore_errors=True)

    def unready(self, record: Record) -> str:
        """Look at the release's folder on this machine."""
        home = self._release_folder(record.version)
        if self._is_complete(home, record):
            return ""
        python = installation.python_of(home)
        if not self._is_intact(home, record):
            what = f"{home} is not complete" if home.exists() else f"{home} does not exist"
        else:
            what = f"its Python {python} does not run" + (
                f": {python.readlink()} is gone" if installation.is_dangling(python) else ""
            )
        return f"{what}; a rollback would install it again, from the package index"

    def stored(self) -> list[str]:
        """Return the releases whose folders exist, complete or not."""
        folder = self.state / "releases"
        return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []

    def discard(self, release: str) -> None:
        """Remove a release's folder, but not while it is being installed."""
        home = self._release_folder(release)
        with exclusive(home.with_suffix(".lock"), self.state):
            shutil.rmtree(home, ignore_errors=True)
        for lock in (self.state / "packages").glob("*.lock"):
            with exclusive(lock, self.state):
                if lock.stem not in self._used_packages():
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)

    def _used_packages(self) -> set[str]:
        """Return the folders of packages that the releases here share."""
        found = set()
        for path in (self.state / "releases").glob(f"*/{COMPLETE}"):
            with suppress(OSError, ValueError):
                found.add(str(json.loads(path.read_bytes()).get("packages", "")))
        return found

    def ask(self, address: str, path: str, body: Any = None) -> Any:
        """Return one server's answer on its private socket."""
        return ask_over_http(address, path, body)

    def observe(self) -> Observation:
        """Return the state that the supervisor has written, and what its servers say themselves."""
        try:
            if not self._is_supervised():
                return Observation("", (), f"nothing runs{self._stranger()}")
            actual = self._actual()
        except PermissionError as error:
            whose = f"only the user who promotes to {self.environment.name} sees what runs there"
            return Unseen("", (), f"{error.filename} cannot be read: {whose}")
        if not actual:
            return Observation("", (), "the supervisor has not written its state yet")
        instances = tuple(_asked(Instance(**instance)) for instance in actual["instances"])
        endpoint = url_of(actual["host"], actual["port"])
        trouble = "; ".join(one for one in (actual["trouble"], self._hung()) if one)
        # A supervisor that an earlier version has started does not say since when.
        return Observation(endpoint, instances, trouble, actual.get("since", ""))

    def _stranger(self) -> str:
        """Return that another user's or project's servers have this environment's address."""
        host, port = self.environment.host, self.environment.port
        try:
            socket.create_connection((host, port), READY_TIMEOUT_S).close()
        except OSError:
            return ""
        return (
            f" in {self.folder}, though something listens on {host}:{port}: servers of another "
            "user are seen by that user alone"
        )

    def _heartbeat(self) -> Path:
        return self.folder / supervisor.HEARTBEAT

    def _hung(self) -> str:
        """Return that the supervisor lives, but has stopped to work; or an empty text."""
        try:
            silent_s = time.time() - self._heartbeat().stat().st_mtime
        except OSError:
            return ""  # One that an earlier version has started has no heartbeat.
        if silent_s < supervisor.HUNG_AFTER_S:
            return ""
        return f"the supervisor has not moved for {silent_s:.0f} s: no server is started again"

    def _end_hung_supervisor(self) -> None:
        """Kill a supervisor that has stopped to work: its servers drain, and a new one starts."""
        if not self._hung():
            return
        try:
            pid = int(json.loads(self._heartbeat().read_bytes())["pid"])
            os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError, LookupError):
            return
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._is_supervised() and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def changed(self, desired: Mapping[str, bytes]) -> str:
        """Return an empty text: `observe` sees everything."""
        return ""

    def _spec(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Return the supervisor's specification of a server."""
        home = self._release_folder(manifest["release"])
        return {
            "release": manifest["release"],
            "digest": manifest["digest"],
            "ready_timeout_s": manifest["ready_timeout_s"],
            "command": [
                str(installation.python_of(home)),
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
        state = {
            "event": event,
            "host": manifest["host"],
            "port": manifest["port"],
            "log_mb": self.policy.log_mb,
        }
        # Each slot in turn may take its full time to become ready.
        timeout_s = manifest["ready_timeout_s"] * (len(slots) + 1)
        self._reach(state | {"slots": slots}, guard, timeout_s)

    def _release_folder(self, version: str) -> Path:
        return self.state / "releases" / version

    def _is_complete(self, home: Path, record: Record) -> bool:
        """Check a release that was installed before: files and interpreter may have changed."""
        return self._is_intact(home, record) and installation.runs(installation.python_of(home))

    def _is_intact(self, home: Path, record: Record) -> bool:
        try:
            done = json.loads((home / COMPLETE).read_text(encoding="utf-8"))
            intact = all(
                sha256((home / "bundle" / name).read_bytes()) == checksum
                for name, checksum in record.artifacts.items()
            )
            record_file = (home / "bundle" / FILE_NAME).read_bytes()
            is_of_it = bool(done["digest"] == record.digest)
            # One that an earlier version has laid out has its packages to itself.
            if "packages" in done:
                (self.state / "packages" / done["packages"] / COMPLETE).stat()
        except (OSError, ValueError, LookupError, TypeError):
            return False
        return is_of_it and intact and record_file == record.to_json()

    def _is_supervised(self) -> bool:
        """Return whether a supervisor is alive: then it holds its lock."""
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
        # The same event may be applied twice, so each desired state has an id of its own.
        generation = uuid.uuid4().hex
        with exclusive(self.folder / "apply.lock", self.state):
            guard()
            supervisor.write_json(self.folder / "desired.json", state | {"generation": generation})
            if self._is_supervised():
                self._end_hung_supervisor()
            if not self._is_supervised():
                self._start_supervisor()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            desired = json.loads((self.folder / "desired.json").read_text(encoding="utf-8"))
            if desired["generation"] != generation:
                raise Locked(
                    f"{self.environment.name} was taken over while this command was running",
                    why=f"event {desired['event'][:12]} is newer",
                    state="the command that took over decides what serves",
                    next_step=f"invoke history --env {self.environment.name}",
                )
            actual = self._actual()
            if actual.get("generation") == generation:
                if actual["trouble"]:
                    # A supervisor that an earlier version has started names no failure.
                    raise start_failed(actual["trouble"], actual.get("failure"), self.folder)
                if actual["converged"]:
                    return
            if not self._is_supervised():
                if not state["slots"]:
                    return
                raise NotServing(f"the supervisor has exited; see {self.folder / 'supervisor.log'}")
            time.sleep(POLL_S)
        raise NotServing(f"the update was not complete after {timeout_s:.0f} s")

    def _start_supervisor(self) -> None:
        for left in (self.folder / "actual.json", self._heartbeat()):
            left.unlink(missing_ok=True)
        with open(self.folder / "supervisor.log", "ab", opener=supervisor.private) as log:
            started = subprocess.Popen(
                # The base interpreter: the virtual environment of this command may be removed.
                [
                    getattr(sys, "_base_executable", sys.executable),
                    "-I",
                    supervisor.__file__,
                    str(self.folder),
                ],
                cwd=self.folder,
                env=supervisor.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # It outlives this command: subprocess must neither wait for it nor warn about it.
        started.returncode = 0
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_supervised():
            if time.monotonic() > deadline:
                raise NotServing(
                    f"the supervisor does not start; see {self.folder / 'supervisor.log'}"
                )
            time.sleep(POLL_S)


def _on(track: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the specification of a server in a canary."""
    # A supervisor passes no variable on, and one of an earlier version would read no key for it.
    command = ["/usr/bin/env", "=".join(CONNECTIONS), *spec["command"]]
    return spec | {"command": command, "track": track}


def _asked(instance: Instance) -> Instance:
    """Return a server as it is now: a supervisor that hangs goes on to call it ready."""
    if instance.state != "ready":
        return instance
    status = supervisor.ask_status(instance.address, "/ready", READY_TIMEOUT_S)
    return instance if status == b"200" else replace(instance, state="failed")


def manifest_of(desired: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Parse a platform's manifest; `ConfigurationError` if the state is another platform's."""
    try:
        manifest: dict[str, Any] = json.loads(desired[name])
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"the desired state has no {name}",
            why="it was rendered for another platform",
            state="nothing was changed",
            next_step="promote the release again, so that it is rendered for this platform",
        ) from None
    return manifest
