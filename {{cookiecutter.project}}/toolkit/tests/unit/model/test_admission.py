"""A limited number of requests is admitted, the others get 503 at once."""

import asyncio
from collections.abc import Iterable

import pytest
from starlette.types import Message, Receive, Scope, Send

from toolkit.serving.admission import LARGE_BYTES, MAX_LARGE_REQUESTS, MAX_REQUESTS, Admission

SMALL = ((b"content-length", b"100"),)
LARGE = ((b"content-length", str(LARGE_BYTES + 1).encode()),)
IN_PIECES = ((b"transfer-encoding", b"chunked"),)


class Server:
    """Responds once it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.admission = Admission(self.answer, "/predict")

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.open.wait()
        if scope["path"] == "/fails":
            raise RuntimeError
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(
        self, headers: Iterable[tuple[bytes, bytes]], path: str = "/predict"
    ) -> tuple[int, dict[bytes, bytes]]:
        """Return status and headers of a response."""
        started: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def respond(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
        await self.admission(scope, receive, respond)
        return started[0]["status"], dict(started[0]["headers"])


async def statuses(headers: tuple[tuple[bytes, bytes], ...], count: int) -> list[int]:
    """Return the statuses of requests that arrive together, before any gets its response."""
    server = Server()
    sent = [asyncio.create_task(server.send(headers)) for _ in range(count)]
    await asyncio.sleep(0.01)
    server.open.set()
    return [status for status, _ in await asyncio.gather(*sent)]


@pytest.mark.parametrize(
    ("headers", "limit"),
    [(SMALL, MAX_REQUESTS), (LARGE, MAX_LARGE_REQUESTS), (IN_PIECES, MAX_LARGE_REQUESTS)],
)
def test_requests_above_the_limit_get_503(
    headers: tuple[tuple[bytes, bytes], ...], limit: int
) -> None:
    responses = asyncio.run(statuses(headers, limit + 3))
    assert responses == [200] * limit + [503] * 3


def test_a_refused_client_learns_when_to_retry() -> None:
    async def refused() -> dict[bytes, bytes]:
        server = Server()
        sent = [asyncio.create_task(server.send(SMALL)) for _ in range(MAX_REQUESTS)]
        await asyncio.sleep(0.01)
        status, headers = await server.send(SMALL)
        server.open.set()
        await asyncio.gather(*sent)
        assert status == 503
        return headers

    assert asyncio.run(refused())[b"retry-after"] == b"1"


def test_a_busy_server_admits_a_probe_and_later_requests() -> None:
    async def story() -> None:
        server = Server()
        sent = [asyncio.create_task(server.send(SMALL)) for _ in range(MAX_REQUESTS + 1)]
        probe = asyncio.create_task(server.send((), "/ready"))
        await asyncio.sleep(0.01)
        server.open.set()
        assert (await probe)[0] == 200
        await asyncio.gather(*sent)
        assert (await server.send(SMALL))[0] == 200

    asyncio.run(story())


def test_a_failed_request_frees_its_place() -> None:
    async def story() -> None:
        server = Server()
        server.open.set()
        server.admission = Admission(server.answer, "/fails")
        for _ in range(MAX_REQUESTS + 1):
            with pytest.raises(RuntimeError):
                await server.send(SMALL, "/fails")

    asyncio.run(story())
