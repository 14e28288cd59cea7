"""Counts, times and logs requests, and names the release in every response."""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Collection, Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .drain import Drain
from .logs import FIELDS, timestamp

# Predictions take less than a millisecond, and Prometheus' default buckets start at five. Each
# bound is a quarter above the one before (Renard's series R10): wider buckets would hide a slower
# tail.
STEPS = ("1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8")
FASTEST_S, SLOWEST_S = 0.0005, 2.5
LATENCY_BUCKETS_S = tuple(
    bound
    for bound in (float(f"{step}e{power}") for power in range(-4, 1) for step in STEPS)
    if FASTEST_S <= bound <= SLOWEST_S
)
# Clients choose paths freely: an unknown one must not become a time series of its own.
OTHER_PATH = "other"
# A client's request id; any other text could forge a log line, and is replaced.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
REQUEST_ID_HEADER = b"x-request-id"

LOG = logging.getLogger(__name__)


class Observation:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    app
        The wrapped application.
    paths
        The paths that are counted by name.
    registry
        The registry of the metrics.
    drain
        Whether responses ask clients to reconnect.
    release
        The value of the header ``X-Release`` of every response.
    write_line
        Takes the line of JSON that tells of a request.
    """

    def __init__(
        self,
        app: ASGIApp,
        paths: Collection[str],
        registry: CollectorRegistry,
        drain: Drain,
        release: str,
        write_line: Callable[[str], None],
    ) -> None:
        self._app = app
        self._paths = frozenset(paths)
        self._drain = drain
        self._release = json.dumps(release)
        self._write_line = write_line
        self._headers = [(b"x-release", release.encode())]
        self._last_headers = [*self._headers, (b"connection", b"close")]
        self._requests = Counter(
            "churn_requests", "Requests answered", ("path", "status"), registry=registry
        )
        self._latency = Histogram(
            "churn_request_seconds",
            "Time from a whole request to the end of its response",
            ("path",),
            registry=registry,
            buckets=LATENCY_BUCKETS_S,
        )
        # A look-up takes longer than counting; paths and statuses are few.
        self._count, self._time = cache(self._requests.labels), cache(self._latency.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else OTHER_PATH
        name = request_id(scope["headers"])
        started = time.perf_counter()
        status = 0
        failure = None

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self.headers(name)]
            await send(message)

        try:
            await self._app(scope, receive, observe)
        except Exception as error:  # The client has got a 500; the log gets the exception.
            failure = error
        self.note(scope["method"], path, status, started, name, failure)

    def headers(self, name: str) -> list[tuple[bytes, bytes]]:
        """Return the headers that the response to a request of this id gets besides its own."""
        own = self._last_headers if self._drain.closes else self._headers
        return [*own, (REQUEST_ID_HEADER, name.encode())]

    def note(
        self,
        method: str,
        path: str,
        status: int,
        started: float,
        name: str,
        error: Exception | None,
    ) -> None:
        """Count, time and log a request that has been answered.

        Parameters
        ----------
        path
            One that is counted by name, or `OTHER_PATH`.
        started
            When it was whole, by `time.perf_counter`.
        name
            Its id.
        error
            What the application has raised.
        """
        seconds = time.perf_counter() - started
        self._count(path, status).inc()
        self._time(path).observe(seconds)
        if error is not None:
            fields = {"request_id": name, "method": method, "path": path}
            LOG.error("the request failed", exc_info=error, extra={FIELDS: fields})
        # A GET is a probe or a scrape: frequent, and only of interest when it fails.
        if method != "GET" or status >= 400:
            # What json.dumps would make of it, in a third of the time.
            self._write_line(
                f'{{"time": "{timestamp(time.time())}", "level": "info", "event": "request", '
                f'"request_id": "{name}", "method": "{method}", "path": "{path}", '
                f'"release": {self._release}, "status": {status}, '
                f'"ms": {round(seconds * 1000, 3)}}}\n'
            )


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that a client has given a request, or a new one."""
    for name, value in headers:
        if name == REQUEST_ID_HEADER:
            given = value.decode("latin-1")
            return given if REQUEST_ID.fullmatch(given) else _new_id()
    return _new_id()


def _new_id() -> str:
    return os.urandom(8).hex()
