"""The supervisor of one environment on the ``process`` platform: ``python supervisor.py FOLDER``.

It keeps one listening socket a slot on the environment's port (SO_REUSEPORT: the kernel spreads
connections over them) and passes each to a worker process. In a rolling update the new worker
starts on the slot's own socket, and the old one drains when the new one is ready: the socket never
closes, so no queued connection is lost.

It uses only the folder: it reads ``desired.json`` (written by `process`), writes
``actual.json``, and holds a lock on ``supervisor.lock`` for as long as it lives. It needs the
standard library only, and nothing of the repository after it has started: it outlives the command,
the checkout and the CI job that started it.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TICK_S = 0.05
LOCK_WAIT_S = 2
# The servers of a supervisor that was killed need a moment to release the port.
CLAIM_TIMEOUT_S = 2
DRAIN_LIMIT_S = 30
BACKLOG = 1024
LOG_TAIL = 2000
READY_TIMEOUT_S = 1
# Servers log every request: a log is truncated at the size that the desired state has, in MB, or
# this one, and only the newest are kept.
LOG_MB = 50
KEPT_LOGS = 20
# A crash loop must not load the machine: the wait before a restart doubles up to this.
LONGEST_BACKOFF_S = 30
# Different faults of its own that a supervisor reports, so that none fills its log.
MAX_REPORTED = 100
# How often each server is asked whether it is alive, how long it may take to answer, and how many
# times in a row it may fail to before another takes its place.
HEALTH_EVERY_S = 2.0
HEALTH_DEADLINE_S = 5.0
MISSES = 3
# How often a supervisor shows that it is alive, and after how long without that it counts as hung.
BEAT_S = 1.0
HUNG_AFTER_S = 15.0
HEARTBEAT = "heartbeat.json"
# No other variable of the command reaches a server: a CI job's hold secrets, and a CI runner ends
# every process that has its mark.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


def environment() -> dict[str, str]:
    """Return the variables of a server, or of its supervisor."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def private(path: str, flags: int) -> int:
    """Open a file, as `open` does, that only its owner may read."""
    return os.open(path, flags, 0o600)


def write_json(path: Path, document: Any) -> None:
    """Write a file atomically: a reader sees the old or the new one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with open(scratch, "w", encoding="utf-8", opener=private) as file:
        json.dump(document, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def try_lock(path: Path, kind: int) -> int | None:
    """Take a lock on a file; return its descriptor, or None while another process holds it.

    Parameters
    ----------
    path : pathlib.Path
    kind : int
        ``fcntl.LOCK_EX`` to be the supervisor, ``fcntl.LOCK_SH`` to test whether there is one.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def family_of(host: str, port: int) -> int:
    """Return the family of an address: ``::1`` is one of IPv6."""
    return int(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0])


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket that shares its port with others like it."""
    listener = socket.socket(family_of(host, port), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


def claim(host: str, port: int) -> None:
    """Raise `OSError` if a process listens on an address already.

    A socket that shares its port could share it with another environment's, and each would get
    requests of the other.
    """
    with socket.socket(family_of(host, port), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def end_with_parent() -> None:
    """Let Linux drain this process when its supervisor dies: orphans would serve old releases."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def backoff_s(restarts: int) -> float:
    """Return the seconds to wait after so many restarts."""
    # Beyond 1,023 restarts the power would be no float.
    return min(0.1 * 2.0 ** min(restarts, 10), LONGEST_BACKOFF_S)


def truncate(log: Path, max_bytes: int) -> None:
    """Move a log's content to ``<log>.old`` when it is too long; its writer goes on appending.

    What is written meanwhile is lost; on a full disk the content is, so that there is room again.
    """
    if log.stat().st_size <= max_bytes:
        return
    old = log.with_suffix(".log.old")
    try:
        shutil.copyfile(log, old)
    except OSError:
        old.unlink(missing_ok=True)
    os.truncate(log, 0)


def remove_oldest(folder: Path, kept: int, used: Collection[Path]) -> None:
    """Remove the logs of a folder that no server uses, except the newest."""
    logs = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for log in logs[kept:]:
        if log not in used:
            log.unlink()


def ask_status(address: str, path: str, timeout_s: float) -> bytes:
    """Return the status of a server's answer, such as ``b"200"``; empty if there is none.

    Parameters
    ----------
    address : str
        ``http://host:port``.
    path : str
    timeout_s : float
    """
    try:
        with _request(address, path, timeout_s) as connection:
            # Only what arrives first: a response without an end would hold up everything else.
            return b"".join(connection.recv(64).split()[1:2])
    except OSError:
        return b""


def _request(address: str, path: str, timeout_s: float) -> socket.socket:
    """Send a GET and return the connection, on which the answer comes."""
    host, _, port = address.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout_s)
    try:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    except OSError:
        connection.close()
        raise
    return connection


@dataclass
class Pulse:
    """Asks a server again and again whether it is alive, and never waits for its answer."""

    address: str
    misses: int = 0
    ask_at: float = 0.0
    until: float = 0.0
    connection: socket.socket | None = None

    def feel(self) -> None:
        """Ask, or look for the answer; `misses` counts those that were due in a row."""
        now = time.monotonic()
        if self.connection is not None:
            self._look(self.connection, now)
        elif now >= self.ask_at:
            self.ask_at, self.until = now + HEALTH_EVERY_S, now + HEALTH_DEADLINE_S
            try:
                self.connection = _request(self.address, "/health", READY_TIMEOUT_S)
                self.connection.setblocking(False)
            except OSError:
                self.misses += 1

    def _look(self, connection: socket.socket, now: float) -> None:
        try:
            is_alive = bool(connection.recv(64))
        except BlockingIOError:
            if now < self.until:
                return
            is_alive = False
        except OSError:
            is_alive = False
        self.misses = 0 if is_alive else self.misses + 1
        self.close()

    def close(self) -> None:
        """Wait for no answer any more."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


@dataclass
class Worker:
    """One server process of one release."""

    spec: dict[str, Any]
    process: subprocess.Popen[bytes]
    address: str
    log: Path
    deadline: float
    drained_at: float | None = None
    # Whether it has answered that it is not ready.
    refused: bool = False
    pulse: Pulse = field(init=False)

    def __post_init__(self) -> None:
        self.pulse = Pulse(self.address)

    @classmethod
    def start(cls, spec: dict[str, Any], listener: socket.socket, log: Path) -> Worker:
        """Start a server on a slot's socket and on a private one for this server alone."""
        private = listen("127.0.0.1", 0)
        descriptors = (listener.fileno(), private.fileno())
        arguments = [argument for number in descriptors for argument in ("--fd", str(number))]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*spec["command"], *arguments],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(),
                preexec_fn=end_with_parent,
            )
        address = f"http://127.0.0.1:{private.getsockname()[1]}"
        private.close()
        return cls(spec, process, address, log, time.monotonic() + spec["ready_timeout_s"])

    def is_alive(self) -> bool:
        """Return whether the process still runs, and reap it if not."""
        return self.process.poll() is None

    def is_ready(self) -> bool:
        """Return whether this server is ready to predict."""
        status = ask_status(self.address, "/ready", READY_TIMEOUT_S)
        self.refused = status not in (b"", b"200")
        return status == b"200"

    def drain(self) -> None:
        """Let it finish its requests; it ends by itself."""
        self.drained_at = time.monotonic()
        self.pulse.close()
        self.process.terminate()

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")


@dataclass
class Slot:
    """One share of the environment's connections: a socket, its worker, and the next worker."""

    listener: socket.socket
    worker: Worker | None = None
    candidate: Worker | None = None
    restarts: int = 0
    retry_at: float = 0.0


@dataclass
class Supervisor:
    """Moves the slots towards ``desired.json``, one small step a tick."""

    folder: Path
    desired: dict[str, Any] = field(default_factory=dict)
    seen: tuple[int, int] = (0, 0)
    address: tuple[str, int] = ("", 0)
    slots: list[Slot] = field(default_factory=list)
    draining: list[Worker] = field(default_factory=list)
    trouble: str = ""
    # What was seen of a server that did not become ready, for the judgement in `blame`.
    failure: dict[str, Any] | None = None
    claim_until: float = 0.0
    started: int = 0
    reported: set[str] = field(default_factory=set)
    written: dict[str, Any] = field(default_factory=dict)
    digests: set[str] = field(default_factory=set)
    since: str = ""
    beat_at: float = 0.0

    def run(self) -> None:
        """Run until the desired state is empty and everything has drained."""
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        # A terminal that closes, or Ctrl-C in it, is no command to end an environment. Servers
        # inherit that, and set what they need.
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        while True:
            self.attempt(self.beat)
            self.attempt(self.read_desired)
            self.attempt(self.reap)
            if not self.trouble:
                self.attempt(self.reconcile)
            for slot in self.slots:
                self.attempt(self.check, slot)
                self.attempt(self.revive, slot)
            for worker in self.workers():
                self.attempt(self.truncate_log, worker)
            self.attempt(self.write_actual)
            if self.desired.get("slots") == [] and not self.slots and not self.draining:
                return
            time.sleep(TICK_S)

    def attempt(self, step: Callable[..., None], *arguments: Any) -> None:
        """Take a step; one that fails is tried again in the next tick, and ends no server."""
        try:
            step(*arguments)
        except OSError as error:  # Such as a full disk.
            self.report(error)
        except Exception as error:
            self.report(error)
            self.trouble = self.trouble or f"the supervisor failed: {error!r}"

    def report(self, error: Exception) -> None:
        """Log a fault once."""
        text = "".join(traceback.format_exception(error))
        if text not in self.reported and len(self.reported) < MAX_REPORTED:
            self.reported.add(text)
            with suppress(OSError):
                print(text, file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Drain everything, as a ``desired.json`` without slots does."""
        self.desired = self.desired | {"slots": []}
        self.trouble, self.failure = "", None

    def read_desired(self) -> None:
        """Read a new desired state, which clears the trouble of the one before."""
        if not self.folder.is_dir():
            self.stop()
            return
        status = (self.folder / "desired.json").stat()
        if (status.st_ino, status.st_mtime_ns) != self.seen:
            self.seen = (status.st_ino, status.st_mtime_ns)
            desired = json.loads((self.folder / "desired.json").read_text(encoding="utf-8"))
            self.desired = dict(desired)
            self.trouble, self.failure = "", None
            self.claim_until = time.monotonic() + CLAIM_TIMEOUT_S
            for slot in self.slots:
                slot.retry_at = 0.0

    def reap(self) -> None:
        """Drop workers that have drained, and kill those that do not."""
        for worker in list(self.draining):
            if not worker.is_alive():
                self.draining.remove(worker)
            elif worker.drained_at and time.monotonic() - worker.drained_at > DRAIN_LIMIT_S:
                worker.process.kill()

    def reconcile(self) -> None:
        """Take the next step: open or close slots, then replace one slot's worker at a time."""
        specs = self.desired["slots"]
        address = (self.desired["host"], self.desired["port"])
        if specs and address != self.address:
            try:
                claim(*address)
            except OSError as error:
                if time.monotonic() > self.claim_until:
                    self.trouble = f"cannot listen on {address[0]}:{address[1]}: {error.strerror}"
                return
            self.retire(self.slots)
            self.slots, self.address = [], address
        self.retire(self.slots[len(specs) :])
        del self.slots[len(specs) :]
        while len(self.slots) < len(specs):
            self.slots.append(Slot(listen(*address)))
        changing = [
            (slot, spec)
            for slot, spec in zip(self.slots, specs, strict=True)
            if slot.candidate or slot.worker is None or slot.worker.spec != spec
        ]
        # Slots without a worker all start at once; the others are updated one at a time.
        empty = [pair for pair in changing if pair[0].worker is None]
        for slot, spec in empty or changing[:1]:
            self.advance(slot, spec)

    def advance(self, slot: Slot, spec: dict[str, Any]) -> None:
        """Start a slot's next worker, or replace the current one when it is ready."""
        if slot.candidate and slot.candidate.spec != spec:
            self.discard(slot)
        if slot.worker and slot.worker.spec == spec:
            return
        if slot.candidate is None:
            try:
                slot.candidate = self.start(slot, spec)
            except OSError as error:
                self.trouble = f"release {spec['release']} cannot be started: {error}"
        elif not slot.candidate.is_alive():
            code = slot.candidate.process.returncode
            self.give_up(slot, f"exited with {code} before it was ready")
        elif slot.candidate.is_ready():
            if slot.worker:
                slot.worker.drain()
                self.draining.append(slot.worker)
            slot.worker, slot.candidate, slot.restarts = slot.candidate, None, 0
        elif time.monotonic() > slot.candidate.deadline:
            self.give_up(slot, f"was not ready after {spec['ready_timeout_s']} s")

    def start(self, slot: Slot, spec: dict[str, Any]) -> Worker:
        self.started += 1
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        used = [worker.log for worker in self.workers()]
        remove_oldest(logs, KEPT_LOGS + len(self.slots), used)
        return Worker.start(
            spec, slot.listener, logs / f"{spec['release']}-{os.getpid()}-{self.started}.log"
        )

    def give_up(self, slot: Slot, why: str) -> None:
        """Stop updating: the current worker goes on, and the command reads the trouble."""
        assert slot.candidate is not None
        self.trouble = f"release {slot.candidate.spec['release']} {why}\n{slot.candidate.tail()}"
        self.failure = {
            "code": slot.candidate.process.returncode,
            "refused": slot.candidate.refused,
            "beside": slot.worker.spec if slot.worker else None,
        }
        self.discard(slot)

    def discard(self, slot: Slot) -> None:
        if slot.candidate:
            slot.candidate.drain()
            self.draining.append(slot.candidate)
            slot.candidate = None

    def retire(self, slots: list[Slot]) -> None:
        """Drain the workers of slots that are no longer needed, and close their sockets."""
        for slot in slots:
            self.discard(slot)
            if slot.worker:
                slot.worker.drain()
                self.draining.append(slot.worker)
            slot.listener.close()

    def beat(self) -> None:
        """Show that this supervisor is alive."""
        if time.monotonic() >= self.beat_at:
            self.beat_at = time.monotonic() + BEAT_S
            os.utime(self.folder / HEARTBEAT)

    def check(self, slot: Slot) -> None:
        """Kill a worker that no longer answers, though it has not ended; `revive` replaces it."""
        worker = slot.worker
        if worker is None or not worker.is_alive():
            return
        worker.pulse.feel()
        if worker.pulse.misses >= MISSES:
            worker.pulse.close()
            # It cannot drain: a process that was stopped does not even read a signal.
            worker.process.kill()
            what = f"{worker.spec['release']}, process {worker.process.pid}"
            why = f"it did not answer {MISSES} times, for {HEALTH_DEADLINE_S:g} s each"
            print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z killed {what}: {why}", file=sys.stderr)

    def revive(self, slot: Slot) -> None:
        """Restart a crashed worker with the same release, after a growing wait."""
        if slot.worker and not slot.worker.is_alive() and time.monotonic() >= slot.retry_at:
            slot.restarts += 1
            slot.retry_at = time.monotonic() + backoff_s(slot.restarts)
            slot.worker = self.start(slot, slot.worker.spec)

    def workers(self) -> list[Worker]:
        """Return all server processes."""
        of_slots = [worker for slot in self.slots for worker in (slot.worker, slot.candidate)]
        return [worker for worker in (*of_slots, *self.draining) if worker]

    def truncate_log(self, worker: Worker) -> None:
        """Keep the log of a running worker from filling the disk."""
        truncate(worker.log, self.desired.get("log_mb", LOG_MB) * 1024 * 1024)

    def note_since(self) -> None:
        """Note since when the slots serve what they do; a restarted worker serves the same."""
        digests = {slot.worker.spec["digest"] for slot in self.slots if slot.worker}
        if digests != self.digests:
            self.digests, self.since = digests, datetime.now(UTC).isoformat(timespec="seconds")

    def write_actual(self) -> None:
        """Write the actual state, if it has changed."""
        self.note_since()
        instances = [
            self.describe(worker, state, slot.restarts)
            for slot in self.slots
            for worker, state in ((slot.worker, "ready"), (slot.candidate, "starting"))
            if worker
        ]
        instances += [self.describe(worker, "draining", 0) for worker in self.draining]
        specs = self.desired["slots"]
        is_converged = (
            not self.draining
            and [slot.worker.spec if slot.worker else None for slot in self.slots] == specs
            and all(slot.candidate is None for slot in self.slots)
        )
        actual = {
            "event": self.desired["event"],
            "generation": self.desired["generation"],
            "converged": is_converged,
            "trouble": self.trouble,
            "failure": self.failure,
            "host": self.desired["host"],
            "port": self.desired["port"],
            "since": self.since if len(self.digests) == 1 else "",
            "instances": instances,
            "logs": {
                worker.address: str(worker.log)
                for slot in self.slots
                for worker in (slot.worker, slot.candidate)
                if worker
            },
        }
        if actual != self.written:
            write_json(self.folder / "actual.json", actual)
            self.written = actual

    def describe(self, worker: Worker, state: str, restarts: int) -> dict[str, Any]:
        return {
            "release": worker.spec["release"],
            "digest": worker.spec["digest"],
            "address": worker.address,
            "pid": worker.process.pid,
            "state": state if worker.is_alive() else "failed",
            "restarts": restarts,
            "track": worker.spec.get("track", "stable"),
        }


def main() -> int:
    """Supervise the folder of the command line until its desired state is empty."""
    folder = Path(sys.argv[1])
    # Logs and states say what customers do: they are for this user alone.
    os.umask(0o077)
    deadline = time.monotonic() + LOCK_WAIT_S
    # A test of the lock holds it for an instant; another supervisor holds it for good.
    while (lock := try_lock(folder / "supervisor.lock", fcntl.LOCK_EX)) is None:
        if time.monotonic() > deadline:
            print("another supervisor holds this folder")
            return 0
        time.sleep(TICK_S)
    with suppress(OSError):  # Such as a full disk: then nobody judges its heartbeat.
        (folder / HEARTBEAT).unlink(missing_ok=True)
        write_json(folder / HEARTBEAT, {"pid": os.getpid()})
    Supervisor(folder).run()
    os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
