"""A served release under people who send anything, too much of it, and at the worst moment."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import crowd
import pytest
from living import Living

from demo.repository import free_ports

pytestmark = [pytest.mark.alone, pytest.mark.full]

# As many requests are let in at once (toolkit/serving/admission.py).
MAX_REQUESTS = 128
MALFORMED = 10_000
# The allocator settles in the first thousands; what grows afterwards grows for ever.
SETTLED = 3_000
# A leak of one kilobyte a request would be seven times this.
MAX_GROWTH_KB = 1_000
SEED = 20261124
# Thirty times what it takes on two idle cores: a queue without an end would be far longer.
MAX_WAIT_S = 5
START_S = 20


@dataclass
class Server:
    """A release that serves on a port of loopback."""

    process: subprocess.Popen[bytes]
    port: int

    def memory_kb(self) -> int:
        """Return its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1])

    def ask(self, path: str) -> int:
        """Return the status of a GET."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, START_S)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status


@pytest.fixture
def server(living: Living, tmp_path: Path) -> Iterator[Server]:
    """Serve the living repository's second release, with what it was trained with."""
    folder = living.repository.folder
    [port] = free_ports(1)
    python = folder / ".nox" / "model" / "bin" / "python"
    module = ("-m", "toolkit.serving", "--bundle", f"dist/{living.second['version']}")
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [str(python), *module, "--port", str(port)],
            cwd=folder,
            env={"PYTHONPATH": "src:."},
            stderr=log,
        )
    serving = Server(process, port)
    deadline = time.monotonic() + START_S
    while True:
        try:
            assert serving.ask("/ready") == 200
            break
        except OSError:
            assert time.monotonic() < deadline, (tmp_path / "server.log").read_text()
            time.sleep(0.05)
    yield serving
    process.terminate()
    assert process.wait(START_S) == 0


def test_every_answer_is_one_that_the_documentation_promises(
    server: Server, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run"),
            *(f"http://127.0.0.1:{server.port}/openapi.json", "--checks", "all"),
            *("--max-examples", "100", "--seed", "1", "--continue-on-failure", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "5 selected / 5 total" in done.stdout


def malformed(chance: random.Random, body: bytes) -> bytes:
    """Return a body with a few bytes changed, lost, doubled, or nothing like it at all."""
    kind = chance.randrange(5)
    at = chance.randrange(len(body))
    if kind == 0:
        return body[:at] + chance.randbytes(1 + chance.randrange(8)) + body[at + 1 :]
    if kind == 1:
        return body[:at]
    if kind == 2:
        return b"[" * chance.randrange(1, 3000) + body
    if kind == 3:
        return chance.randbytes(chance.randrange(200))
    wrong = chance.choice(["1e999", "-0.0", "NaN", '"\\ud800"', "null", "[]", "{}", "9" * 400])
    fields = json.loads(body)
    name = chance.choice(list(fields))
    return json.dumps(fields | {name: "?"}).replace('"?"', wrong).encode()


def test_ten_thousand_malformed_bodies_neither_crash_nor_grow_it(
    server: Server, living: Living
) -> None:
    chance = random.Random(SEED)
    body = json.dumps(living.customer()).encode()
    statuses = set()
    settled = 0
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, START_S)) as connection:
        for number in range(MALFORMED):
            if number == SETTLED:
                settled = server.memory_kb()
            connection.request("POST", "/predict", malformed(chance, body))
            response = connection.getresponse()
            response.read()
            statuses.add(response.status)
    # Some changes happen to be harmless.
    assert 422 in statuses
    assert statuses <= {200, 422}
    assert server.memory_kb() - settled < MAX_GROWTH_KB
    assert server.ask("/ready") == 200


def test_an_overload_is_turned_away_and_forgotten_at_once(server: Server, living: Living) -> None:
    answered = asyncio.run(crowd.ask(server.port, 4 * MAX_REQUESTS, living.customer(), seconds=3))
    assert answered.lost == []
    assert answered.seconds.keys() == {200, 503}
    assert answered.refusals == {"1"}
    assert max(answered.seconds[200]) < MAX_WAIT_S
    afterwards = asyncio.run(crowd.ask(server.port, 1, living.customer(), seconds=0.2))
    assert afterwards.seconds.keys() == {200}


def test_no_accepted_request_is_lost_when_it_is_told_to_stop_under_load(
    server: Server, living: Living
) -> None:
    async def story() -> crowd.Answered:
        asking = asyncio.create_task(crowd.ask(server.port, 32, living.customer(), seconds=30))
        await asyncio.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        return await asking

    answered = asyncio.run(story())
    assert answered.lost == []
    assert answered.seconds.keys() == {200}
    assert len(answered.seconds[200]) > 100
    assert server.process.wait(START_S) == 0
