"""The server of one model without a socket, and what the plain path answers in its place.

The plain path is one request alone: contract, model and Starlette's JSON, or all of FastAPI.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httptools
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from starlette.responses import JSONResponse
from starlette.types import Message, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from toolkit.data import dataset as datasets
from toolkit.data import reference, table
from toolkit.data.contract import Contract
from toolkit.model import training
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.serving.api import create_app
from toolkit.serving.connection import Connection, configuration
from toolkit.serving.customer import CustomerSchema, field_errors
from toolkit.serving.drain import Drain
from toolkit.serving.limits import Connections, Limits
from toolkit.serving.prediction import MAX_ERRORS, PREDICT
from toolkit.serving.turns import answers_alike

VERSION = {"release": None, "commit": None, "digest": None, "model_sha256": "0"}

Answer = tuple[int, bytes]


class Client(asyncio.Transport):
    """The other end of a connection that has no socket: it keeps what it is sent.

    Parameters
    ----------
    requests
        How many responses it waits for.
    """

    def __init__(self, requests: int) -> None:
        super().__init__()
        self.got = b""
        self.answers: list[Answer] = []
        self.answered = asyncio.Event()
        self._requests = requests
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    def write(self, data: Any) -> None:
        self.got += data
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.answers.append((self._parser.get_status_code(), self._body))
        self._body = b""
        if len(self.answers) == self._requests:
            self.answered.set()

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Served:
    """The application of a model that is trained on a contract's table.

    Attributes
    ----------
    customers
        Every row of the table, as a request has it.
    is_alike
        Whether the server asks the model about several requests at once.
    """

    def __init__(self, contract: Contract, policy: Policy, estimator: str) -> None:
        rows = table.read(contract)
        dataset = datasets.from_table(rows, contract)
        trained = training.train(dataset, contract, replace(policy.training, estimator=estimator))
        made = reference.make(rows, dataset, contract)
        probabilities = trained.holdout.predictions.y_prob
        self.expectation = reference.expectation(made, contract, probabilities)
        self.predictor = Predictor(contract, trained.model)
        self.is_alike = answers_alike(self.predictor, self.expectation)
        self.customers = training.as_requests(dataset, contract)
        self.schema = CustomerSchema(contract)
        self.drain = Drain()
        self.lines: list[str] = []
        self.app = create_app(
            *(self.predictor, self.expectation, VERSION, self.drain),
            *(CollectorRegistry(), self.lines.append),
        )

    def says(self, body: bytes) -> Answer:
        """Return status and JSON that the contract, the model and Starlette make of a request."""
        try:
            many = body.lstrip()[:1] == b"["
            asked = self.schema.parse_many(body) if many else [self.schema.parse_one(body)]
        except ValidationError as error:
            errors = field_errors(error)
            content = {"count": error.error_count(), "detail": errors[:MAX_ERRORS]}
            return 422, bytes(JSONResponse(content).body)
        answers = self.predictor.answer(asked)
        return 200, bytes(JSONResponse(answers if many else answers[0]).body)

    def answers(self, bodies: Sequence[bytes]) -> list[Answer]:
        """Return the responses to requests that arrive in one turn."""
        return [client.answers[0] for client in self.turn([[request(0, one)] for one in bodies])]

    def sends(self, *bodies: bytes) -> bytes:
        """Return all bytes that a connection gets for requests that arrive at once on it."""
        [client] = self.turn([[request(number, body) for number, body in enumerate(bodies)]])
        return client.got

    def turn(self, requests: Sequence[Sequence[bytes]]) -> list[Client]:
        """Let requests arrive in one turn of the event loop, and return the answered clients.

        Parameters
        ----------
        requests
            Of each connection those that are sent on it, with their headers.
        """

        async def story() -> list[Client]:
            config, connections = configuration(self.app, "", 0), Connections(Limits())
            config.load()
            clients = [Client(len(one)) for one in requests]
            ends = [
                Connection(config, connections, {}, asyncio.get_running_loop()) for _ in clients
            ]
            for end, client, sent in zip(ends, clients, requests, strict=True):
                end.connection_made(client)
                end.data_received(b"".join(sent))
            for client in clients:
                await client.answered.wait()
            for end in ends:
                end.connection_lost(None)
            return clients

        return asyncio.run(story())

    def sends_through_asgi(self, number: int, body: bytes) -> bytes:
        """Return the bytes that uvicorn writes for the messages of the application."""
        sent: list[Message] = []
        headers = [(b"x-request-id", b"%d" % number)]
        scope: Scope = {
            **{"type": "http", "method": "POST", "path": PREDICT, "headers": headers},
            **{"query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"},
        }

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        start, *rest = sent
        lines = b"".join(b"%b: %b\r\n" % header for header in start["headers"])
        return STATUS_LINE[start["status"]] + lines + b"\r\n" + b"".join(m["body"] for m in rest)


def request(number: int, body: bytes) -> bytes:
    """Return a whole request for predictions, which has its number for an id."""
    return b"POST /predict HTTP/1.1\r\nx-request-id: %d\r\ncontent-length: %d\r\n\r\n%b" % (
        number,
        len(body),
        body,
    )
