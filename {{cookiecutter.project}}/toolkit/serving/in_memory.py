"""Sends a request for predictions through the server's connection, without a socket."""

import asyncio
from typing import Any

import httptools
from starlette.types import ASGIApp

from .connection import Connection, configuration
from .limits import Connections, Limits
from .prediction import PREDICT


async def post(app: ASGIApp, body: bytes, path: str = PREDICT) -> tuple[int, bytes]:
    """Return the status and the body of the response to a client of an application.

    Parameters
    ----------
    app
    body
        JSON, as a client sends it to /predict.
    path
        With the query, if there is one.
    """
    config = configuration(app, "", 0)
    # What is asked here may be longer than a client's request.
    limits = Limits(body_bytes=len(body))
    config.load()
    connection = Connection(config, Connections(limits), {}, asyncio.get_running_loop())
    client = _Client()
    connection.connection_made(client)
    connection.data_received(
        f"POST {path} HTTP/1.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
    )
    connection.data_received(body)
    try:
        return await client.response
    finally:
        connection.connection_lost(None)


class _Client(asyncio.Transport):
    """The other end of a connection: it keeps the response to its one request."""

    def __init__(self) -> None:
        super().__init__()
        self.response: asyncio.Future[tuple[int, bytes]] = (
            asyncio.get_running_loop().create_future()
        )
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    def write(self, data: Any) -> None:
        """Take what the server sends."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Keep the response."""
        self.response.set_result((self._parser.get_status_code(), self._body))

    def is_closing(self) -> bool:
        """Return that the client stays."""
        return False

    def pause_reading(self) -> None:
        """Send no more, which it does not anyway."""

    def resume_reading(self) -> None:
        """Send again."""

    def write_eof(self) -> None:
        """Take no more."""

    def close(self) -> None:
        """End."""

    def abort(self) -> None:
        """End."""
