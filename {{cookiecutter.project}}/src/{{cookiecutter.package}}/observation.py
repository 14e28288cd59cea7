"""Counts requests and their latencies, and tells clients which release has answered them."""

import time
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .drain import Drain

# Predictions take less than a millisecond: Prometheus' own buckets begin at five.
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Clients choose paths freely: unknown ones must not become a time series each.
OTHER_PATH = "other"


class Observation:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    app
        What it is around.
    paths
        The paths that are counted by name.
    registry
        Where the metrics are registered.
    drain
        Tells when the server is on its way out: then clients are asked to connect anew.
    release
        What every answer names in its header ``X-Release``.
    """

    def __init__(
        self,
        app: ASGIApp,
        paths: Collection[str],
        registry: CollectorRegistry,
        drain: Drain,
        release: str,
    ) -> None:
        self._app = app
        self._paths = frozenset(paths)
        self._drain = drain
        self._headers = [(b"x-release", release.encode())]
        self._last_headers = [*self._headers, (b"connection", b"close")]
        self._requests = Counter(
            "churn_requests", "Requests answered", ("path", "status"), registry=registry
        )
        self._latency = Histogram(
            "churn_request_seconds",
            "Time from a request's header to its answer's",
            ("path",),
            registry=registry,
            buckets=LATENCY_BUCKETS_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else OTHER_PATH
        started = time.perf_counter()

        async def observe(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = self._last_headers if self._drain.begun else self._headers
                message["headers"] = [*message["headers"], *own]
                self._requests.labels(path, message["status"]).inc()
                self._latency.labels(path).observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, observe)
