"""Lets in as many requests as can be answered soon, and turns the others away at once."""

import asyncio

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# A customer takes a fraction of a millisecond: the last of these waits some hundredths of a second.
MAX_REQUESTS = 128
# Large lists of customers are answered by a thread each; together they share the processor.
MAX_LARGE_REQUESTS = 4
LARGE_BYTES = 64 * 1024
RETRY_AFTER_S = 1


class Admission:
    """ASGI middleware that bounds how many requests for one path are under way.

    Without it every request is taken, each waits for all the others, and at some load none is
    answered before its client has given up.

    Parameters
    ----------
    app
        What it is around.
    path
        The path that costs something; all others are always let in, so that a probe or a scrape
        sees a busy server as alive.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path
        self._running = 0
        self._running_large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        large = _is_large(Headers(scope=scope))
        if self._running >= MAX_REQUESTS or self._running_large + large > MAX_LARGE_REQUESTS:
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            refused = JSONResponse({"detail": "the server is busy, try again"}, 503, headers)
            await refused(scope, receive, send)
            return
        self._running += 1
        self._running_large += large
        try:
            # Those who came at the same moment are counted before the first of them is answered.
            await asyncio.sleep(0)
            await self._app(scope, receive, send)
        finally:
            self._running -= 1
            self._running_large -= large


def _is_large(headers: Headers) -> bool:
    """Tell whether a body is large; of one that comes in pieces nobody knows."""
    length = headers.get("content-length", "")
    return int(length) > LARGE_BYTES if length.isdecimal() else "transfer-encoding" in headers
