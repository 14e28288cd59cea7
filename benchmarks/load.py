"""A server in a process of its own, and the load that Debian's `wrk` puts on it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import HOST, Contender, Request
from demo.repository import FOREIGN, TEMPLATE, free_ports

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 15
ANSWER_TIMEOUT_S = 30
POLL_S = 0.005
BACKLOG = 2048
# A server's processes inherit it; some begin sessions of their own, and some outlive their parent.
MARK = "CHURN_BENCHMARK"

LOAD = """
function init(args)
  local file = io.open(args[1], "rb")
  wrk.method, wrk.body = "POST", file:read("*a")
  wrk.headers["Content-Type"] = "application/json"
  file:close()
end

local threads = {}
function setup(thread) table.insert(threads, thread) end

function done(summary, latency, requests)
  local told, busy = summary.errors, threads[1]:get("busy") or 0
  local lost = told.connect + told.read + told.write + told.timeout
  local form = '{"answers": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, '
  form = form .. '"refused": %d, "busy": %d, "lost": %d}\\n'
  local p50, p99 = latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  local seconds = summary.duration / 1e6
  io.write(string.format(form, summary.requests, seconds, p50, p99, told.status, busy, lost))
end
"""
# Looking at every answer slows wrk: only where there are different ones.
LOAD_WITH_REFUSALS = f"""{LOAD}
busy = 0
function response(status, headers, body) if status == 503 then busy = busy + 1 end end
"""


@dataclass(frozen=True)
class Load:
    """What wrk tells: `refused` are answers of 400 and more, `busy` those of them that are 503."""

    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    busy: int
    lost: int

    @property
    def per_s(self) -> float:
        """Answers in a second."""
        return self.answers / self.seconds


class Running:
    """A server that was started.

    Parameters
    ----------
    workspace : pathlib.Path
        Where it logs to, and where what it is sent is written for wrk.
    workers : int
        How many processes share the port, of a contender that takes a listening socket; any other
        starts its own.
    """

    def __init__(
        self, contender: Contender, repository: Path, workspace: Path, workers: int = 1
    ) -> None:
        self._contender = contender
        self.say = contender.say
        self._workspace = workspace
        [self.port] = free_ports(1)
        self._programs = environment(repository, Path(contender.command[0]).parent)
        if "SOCKET" in contender.command:
            self._started = [self._start_on_a_socket(repository) for _ in range(workers)]
        else:
            self._started = [self._start(repository, {"PORT": str(self.port)})]

    def _start_on_a_socket(self, repository: Path) -> subprocess.Popen[bytes]:
        with socket.socket() as listening:
            # The kernel spreads the connections over all of them.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((HOST, self.port))
            listening.listen(BACKLOG)
            number = listening.fileno()
            return self._start(repository, {"SOCKET": str(number)}, [number])

    def _start(
        self, repository: Path, given: Mapping[str, str], sockets: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        with (self._workspace / "server.log").open("ab") as log:
            return subprocess.Popen(
                [given.get(part, part) for part in self._contender.command],
                cwd=repository,
                env=self._programs | self._contender.environment | {MARK: str(self._workspace)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=sockets,
            )

    def ask(self, customers: list[Request]) -> tuple[int, Any]:
        """Return the status and what was answered."""
        path, body = self._contender.ask(customers)
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_TIMEOUT_S)
        headers = {"Content-Type": "application/json"}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or "null")
        finally:
            connection.close()

    def wait(self, customers: list[Request]) -> list[float]:
        """Return what it says of customers as soon as it answers."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and all(one.poll() is None for one in self._started):
            with suppress(OSError, http.client.HTTPException, ValueError):
                status, said = self.ask(customers)
                if status == 200:
                    return self.say(said)
            time.sleep(POLL_S)
        log = (self._workspace / "server.log").read_text("utf-8", "replace")
        sys.exit(f"{self._contender.command} does not answer:\n{log[-5000:]}")

    def load(
        self, customers: list[Request], connections: int, seconds: int, script: str = LOAD
    ) -> Load:
        """Ask with wrk, on some connections, again as soon as there is an answer."""
        path, body = self._contender.ask(customers)
        sent, lua = self._workspace / "body.json", self._workspace / "load.lua"
        sent.write_text(json.dumps(body), encoding="utf-8")
        lua.write_text(script, encoding="utf-8")
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(lua)]
        # By itself it counts an answer as lost that takes two seconds.
        command += ["--timeout", f"{ANSWER_TIMEOUT_S}s"]
        done = subprocess.run(
            [*command, f"http://{HOST}:{self.port}{path}", "--", str(sent)],
            check=True,
            capture_output=True,
            text=True,
            timeout=seconds + ANSWER_TIMEOUT_S,
        )
        return Load(**json.loads(done.stdout.splitlines()[-1]))

    def memory_mb(self) -> float:
        """Return what its processes hold of memory, together, in MB."""
        kib = 0
        for process in self._processes():
            for line in (process / "status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmRSS:"):
                    kib += int(line.split()[1])
        return kib * 1024 / 1e6

    def stop(self) -> None:
        """End it, and whatever it has started."""
        for process in self._started:
            process.terminate()
        for process in self._started:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for folder in self._processes():
            with suppress(ProcessLookupError):
                os.kill(int(folder.name), signal.SIGKILL)

    def _processes(self) -> list[Path]:
        """Return the folders below /proc of its processes, whoever has started them."""
        mark = f"{MARK}={self._workspace}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(process)
            except OSError:  # It has ended, or is somebody else's.
                continue
        return found


def environment(repository: Path, programs: Path) -> dict[str, str]:
    """Return the environment variables of a process that uses the repository's code."""
    # Without its bytecode a server compiles itself anew at every start.
    foreign = (*FOREIGN, "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    return kept | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        # Its toolkit, its package, and `benchmarks`.
        "PYTHONPATH": os.pathsep.join(map(str, (repository, repository / "src", TEMPLATE))),
        # One worker, one thread: while wrk has the other core, boosting's threads spin, waiting for
        # one another, and the others would answer a hundred times slower.
        "OMP_NUM_THREADS": "1",
    }


def run(command: list[str], repository: Path) -> str:
    """Run a command in the repository and return what it printed; a failure ends the benchmark."""
    done = subprocess.run(
        command,
        cwd=repository,
        env=environment(repository, Path(command[0]).parent),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
