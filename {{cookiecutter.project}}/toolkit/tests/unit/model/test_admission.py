"""As many requests as can be answered soon are let in, the others are turned away at once."""

import asyncio
from collections.abc import Iterable

import pytest
from starlette.types import Message, Receive, Scope, Send

from toolkit.serving.admission import LARGE_BYTES, MAX_LARGE_REQUESTS, MAX_REQUESTS, Admission

SMALL = ((b"content-length", b"100"),)
LARGE = ((b"content-length", str(LARGE_BYTES + 1).encode()),)
IN_PIECES = ((b"transfer-encoding", b"chunked"),)


class Server:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.admission = Admission(self.answer, "/predict")

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.open.wait()
        if scope["path"] == "/fails":
            raise RuntimeError
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask(
        self, headers: Iterable[tuple[bytes, bytes]], path: str = "/predict"
    ) -> tuple[int, dict[bytes, bytes]]:
        """Return status and headers of an answer."""
        started: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
        await self.admission(scope, receive, send)
        return started[0]["status"], dict(started[0]["headers"])


async def statuses(headers: tuple[tuple[bytes, bytes], ...], count: int) -> list[int]:
    """Return the statuses of requests that come at once, while nothing is answered."""
    server = Server()
    asked = [asyncio.create_task(server.ask(headers)) for _ in range(count)]
    await asyncio.sleep(0.01)
    server.open.set()
    return [status for status, _ in await asyncio.gather(*asked)]


@pytest.mark.parametrize(
    ("headers", "limit"),
    [(SMALL, MAX_REQUESTS), (LARGE, MAX_LARGE_REQUESTS), (IN_PIECES, MAX_LARGE_REQUESTS)],
)
def test_what_is_too_much_is_turned_away(
    headers: tuple[tuple[bytes, bytes], ...], limit: int
) -> None:
    answered = asyncio.run(statuses(headers, limit + 3))
    assert answered == [200] * limit + [503] * 3


def test_who_is_turned_away_is_told_when_to_come_back() -> None:
    async def refused() -> dict[bytes, bytes]:
        server = Server()
        asked = [asyncio.create_task(server.ask(SMALL)) for _ in range(MAX_REQUESTS)]
        await asyncio.sleep(0.01)
        status, headers = await server.ask(SMALL)
        server.open.set()
        await asyncio.gather(*asked)
        assert status == 503
        return headers

    assert asyncio.run(refused())[b"retry-after"] == b"1"


def test_a_probe_is_let_in_by_a_busy_server_and_there_is_room_again_afterwards() -> None:
    async def story() -> None:
        server = Server()
        asked = [asyncio.create_task(server.ask(SMALL)) for _ in range(MAX_REQUESTS + 1)]
        probe = asyncio.create_task(server.ask((), "/ready"))
        await asyncio.sleep(0.01)
        server.open.set()
        assert (await probe)[0] == 200
        await asyncio.gather(*asked)
        assert (await server.ask(SMALL))[0] == 200

    asyncio.run(story())


def test_a_request_that_fails_leaves_its_place() -> None:
    async def story() -> None:
        server = Server()
        server.open.set()
        server.admission = Admission(server.answer, "/fails")
        for _ in range(MAX_REQUESTS + 1):
            with pytest.raises(RuntimeError):
                await server.ask(SMALL, "/fails")

    asyncio.run(story())
