"""Many clients at once, each on a connection of its own: they count what they are answered."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 20


@dataclass
class Answered:
    """What a crowd was answered.

    Parameters
    ----------
    seconds : dict of int to list of float
        How long each answer took, by its status.
    lost : list of str
        Why a request that was sent was not answered.
    refusals : set of str
        The Retry-After of those who were turned away.
    """

    seconds: dict[int, list[float]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    refusals: set[str] = field(default_factory=set)


async def ask(port: int, clients: int, body: dict[str, Any], seconds: float) -> Answered:
    """Let clients ask ``/predict`` for a while, each again as soon as it is answered."""
    content = json.dumps(body).encode()
    request = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(content), content)
    )
    answered = Answered()
    until = time.monotonic() + seconds
    await asyncio.gather(*(_ask(port, request, until, answered) for _ in range(clients)))
    return answered


async def _ask(port: int, request: bytes, until: float, answered: Answered) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while time.monotonic() < until:
            began = time.monotonic()
            writer.write(request)
            async with asyncio.timeout(PATIENCE_S):
                status, headers = await _answer(reader)
            answered.seconds.setdefault(status, []).append(time.monotonic() - began)
            if "retry-after" in headers:
                answered.refusals.add(headers["retry-after"])
            if headers.get("connection") == "close":
                return
    except (OSError, EOFError) as error:
        answered.lost.append(repr(error))
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read one answer; return its status and its headers."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = {
        name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-1])
    }
    await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers
