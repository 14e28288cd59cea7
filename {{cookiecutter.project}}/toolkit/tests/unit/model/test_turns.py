"""Requests of one turn are answered by one run, each as if it had been alone."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from starlette.responses import JSONResponse
from starlette.types import Message, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from toolkit.data import reference, table
from toolkit.data import dataset as datasets
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.model import training
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.serving.admission import LARGE_BYTES, MAX_REQUESTS
from toolkit.serving.api import create_app
from toolkit.serving.connection import Connection, configuration
from toolkit.serving.customer import CustomerSchema, field_errors
from toolkit.serving.drain import Drain
from toolkit.serving.explanation import Explainer
from toolkit.serving.in_memory import post
from toolkit.serving.limits import Connections, Limits
from toolkit.serving.monitoring import Monitor
from toolkit.serving.prediction import MAX_ERRORS, PREDICT, Predictions, Response
from toolkit.serving.turns import Turns, answers_alike

VERSION = {"release": None, "commit": None, "digest": None, "model_sha256": "0"}
BAD = (b"{", b"[]", b'{"age": 40}', b'{"age": "old"}', b"[1]", b"null", b"", b'{"age": 4' * 40)


class Model:
    """Says of a customer its number divided by a thousand, and counts its runs."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def matrix(self, customers: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
        """Return the numbers, [n, 1]; `ZeroDivisionError` for a zero."""
        self.runs.append(len(customers))
        return np.array([[1000 // (1000 // one["number"])] for one in customers], float)

    def probabilities(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the probabilities, [n]."""
        return matrix[:, 0] / 1000


def asked(model: Any, *requests: Sequence[int]) -> list[list[float] | Exception]:
    """Return what a model says of requests of one turn, each about some numbers."""
    turns = Turns(model, together=True)
    return turns.probabilities([[{"number": number} for number in one] for one in requests])


def test_one_run_answers_all_requests_of_a_turn() -> None:
    model = Model()
    assert asked(model, [1], [2, 4], [5]) == [[0.001], [0.002, 0.004], [0.005]]
    assert model.runs == [4]


def test_a_customer_for_whom_the_features_fail_fails_alone() -> None:
    one, broken, other = asked(Model(), [1], [2, 0], [5])
    assert (one, other) == ([0.001], [0.005])
    assert isinstance(broken, ZeroDivisionError)


def test_a_model_that_says_something_else_of_many_is_asked_for_each_request_alone() -> None:
    class Collective(Model):
        def probabilities(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return matrix[:, 0] / 1000 + len(matrix) * 1e-9

    turns = Turns(Collective(), together=False)  # type: ignore[arg-type]
    assert turns.probabilities([[{"number": 1}]] * 2) == [[0.001 + 1e-9]] * 2


class Client(asyncio.Transport):
    """The other end of a connection that has no socket: it keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.got = b""

    def write(self, data: Any) -> None:
        self.got += data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Server:
    """The application of one model, and what Python's json makes of the model's own answers."""

    def __init__(self, dataset: Dataset, contract: Contract, policy: Policy, name: str) -> None:
        trained = training.train(dataset, contract, replace(policy.training, estimator=name))
        rows = table.read(contract)
        made = reference.make(rows, datasets.from_table(rows, contract), contract)
        expected = reference.expectation(made, contract, trained.holdout.predictions.y_prob)
        self.predictor = Predictor(contract, trained.model)
        self.is_alike = answers_alike(self.predictor, expected)
        self.customers = training.as_requests(dataset, contract)
        self.schema = CustomerSchema(contract)
        self.drain = Drain()
        self.lines: list[str] = []
        self.app = create_app(
            *(self.predictor, expected, VERSION, self.drain),
            *(CollectorRegistry(), self.lines.append),
        )

    def says(self, body: bytes) -> tuple[int, bytes]:
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

    def answers(self, bodies: Sequence[bytes]) -> list[tuple[int, bytes]]:
        """Return the responses to requests that arrive in one turn."""

        async def all_at_once() -> list[tuple[int, bytes]]:
            return await asyncio.gather(*(post(self.app, body) for body in bodies))

        return asyncio.run(all_at_once())

    def sends(self, *bodies: bytes) -> bytes:
        """Return all bytes that a connection gets for requests that arrive at once on it."""
        requests = (
            b"POST /predict HTTP/1.1\r\nx-request-id: %d\r\ncontent-length: %d\r\n\r\n%b"
            % (number, len(body), body)
            for number, body in enumerate(bodies)
        )

        async def story() -> bytes:
            config = configuration(self.app, "", 0)
            config.load()
            loop, client = asyncio.get_running_loop(), Client()
            connection = Connection(config, Connections(Limits()), {}, loop)
            connection.connection_made(client)
            connection.data_received(b"".join(requests))
            for _ in range(10 * len(bodies)):
                await asyncio.sleep(0)
            connection.connection_lost(None)
            return client.got

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


@pytest.fixture(scope="module", params=["boosting", "logistic"])
def server(
    request: pytest.FixtureRequest, dataset: Dataset, contract: Contract, policy: Policy
) -> Server:
    return Server(dataset, contract, policy, request.param)


def test_every_customer_alone_and_in_one_turn_with_others_gets_the_same_bytes(
    server: Server,
) -> None:
    bodies = [json.dumps(one).encode() for one in server.customers]
    for start in range(0, len(bodies), 100):
        part = bodies[start : start + 100]
        assert server.answers(part) == [server.says(body) for body in part]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_request_touches_the_response_to_another(server: Server, data: st.DataObject) -> None:
    """Any mixture of customers, lists and requests that are refused."""
    number = st.integers(0, len(server.customers) - 1)
    one = number.map(lambda at: json.dumps(server.customers[at]).encode())
    many = st.lists(number, min_size=1, max_size=5).map(
        lambda places: json.dumps([server.customers[at] for at in places]).encode()
    )
    bodies = data.draw(st.lists(one | many | st.sampled_from(BAD), min_size=1, max_size=20))
    alone = [server.answers([body])[0] for body in bodies]
    assert server.answers(bodies) == alone
    assert alone == [server.says(body) for body in bodies]
    assert all((status == 422) == (body in BAD) for body, (status, _) in zip(bodies, alone))


@pytest.mark.parametrize("drain", [False, True])
def test_a_response_is_to_the_byte_what_the_framework_s_is(
    server: Server, drain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.drain, "begun", drain)
    bodies = [json.dumps(one).encode() for one in server.customers[:3]]
    bodies += [b"[%b, %b]" % (bodies[0], bodies[1]), *BAD]
    for body in bodies:
        assert server.sends(body) == server.sends_through_asgi(0, body)


def test_requests_that_are_sent_ahead_are_answered_in_their_order(server: Server) -> None:
    bodies = [json.dumps(server.customers[0]).encode(), BAD[0], BAD[1]]
    expected = [server.sends_through_asgi(*one) for one in enumerate(bodies)]
    assert server.sends(*bodies) == b"".join(expected)


def test_both_ways_log_a_request_alike(server: Server) -> None:
    body = json.dumps(server.customers[0]).encode()
    server.lines.clear()
    server.sends(body)
    server.sends_through_asgi(0, body)
    here, there = map(json.loads, server.lines)
    assert list(here) == list(there)
    assert {"request_id": "0", "method": "POST", "path": "/predict"}.items() <= here.items()
    assert here | {"time": 0, "ms": 0} == there | {"time": 0, "ms": 0}


def test_features_that_fail_for_one_customer_cost_the_others_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bodies = [json.dumps(one).encode() for one in server.customers[:5]]
    expected = [server.says(body) for body in bodies]
    matrix = Predictor.matrix

    def fails(self: Predictor, customers: Sequence[Mapping[str, Any]]) -> Any:
        assert server.customers[2] not in customers
        return matrix(self, customers)

    monkeypatch.setattr(Predictor, "matrix", fails)
    expected[2] = (500, b"Internal Server Error")
    assert server.answers(bodies) == expected
    [record] = caplog.records
    assert record.getMessage() == "the request failed" and record.exc_info


def test_a_probability_that_is_no_number_is_an_error_of_its_request_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [json.dumps(one).encode() for one in server.customers[:3]]
    run = Turns.probabilities

    def broken(self: Turns, requests: Any) -> Any:
        return [[float("nan")] if at == 1 else one for at, one in enumerate(run(self, requests))]

    monkeypatch.setattr(Turns, "probabilities", broken)
    assert [status for status, _ in server.answers(bodies)] == [200, 500, 200]


def test_more_requests_than_are_let_in_are_told_so_as_the_framework_tells_it(
    server: Server,
) -> None:
    body = json.dumps(server.customers[0]).encode()
    answers = server.answers([body] * (MAX_REQUESTS + 3))
    busy = (503, b'{"detail":"the server is busy, try again"}')
    assert answers == [server.says(body)] * MAX_REQUESTS + [busy] * 3
    assert server.answers([body]) == [server.says(body)]


def test_a_turn_is_bounded_and_the_rest_waits_for_the_next(server: Server) -> None:
    runs: list[int] = []

    class Counting(Turns):
        def probabilities(self, requests: Any) -> Any:
            runs.append(len(requests))
            return super().probabilities(requests)

    async def story() -> list[Response]:
        turns = Counting(server.predictor, together=server.is_alike)
        beside = create_autospec(Monitor), create_autospec(Explainer)
        predictions = Predictions(0.5, server.schema, turns, *beside)
        return await asyncio.gather(*(predictions.answer(body) for body in [many] * 5))

    one = json.dumps(server.customers[0]).encode()
    many = b"[" + b",".join([one] * (LARGE_BYTES // 2 // (len(one) + 1))) + b"]"
    assert len(set(asyncio.run(story()))) == 1
    assert runs == [3, 2]


def test_trees_answer_alike_and_a_linear_model_is_never_taken_for_one_that_does(
    server: Server,
) -> None:
    matrix = server.predictor.matrix(server.customers[:200])
    alone = [server.predictor.probabilities(row) for row in np.split(matrix, len(matrix))]
    together = server.predictor.probabilities(matrix)
    assert server.is_alike == np.array_equal(np.concatenate(alone), together)
