"""The server's side of a connection: only whole requests reach the application, within limits.

By itself uvicorn calls the application as soon as a request's header has arrived, and limits
neither its size nor the time that header and body take. Clients that send slowly, or stop, would
hold places among the requests under way; one unfinished header could fill the memory.
"""

import asyncio
import json
import logging
import random
from typing import Any

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from .limits import Connections
from .logs import FIELDS
from .service import Headers, Service

# Longer than a keep-alive client pauses: a server that closes first may lose its next request.
KEEP_ALIVE_S = 75
# How long the sender of a refused request has to read the response before the connection ends.
LINGER_S = 2.0
# How much longer than its limit a request may take.
LONGEST_EXTENSION = 5 / 3

LOG = logging.getLogger(__name__)


class Refusal(Exception):
    """A request beyond a limit: its status, and what its client is told."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


class Connection(HttpToolsProtocol):
    """uvicorn's connection within the limits of its server's `Connections`."""

    server_state: Connections

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.limits = self.server_state.limits
        self._service = self.app if isinstance(self.app, Service) else None
        # Of the request that is arriving: its bytes (some may count for the one before), and those
        # of its header.
        self._received = 0
        self._header_bytes = 0
        self._begun = False
        self._header_complete = False
        # The application that gets it once it is whole.
        self._application: ASGI3Application | None = None
        self._answered: RequestResponseCycle | None = None
        self._ended = False
        self._unread: asyncio.TimerHandle | None = None

    # What uvicorn or the event loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._end_after(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self.server_state.keep_idle(self)
        self.server_state.make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._ended = True
        # A request that never started refers to this connection, and would keep its body with it
        # until the garbage collector comes.
        self._application = self._answered = None
        self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()
        self.server_state.forget(self)
        self._unset_keepalive_if_required()
        self._stop_reading_timer()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, and refuse a request beyond a limit."""
        if self._ended:
            return
        if not self._received:
            self._unset_keepalive_if_required()
        self._received += len(data)
        try:
            self.parser.feed_data(data)
            self._check_size()
        except httptools.HttpParserUpgrade:
            pass  # Answered as if it had not asked; what it sends in the other protocol expires.
        except httptools.HttpParserError as error:
            cause = error.__context__
            wrong = Refusal(400, "the request is not valid HTTP")
            self._refuse(cause if isinstance(cause, Refusal) else wrong)
        except Refusal as refusal:
            self._refuse(refusal)
        self._wait()

    def on_message_begin(self) -> None:
        """Count a new request."""
        super().on_message_begin()
        self._begun, self._header_complete, self._header_bytes = True, False, 0
        # It may begin in the bytes that complete the request before.
        self._received = max(self._received, 1)

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's address."""
        self._count_header(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that follows a body (a trailer) is none, and ignored."""
        self._count_header(len(name) + len(value))
        if not self._header_complete:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Queue the request, unless its body will be too long."""
        self._header_complete = True
        if len(self.pipeline) >= self.limits.pipelined:
            raise Refusal(400, "too many requests at once on one connection")
        lengths = [int(value) for name, value in self.headers if name == b"content-length"]
        if lengths and lengths[0] > self.limits.body_bytes:
            raise self._too_long()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body. uvicorn would stop reading until the application does."""
        if len(self.cycle.body) + len(body) > self.limits.body_bytes:
            raise self._too_long()
        self.cycle.body += body

    def on_message_complete(self) -> None:
        """Start the application."""
        super().on_message_complete()
        self._begun, self._received = False, 0
        application, self._application = self._application, None
        if application is not None:
            self._start_asgi_task(self.cycle, application)

    def on_response_complete(self) -> None:
        """Start the next request, or wait for it."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._end_after(self.limits.unread_s, self.transport.abort)
        else:
            self._wait()

    def shutdown(self) -> None:
        """Close the connection, but let a request that has begun arrive, and be the last."""
        if not self._received:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for too long."""
        self._close()

    def pause_writing(self) -> None:
        """Give the client time to read on."""
        super().pause_writing()
        self.server_state.keep_unread(self)
        self._unread = self.loop.call_later(self.limits.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        super().resume_writing()
        self._stop_reading_timer()

    def expire(self) -> None:
        """End a connection that has waited for too long, or that others need the room of."""
        if self._begun and not self._ended:
            detail = (
                f"the request was not complete in time: send it within {self.limits.request_s:g} s"
            )
            self._respond(Refusal(408, detail))
        self._close()

    # The rest

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start the application for a whole request; of another, let the body come."""
        if not cycle.more_body:
            self._answered = cycle
            service = self._service
            # A client that does not read must wait, which only a task can.
            whole, scope = bytes(cycle.body), cycle.scope
            if (
                service is not None
                and service.takes(scope["method"], scope["path"], scope["query_string"], whole)
                and not self.flow.write_paused
            ):
                service.predict(scope["headers"], whole, self._reply)
            else:
                super()._start_asgi_task(cycle, app)
            return
        self._application = app
        if cycle.waiting_for_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False

    def _reply(self, status: int, headers: Headers, content: bytes) -> None:
        """Write the response to the request that is being answered, at once and whole.

        uvicorn takes two messages for it, and looks through each header.
        """
        cycle = self._answered
        if cycle is None or cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        if (b"connection", b"close") in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            headers = [*headers, (b"connection", b"close")]
        self.transport.write(self._head(status, headers) + content)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _head(self, status: int, headers: Headers) -> bytes:
        every = [*self.server_state.default_headers, *headers]
        lines = [b"%b: %b\r\n" % header for header in every]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n"])

    def _is_answering(self) -> bool:
        return self._answered is not None and not self._answered.response_complete

    def _count_header(self, length: int) -> None:
        self._header_bytes += length
        if self._header_bytes > self.limits.header_bytes:
            raise self._long_header()

    def _check_size(self) -> None:
        """Limit what no callback has counted yet: one long header, or the framing of chunks."""
        if not self._header_complete and self._received > self.limits.header_bytes:
            raise self._long_header()
        if self._received > self.limits.header_bytes + self.limits.body_bytes:
            raise self._too_long()

    def _long_header(self) -> Refusal:
        return Refusal(431, f"the header is longer than {self.limits.header_bytes} bytes")

    def _too_long(self) -> Refusal:
        limit = self.limits.body_bytes
        return Refusal(413, f"the body is longer than {limit} bytes: send fewer at a time")

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse the request that is arriving; it is the last."""
        self._ended = True
        self._application = None
        if self._is_answering():
            # The client would take a refusal for the response to the earlier request.
            assert self._answered is not None
            self.pipeline.clear()
            self._answered.keep_alive = False
            return
        self._respond(refusal)
        # A connection that is closed while its client sends is reset, and the response lost: what
        # still comes is read, and ignored.
        self.transport.write_eof()
        self._end_after(LINGER_S, self.transport.abort)

    def _respond(self, refusal: Refusal) -> None:
        body = json.dumps({"detail": refusal.detail}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        self.transport.write(self._head(refusal.status, headers) + body)
        self.server_state.refused.labels(refusal.status).inc()
        LOG.info("refused", extra={FIELDS: {"status": refusal.status, "reason": refusal.detail}})

    def _wait(self) -> None:
        """Wait for a whole request, unless one is being answered or the connection ends."""
        if self._is_answering():
            self.server_state.forget(self)
            if self._received:
                # What the client sends ahead waits in the network, not in memory.
                self.flow.pause_reading()
        elif self._ended or self._received:
            if self not in self.server_state.unfinished and not self._ended:
                # Many that began together end one after another: others are answered between them.
                seconds = self.limits.request_s * random.uniform(1, LONGEST_EXTENSION)
                self._end_after(seconds, self.expire)
            self.server_state.keep_unfinished(self, self._received)
            self.server_state.make_room()
        else:
            self.server_state.keep_idle(self)

    def _close(self) -> None:
        self._ended = True
        self.server_state.forget(self)
        self.server_state.connections.discard(self)
        self.transport.close()
        self._end_after(self.limits.unread_s, self.transport.abort)

    def _end_after(self, seconds: float, end: Any) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, end)

    def _stop_reading_timer(self) -> None:
        self.server_state.unread.pop(self, None)
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def configuration(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    """Return how uvicorn serves an application."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        # The application logs each request once, with its id and its duration.
        access_log=False,
        log_config=None,
        server_header=False,
        # Nobody asks for a client's address.
        proxy_headers=False,
        lifespan="off",
        loop="uvloop",
        http=Connection,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
    )
