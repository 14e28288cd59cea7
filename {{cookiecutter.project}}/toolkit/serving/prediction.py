"""Answers requests for predictions: from their bodies to those of the responses."""

import asyncio
import collections
import json
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from .admission import LARGE_BYTES
from .customer import MAX_QUOTED_CHARACTERS, Customer, CustomerSchema, field_errors
from .explanation import Explainer
from .monitoring import Answered, Monitor
from .turns import Turns

PREDICT = "/predict"
# The parameter of a request that wants its predictions explained.
EXPLAIN = "explain"
# A request may have thousands of errors; at most this many are returned.
MAX_ERRORS = 100
MAX_CONTRIBUTIONS = 100
COUNTS = {str(count): count for count in range(1, MAX_CONTRIBUTIONS + 1)}
JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"

LOG = logging.getLogger(__name__)


class Response(NamedTuple):
    """The response to a request for predictions.

    Attributes
    ----------
    error
        What the owner's features have raised: the client gets a 500, and the log the error.
    """

    status: int
    content: bytes
    content_type: bytes = JSON
    error: Exception | None = None


Respond = Callable[[Response], None]


class Predictions:
    """Answers requests for predictions.

    Parameters
    ----------
    threshold
        A customer at or above it is predicted to churn.
    schema
        Of a customer.
    turns
        Of the model.
    monitor
        Counts customers and predictions.
    explainer
        Of the same model.
    """

    def __init__(
        self,
        threshold: float,
        schema: CustomerSchema,
        turns: Turns,
        monitor: Monitor,
        explainer: Explainer,
    ) -> None:
        self._threshold = threshold
        self._schema = schema
        self._turns = turns
        self._monitor = monitor
        self._explainer = explainer
        self._waiting: collections.deque[tuple[bytes, Respond]] = collections.deque()

    async def answer(self, body: bytes) -> Response:
        """Return the response to a request, whose body may be large."""
        if len(body) > LARGE_BYTES:
            return await asyncio.to_thread(self._answer, body)
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.ask(body, lambda response: None if future.done() else future.set_result(response))
        return await future

    def _answer(self, body: bytes) -> Response:
        [response], answered = self.responses([body])
        self._monitor.count(answered)
        return response

    async def explain(self, body: bytes, wanted: str) -> Response:
        """Return the response to a request that wants each prediction explained.

        Parameters
        ----------
        wanted
            How many contributions, at most: a number from 1 to `MAX_CONTRIBUTIONS` as text.
        """
        return await asyncio.to_thread(self._explained, body, wanted)

    def _explained(self, body: bytes, wanted: str) -> Response:
        if wanted not in COUNTS:
            quoted = wanted[:MAX_QUOTED_CHARACTERS]
            reason = f"Input should be a whole number from 1 to {MAX_CONTRIBUTIONS}"
            error = {"field": EXPLAIN, "value": quoted, "rule": "contributions", "reason": reason}
            return _refusal(1, [error])
        customers = self._parsed(body)
        if isinstance(customers, Response):
            return customers
        try:
            [said] = self._turns.probabilities([customers])
            if isinstance(said, Exception):
                return _failed(said)
            explanations = self._explainer.explain(customers, COUNTS[wanted])
            self._monitor.count(list(zip(customers, said, strict=True)))
            answers = [
                f'{self._json(probability)[:-1]},"explanation":{_json(one.as_json())}}}'
                for probability, one in zip(said, explanations, strict=True)
            ]
        except Exception as error:  # The owner's code may raise anything.
            return _failed(error)
        content = ",".join(answers)
        return Response(200, (f"[{content}]" if _is_list(body) else content).encode())

    def ask(self, body: bytes, respond: Respond) -> None:
        """Respond to a request after this turn of the event loop, with all others of the turn.

        For a few customers a prediction is faster than waking a thread.
        """
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._respond)
        self._waiting.append((body, respond))

    def _respond(self) -> None:
        """Respond to the requests that wait, up to `LARGE_BYTES` and one request more."""
        bodies: list[bytes] = []
        waiting: list[Respond] = []
        size = 0
        while self._waiting and size < LARGE_BYTES:
            body, respond = self._waiting.popleft()
            bodies.append(body)
            waiting.append(respond)
            size += len(body)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._respond)
        try:
            responses, answered = self.responses(bodies)
        except Exception as error:  # A mistake of the server: without an answer they would wait.
            responses, answered = [_failed(error)] * len(bodies), []
        for respond, response in zip(waiting, responses, strict=True):
            try:
                respond(response)
            except Exception:  # It is one client's; the others get theirs.
                LOG.exception("a response could not be sent")
        # Nobody waits for it.
        self._monitor.count(answered)

    def responses(self, bodies: Sequence[bytes]) -> tuple[list[Response], list[Answered]]:
        """Return the responses to requests, each as if it had been asked alone, and who is told.

        Returns
        -------
        responses
            One for each request.
        answered
            The valid customers of all requests with their probabilities, to be counted.
        """
        parsed = [self._parsed(body) for body in bodies]
        valid = [customers for customers in parsed if not isinstance(customers, Response)]
        said = self._turns.probabilities(valid)
        answered: list[Answered] = [
            pair
            for customers, probabilities in zip(valid, said, strict=True)
            if not isinstance(probabilities, Exception)
            for pair in zip(customers, probabilities, strict=True)
        ]
        following = iter(said)
        responses = [
            one if isinstance(one, Response) else self._response(body, next(following))
            for body, one in zip(bodies, parsed, strict=True)
        ]
        return responses, answered

    def _parsed(self, body: bytes) -> list[Customer] | Response:
        """Return the customers of a request, or the response that refuses it."""
        try:
            if _is_list(body):
                return self._schema.parse_many(body)
            return [self._schema.parse_one(body)]
        except ValidationError as error:
            return self._refused(error)
        except Exception as error:  # Of this request alone.
            return _failed(error)

    def _response(self, body: bytes, said: list[float] | Exception) -> Response:
        if isinstance(said, Exception):
            return _failed(said)
        try:
            content = ",".join(map(self._json, said))
        except Exception as error:  # Of this request alone.
            return _failed(error)
        return Response(200, (f"[{content}]" if _is_list(body) else content).encode())

    def _json(self, probability: float) -> str:
        """Return one prediction; `ValueError` for a probability that JSON cannot hold."""
        if not math.isfinite(probability):
            raise ValueError(f"the model gives the probability {probability}")
        churn = "true" if probability >= self._threshold else "false"
        return f'{{"churn_probability":{probability!r},"churn":{churn}}}'

    def _refused(self, error: ValidationError) -> Response:
        errors = field_errors(error)
        for one in errors:
            self._monitor.refuse(one["field"].rpartition(".")[2], one["rule"])
        return _refusal(error.error_count(), errors[:MAX_ERRORS])


def _refusal(count: int, errors: Sequence[dict[str, Any]]) -> Response:
    return Response(422, _json({"count": count, "detail": errors}).encode())


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _failed(error: Exception) -> Response:
    return Response(500, b"Internal Server Error", TEXT, error)


def _is_list(body: bytes) -> bool:
    return body.lstrip()[:1] == b"["
