"""A uvicorn server that loses no request when it shuts down."""

import asyncio
import socket
from dataclasses import dataclass
from types import FrameType

import uvicorn

from .limits import Connections

GRACE_S = 1.0
# As many connections are accepted in one turn of the event loop; the turn also answers the requests
# that have arrived, so one at a time a hundred new clients would wait for a hundred full turns.
ACCEPTED_A_TURN = 8


@dataclass
class Drain:
    """Whether clients shall reconnect: set by the server, read by the application.

    Parameters
    ----------
    begun : bool
        Whether the server is shutting down.
    of_canary : bool
        Whether it is compared with another server: a client that kept its connection would load
        one of the two for as long as it lives.
    """

    begun: bool = False
    of_canary: bool = False

    @property
    def closes(self) -> bool:
        """Whether each response is the last one of its connection."""
        return self.begun or self.of_canary


class DrainingServer(uvicorn.Server):
    """Drains on the first SIGTERM or SIGINT.

    By itself uvicorn closes idle connections at once, and a request already on its way to one is
    lost. So this server first stops accepting connections (others that share the listening socket
    go on), and for `GRACE_S` every response asks its client to reconnect; then uvicorn finishes the
    running requests and stops.

    Parameters
    ----------
    config : uvicorn.Config
        With `toolkit.serving.connection.Connection` as its protocol.
    drain : Drain
    connections : Connections
    """

    def __init__(self, config: uvicorn.Config, drain: Drain, connections: Connections) -> None:
        super().__init__(config)
        self.server_state = self._connections = connections
        self._drain = drain
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, and keep the event loop for the signal handler.

        Parameters
        ----------
        sockets
            To listen on; libuv accepts one connection a turn by each descriptor, so they are
            duplicated.
        """
        repeated = [one.dup() for one in sockets or () for _ in range(ACCEPTED_A_TURN)]
        await super().startup(repeated or None)
        self._loop = asyncio.get_running_loop()

    async def on_tick(self, counter: int) -> bool:
        """Look after the limits, ten times a second; return whether to stop."""
        self._connections.note_files()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start draining; a second signal does not shorten it."""
        if self._loop is None:  # No connection was accepted yet.
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
