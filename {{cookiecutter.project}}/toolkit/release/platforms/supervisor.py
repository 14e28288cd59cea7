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
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TICK_S = 0.05
LOCK_WAIT_S = 2
# The servers of a supervisor that was killed need a moment to release the port.
CLAIM_TIMEOUT_S = 2
DRAIN_LIMIT_S = 30
BACKLOG = 1024
LOG_TAIL = 2000
# Servers log every request: a log is truncated at this size, and only the newest are kept.
MAX_LOG_BYTES = 50 * 1024 * 1024
KEPT_LOGS = 20
# A crash loop must not load the machine: the wait before a restart doubles up to this.
LONGEST_BACKOFF_S = 30
# No other variable of the command reaches a server: a CI job's hold secrets, and a CI runner ends
# every process that has its mark.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


def write_json(path: Path, document: Any) -> None:
    """Write a file atomically: a reader sees the old or the new one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as file:
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


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket that shares its port with others like it."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
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
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def end_with_parent() -> None:
    """Let Linux drain this process when its supervisor dies: orphans would serve old releases."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def truncate(log: Path, max_bytes: int) -> None:
    """Move a log's content to ``<log>.old`` when it is too long; its writer goes on appending."""
    if log.stat().st_size > max_bytes:
        shutil.copyfile(log, log.with_suffix(".log.old"))
        os.truncate(log, 0)


def remove_oldest(folder: Path, kept: int) -> None:
    """Remove all logs of a folder except the newest."""
    logs = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for log in logs[kept:]:
        log.unlink()


@dataclass
class Worker:
    """One server process of one release."""

    spec: dict[str, Any]
    process: subprocess.Popen[bytes]
    address: str
    log: Path
    deadline: float
    drained_at: float | None = None

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
                env={name: os.environ[name] for name in INHERITED if name in os.environ},
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
        connection = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=1)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def drain(self) -> None:
        """Let it finish its requests; it ends by itself."""
        self.drained_at = time.monotonic()
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
    claim_until: float = 0.0
    started: int = 0
    written: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Run until the desired state is empty and everything has drained."""
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        while True:
            self.read_desired()
            self.reap()
            # On a full disk running workers go on, and the next tick tries again.
            with suppress(OSError):
                if not self.trouble:
                    self.reconcile()
                self.revive()
                self.truncate_logs()
                self.write_actual()
            if self.desired.get("slots") == [] and not self.slots and not self.draining:
                return
            time.sleep(TICK_S)

    def stop(self) -> None:
        """Drain everything, as a ``desired.json`` without slots does."""
        self.desired = self.desired | {"slots": []}
        self.trouble = ""

    def read_desired(self) -> None:
        """Read a new desired state, which clears the trouble of the one before."""
        status = (self.folder / "desired.json").stat()
        if (status.st_ino, status.st_mtime_ns) != self.seen:
            self.seen = (status.st_ino, status.st_mtime_ns)
            self.desired = json.loads((self.folder / "desired.json").read_text(encoding="utf-8"))
            self.trouble = ""
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
        remove_oldest(logs, KEPT_LOGS + len(self.slots))
        return Worker.start(
            spec, slot.listener, logs / f"{spec['release']}-{os.getpid()}-{self.started}.log"
        )

    def give_up(self, slot: Slot, why: str) -> None:
        """Stop updating: the current worker goes on, and the command reads the trouble."""
        assert slot.candidate is not None
        self.trouble = f"release {slot.candidate.spec['release']} {why}\n{slot.candidate.tail()}"
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

    def revive(self) -> None:
        """Restart a crashed worker with the same release, after a growing wait."""
        for slot in self.slots:
            if slot.worker and not slot.worker.is_alive() and time.monotonic() >= slot.retry_at:
                slot.restarts += 1
                backoff = min(0.1 * 2**slot.restarts, LONGEST_BACKOFF_S)
                slot.retry_at = time.monotonic() + backoff
                slot.worker = self.start(slot, slot.worker.spec)

    def truncate_logs(self) -> None:
        """Keep the logs of running workers from filling the disk."""
        for slot in self.slots:
            if slot.worker:
                truncate(slot.worker.log, MAX_LOG_BYTES)

    def write_actual(self) -> None:
        """Write the actual state, if it has changed."""
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
            "host": self.desired["host"],
            "port": self.desired["port"],
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
        }


def main() -> int:
    """Supervise the folder of the command line until its desired state is empty."""
    folder = Path(sys.argv[1])
    deadline = time.monotonic() + LOCK_WAIT_S
    # A test of the lock holds it for an instant; another supervisor holds it for good.
    while (lock := try_lock(folder / "supervisor.lock", fcntl.LOCK_EX)) is None:
        if time.monotonic() > deadline:
            print("another supervisor holds this folder")
            return 0
        time.sleep(TICK_S)
    Supervisor(folder).run()
    os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
