"""A uvicorn server that is told to stop and loses no request on the way out."""

import asyncio
import socket
from dataclasses import dataclass
from types import FrameType

import uvicorn

GRACE_S = 1.0


@dataclass
class Drain:
    """Whether the server is on its way out: set by the server, read by the application."""

    begun: bool = False


class DrainingServer(uvicorn.Server):
    """Drains on the first SIGTERM or SIGINT.

    Left alone, uvicorn closes idle connections at once, and a request that is on its way there
    meets a closed door. So first nothing new is accepted here (who else holds the listening socket
    accepts on), and for `GRACE_S` every answer tells its client to connect anew; then uvicorn
    finishes what is running and stops.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, and remember the loop that a signal must wake."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal does not hurry it."""
        if self._loop is None:  # Nothing was accepted yet.
            self.should_exit = True
        elif not self._drain.begun:
            self._drain.begun = True
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        for server in self.servers:
            server.close()
        asyncio.get_running_loop().call_later(GRACE_S, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
