"""What clients may take of a server: bytes, time, memory and connections."""

import asyncio
import ctypes
import logging
import os
import resource
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from uvicorn.server import ServerState

from .logs import FIELDS

LOG = logging.getLogger(__name__)

MIB = 1024 * 1024
# Room for the longest allowed list of customers in verbose JSON.
MAX_BODY_BYTES = 8 * MIB
# After so many unfinished requests the freed memory is given back, once their connections are gone.
MANY_UNFINISHED = 100
GIVE_BACK_AFTER_S = 1.0


@dataclass(frozen=True)
class Limits:
    """What clients may take of a server.

    Parameters
    ----------
    header_bytes, body_bytes : int
        The longest header, with the request line, and the longest body.
    request_s : float
        Seconds from a request's first byte to its last; shorter than a supervisor or a cluster
        waits for a draining server.
    unread, unread_s : int, float
        How many long responses may wait for their clients to read on, and for how many seconds.
    unfinished, unfinished_bytes : int
        How many requests may be unfinished, and their bytes together; beyond it the oldest ends.
    connections : int
        How many connections may be open; beyond it the one that has waited longest is closed.
    pipelined : int
        How many requests a client may send before the first is answered.
    """

    header_bytes: int = 32 * 1024
    body_bytes: int = MAX_BODY_BYTES
    request_s: float = 15.0
    unread: int = 128
    unread_s: float = 20.0
    unfinished: int = 4096
    unfinished_bytes: int = 64 * MIB
    connections: int = 8192
    pipelined: int = 16


def raise_file_limit(connections: int) -> int:
    """Raise this process' limit of open files for so many connections; return how many fit.

    Half of the files are left: for the connections that arrive at once before others are closed,
    and for all else.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else min(connections, soft // 2)


def give_memory_back() -> None:
    """Let the C library return freed memory that lies between used memory, where it is glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Waiting(Protocol):
    """A connection that waits for its client."""

    transport: asyncio.Transport

    def expire(self) -> None:
        """End it, and tell its client."""


class Connections(ServerState):
    """A server's connections, among them those that wait for a whole request, the oldest first.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.idle: dict[Waiting, None] = {}
        self.unfinished: dict[Waiting, int] = {}
        self.unfinished_bytes = 0
        self.unread: dict[Waiting, None] = {}
        self._most_unfinished = 0
        self._has_files = True
        # Registered by the application.
        self.metrics = CollectorRegistry()
        self.refused = Counter(
            "churn_refused_requests",
            "Requests that did not arrive whole",
            ("status",),
            registry=self.metrics,
        )
        self.out_of_files = Counter(
            "churn_out_of_files",
            "How often no file and no connection could be opened",
            registry=self.metrics,
        )
        # process_open_fds and process_max_fds, where the system tells.
        ProcessCollector(registry=self.metrics)

    def note_files(self) -> None:
        """Log and count that no file can be opened: then connections end without an answer."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if self._has_files:
                self.out_of_files.inc()
                fields = {"reason": error.strerror}
                LOG.error("no connection can be accepted", extra={FIELDS: fields})
            self._has_files = False
        else:
            if not self._has_files:
                LOG.warning("connections can be accepted again")
            self._has_files = True

    def forget(self, connection: Waiting) -> None:
        """Count a connection no longer: it has sent a whole request, or it is closed."""
        self.idle.pop(connection, None)
        self.unfinished_bytes -= self.unfinished.pop(connection, 0)
        if not self.unfinished and self._most_unfinished >= MANY_UNFINISHED:
            self._most_unfinished = 0
            asyncio.get_running_loop().call_later(GIVE_BACK_AFTER_S, give_memory_back)

    def keep_idle(self, connection: Waiting) -> None:
        """Count a connection that has sent nothing of a next request."""
        self.forget(connection)
        self.idle[connection] = None

    def keep_unfinished(self, connection: Waiting, received: int) -> None:
        """Count a connection that has sent some bytes of a request; its age is kept."""
        self.idle.pop(connection, None)
        self.unfinished_bytes += received - self.unfinished.get(connection, 0)
        self.unfinished[connection] = received
        self._most_unfinished = max(self._most_unfinished, len(self.unfinished))

    def keep_unread(self, connection: Waiting) -> None:
        """Count a connection whose client does not read; of too many the oldest is dropped."""
        self.unread[connection] = None
        if len(self.unread) > self.limits.unread:
            oldest = next(iter(self.unread))
            del self.unread[oldest]
            oldest.transport.abort()

    def make_room(self) -> None:
        """Close the connections that have waited longest while there are too many."""
        limits = self.limits
        while (
            len(self.unfinished) > limits.unfinished
            or self.unfinished_bytes > limits.unfinished_bytes
        ):
            next(iter(self.unfinished)).expire()
        while len(self.connections) > limits.connections and (self.unfinished or self.idle):
            next(iter(self.unfinished or self.idle)).expire()
