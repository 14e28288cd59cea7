"""What clients that never finish their requests take from the others.

    nox -s benchmark_slow_clients
    nox -s benchmark_slow_clients -- --seconds 10

`wrk` loads one server to half of what it can do, undisturbed and then beside 1,000 requests without
their body and 1,000 headers without an end, which are opened anew whenever the server closes them.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path

from toolkit.serving.limits import raise_file_limit

from benchmarks.contenders import HOST, Request, this_server
from benchmarks.generated import Generated
from benchmarks.load import LOAD_WITH_REFUSALS, Load, Running
from benchmarks.machine import machine
from benchmarks.serving import WARM_UP_S, Model

EACH = 1000
UNFINISHED = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nX: ",
)
CONNECTIONS = 16
CAPACITY_S = 5
# The server gives memory back a second after the last of them has gone.
AFTER_S = 5


def spaced(script: str, milliseconds: int) -> str:
    """Return a script for wrk that pauses before each request."""
    return f"{script}\nfunction delay() return {milliseconds} end\n"


async def _hold(port: int, unfinished: bytes, opened: list[int]) -> None:
    """Keep one connection with an unfinished request, and open it anew when it is closed."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(HOST, port)
            opened[0] += 1
            writer.write(unfinished)
            await reader.read()
            writer.close()


async def _hold_all(port: int, held: Event, end: Event) -> None:
    opened = [0]
    tasks = [asyncio.create_task(_hold(port, one, opened)) for one in UNFINISHED * EACH]
    while opened[0] < len(tasks):
        await asyncio.sleep(0.1)
    held.set()
    while not end.is_set():
        await asyncio.sleep(0.1)
    print(f"{opened[0]:,} connections were opened to hold {len(tasks):,}", flush=True)


def hold(port: int, held: Event, end: Event) -> None:
    """Hold all of them, in a process of its own, until the end is set."""
    raise_file_limit(len(UNFINISHED) * EACH)
    asyncio.run(_hold_all(port, held, end))


@contextmanager
def slow_clients(port: int) -> Iterator[None]:
    """Hold unfinished requests meanwhile."""
    context = multiprocessing.get_context("spawn")
    held, end = context.Event(), context.Event()
    process = context.Process(target=hold, args=(port, held, end))
    process.start()
    try:
        if not held.wait(60):
            sys.exit("the slow clients do not get their connections")
        yield
    finally:
        end.set()
        process.join()


def ask(server: Running, customers: list[Request], seconds: int, script: str) -> Load:
    """Load the server; end the benchmark where it lost a request."""
    load = server.load(customers, CONNECTIONS, seconds, script)
    if load.lost:
        sys.exit(f"{load.lost} requests were lost: {load}")
    return load


def measure(model: Model, seconds: int) -> None:
    """Print the waiting times of ordinary customers, and the server's memory."""
    with model.served_by(this_server(model.folder)) as (server, _):
        customers = model.customers[:1]
        ask(server, customers, WARM_UP_S, LOAD_WITH_REFUSALS)
        capacity = ask(server, customers, CAPACITY_S, LOAD_WITH_REFUSALS)
        pause_ms = round(1000 * CONNECTIONS / (capacity.per_s / 2))
        script = spaced(LOAD_WITH_REFUSALS, pause_ms)
        quiet = ask(server, customers, seconds, script)
        before_mb = server.memory_mb()
        with slow_clients(server.port):
            disturbed = ask(server, customers, seconds, script)
            during_mb = server.memory_mb()
        time.sleep(AFTER_S)
        after_mb = server.memory_mb()
    print(f"capacity {capacity.per_s:,.0f} requests/s, {CONNECTIONS} connections\n")
    print("| beside | requests/s | p50, ms | p99, ms | refused | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows = {"nothing": (quiet, before_mb), f"{2 * EACH:,} slow clients": (disturbed, during_mb)}
    for name, (load, memory_mb) in rows.items():
        print(
            f"| {name} | {load.per_s:,.0f} | {load.p50_ms:.2f} | {load.p99_ms:.2f} "
            f"| {load.refused} | {memory_mb:.0f} |"
        )
    ratio = disturbed.p99_ms / quiet.p99_ms
    print(f"\np99 beside slow clients: {ratio:.2f} times; memory afterwards {after_mb:.0f} MB")


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long they are held")
    seconds = parser.parse_args().seconds
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: it asks the server; apt-get install wrk")
    print(f"\n{machine()}")
    with tempfile.TemporaryDirectory() as folder:
        measure(Model(Generated(Path(folder))), seconds)


if __name__ == "__main__":
    main()
