"""Limits the number of concurrent requests; the others get 503 at once."""

import asyncio
from collections.abc import Iterable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# A prediction takes a fraction of a millisecond, so the last of these waits some hundredths of a
# second.
MAX_REQUESTS = 128
# A large list of customers takes a thread of its own; the threads share the processor.
MAX_LARGE_REQUESTS = 4
LARGE_BYTES = 64 * 1024
BUSY = JSONResponse({"detail": "the server is busy, try again"}, 503, {"Retry-After": "1"})


class Admission:
    """ASGI middleware that limits the number of concurrent requests for one path.

    Without a limit every request waits for all others, and above some load none is answered before
    its client times out.

    Parameters
    ----------
    app
        The wrapped application.
    path
        The limited path; all others are always admitted, so that a probe or a scrape sees a busy
        server as alive.
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
        large = _is_large(scope["headers"])
        if not self.enter(large):
            await BUSY(scope, receive, send)
            return
        try:
            # Requests that arrive together are all counted before the first is answered.
            await asyncio.sleep(0)
            await self._app(scope, receive, send)
        finally:
            self.leave(large)

    def enter(self, large: bool = False) -> bool:
        """Count a request that begins, and return whether it is admitted; if not, it has ended."""
        if self._running >= MAX_REQUESTS or self._running_large + large > MAX_LARGE_REQUESTS:
            return False
        self._running += 1
        self._running_large += large
        return True

    def leave(self, large: bool = False) -> None:
        """Count an admitted request that has ended."""
        self._running -= 1
        self._running_large -= large


def _is_large(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a body is large; a chunked one, whose size is unknown, counts as large."""
    chunked = False
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value) > LARGE_BYTES
        chunked = chunked or name == b"transfer-encoding"
    return chunked
