"""Answers requests for predictions, before and without the framework that has the other paths.

Routing, dependencies and response classes cost several times what a prediction does.
"""

import asyncio
import json
import math
from collections.abc import Sequence
from http import HTTPMethod

from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from .admission import LARGE_BYTES
from .customer import Customer, CustomerSchema, field_errors
from .monitoring import Monitor
from .turns import Turns

PREDICT = "/predict"
# A request may have thousands of errors; at most this many are returned.
MAX_ERRORS = 100
JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; charset=utf-8")


class Predictions:
    """ASGI application that answers POST /predict, and passes all else on.

    Parameters
    ----------
    app
        Has the other paths and methods.
    threshold
        A customer at or above it is predicted to churn.
    schema
        Of a customer.
    turns
        Of the model.
    monitor
        Counts customers and predictions.
    """

    def __init__(
        self,
        app: ASGIApp,
        threshold: float,
        schema: CustomerSchema,
        turns: Turns,
        monitor: Monitor,
    ) -> None:
        self._app = app
        self._threshold = threshold
        self._schema = schema
        self._turns = turns
        self._monitor = monitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["path"] != PREDICT
            or scope["method"] != HTTPMethod.POST
        ):
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            return
        try:
            status, content = await self.answer(body)
        except Exception:
            await _respond(send, 500, TEXT, b"Internal Server Error")
            raise
        await _respond(send, status, JSON, content)

    async def answer(self, body: bytes) -> tuple[int, bytes]:
        """Return the status and the JSON of the response to a request.

        Raises
        ------
        Exception
            What the owner's features raise.
        """
        # For a few customers a prediction is faster than waking a thread.
        if len(body) > LARGE_BYTES:
            return await asyncio.to_thread(self._answer_large, body)
        try:
            customers = self._parse(body)
        except ValidationError as error:
            return self._refused(error)
        return self._answered(body, customers, await self._turns.probabilities(customers))

    def _answer_large(self, body: bytes) -> tuple[int, bytes]:
        try:
            customers = self._parse(body)
        except ValidationError as error:
            return self._refused(error)
        return self._answered(body, customers, self._turns.run(customers))

    def _parse(self, body: bytes) -> list[Customer]:
        if _is_list(body):
            return self._schema.parse_many(body)
        return [self._schema.parse_one(body)]

    def _answered(
        self, body: bytes, customers: Sequence[Customer], probabilities: Sequence[float]
    ) -> tuple[int, bytes]:
        self._monitor.count(customers, probabilities)
        content = ",".join(map(self._json, probabilities))
        return 200, (f"[{content}]" if _is_list(body) else content).encode()

    def _json(self, probability: float) -> str:
        """Return one prediction; `ValueError` for a probability that JSON cannot hold."""
        if not math.isfinite(probability):
            raise ValueError(f"the model gives the probability {probability}")
        churn = "true" if probability >= self._threshold else "false"
        return f'{{"churn_probability":{probability!r},"churn":{churn}}}'

    def _refused(self, error: ValidationError) -> tuple[int, bytes]:
        errors = field_errors(error)
        for one in errors:
            self._monitor.refuse(one["field"].rpartition(".")[2], one["rule"])
        content = {"count": error.error_count(), "detail": errors[:MAX_ERRORS]}
        return 422, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _is_list(body: bytes) -> bool:
    return body.lstrip()[:1] == b"["


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body of a request; None if its client has gone."""
    parts = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _respond(send: Send, status: int, kind: tuple[bytes, bytes], content: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(content)), kind]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
