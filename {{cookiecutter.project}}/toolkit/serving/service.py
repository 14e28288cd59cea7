"""The server's application: all paths through ASGI, and a shorter way to most predictions."""

import asyncio
import time
from collections.abc import Callable, Iterable
from http import HTTPMethod

from starlette.types import ASGIApp, Receive, Scope, Send

from .admission import BUSY, LARGE_BYTES, Admission
from .observation import Observation, request_id
from .prediction import PREDICT, Predictions, Response

Headers = list[tuple[bytes, bytes]]


class Service:
    """ASGI application that also answers a whole request for predictions without a task.

    A task, the messages of ASGI, routing and response classes cost several times what a prediction
    does. Both ways share what is counted, limited and answered.

    Parameters
    ----------
    app
        Has all paths.
    admission, observation
        Of this application too.
    predictions
        Whose answers it gives.
    """

    def __init__(
        self,
        app: ASGIApp,
        admission: Admission,
        observation: Observation,
        predictions: Predictions,
    ) -> None:
        self._app = app
        self._admission = admission
        self._observation = observation
        self._predictions = predictions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def takes(self, method: str, path: str, query: bytes, body: bytes) -> bool:
        """Return whether `predict` is for a request; what takes a thread is not."""
        if query or len(body) > LARGE_BYTES:
            return False
        return path == PREDICT and method == HTTPMethod.POST

    def predict(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        respond: Callable[[int, Headers, bytes], None],
    ) -> None:
        """Respond to a request for predictions after this turn of the event loop.

        Parameters
        ----------
        headers, body
            Of the request.
        respond
            Takes the status, the headers and the body of the response, once.
        """
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        name = request_id(headers)

        def finish(response: Response) -> None:
            self._admission.leave()
            length = (b"content-length", b"%d" % len(response.content))
            kind = (b"content-type", response.content_type)
            close(response.status, [length, kind], response.content, response.error)

        def close(status: int, own: Headers, content: bytes, error: Exception | None) -> None:
            respond(status, [*own, *self._observation.headers(name)], content)
            self._observation.note(HTTPMethod.POST, PREDICT, status, started, name, error)

        def refuse() -> None:
            close(BUSY.status_code, BUSY.raw_headers, bytes(BUSY.body), None)

        if self._admission.enter():
            self._predictions.ask(body, finish)
        else:
            loop.call_soon(refuse)
