"""Requests of one turn are answered by one run, each as if it had been alone."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from toolkit.data import reference, table
from toolkit.data import dataset as datasets
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.model import training
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.serving.api import create_app
from toolkit.serving.drain import Drain
from toolkit.serving.in_memory import post
from toolkit.serving.turns import MAX_CUSTOMERS, Turns, answers_alike

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


def asked(model: Any, *requests: Sequence[int]) -> list[list[float] | BaseException]:
    """Return the answers to requests that arrive in one turn, each about some numbers."""

    async def all_at_once() -> list[list[float] | BaseException]:
        turns = Turns(model, together=True)
        customers = ([{"number": number} for number in request] for request in requests)
        waiting = (turns.probabilities(one) for one in customers)
        return await asyncio.gather(*waiting, return_exceptions=True)

    return asyncio.run(all_at_once())


def test_one_run_answers_all_requests_of_a_turn() -> None:
    model = Model()
    assert asked(model, [1], [2, 4], [5]) == [[0.001], [0.002, 0.004], [0.005]]
    assert model.runs == [4]


def test_a_customer_for_whom_the_features_fail_fails_alone() -> None:
    one, broken, other = asked(Model(), [1], [2, 0], [5])
    assert (one, other) == ([0.001], [0.005])
    assert isinstance(broken, ZeroDivisionError)


def test_a_run_is_bounded_and_the_rest_waits_for_the_next() -> None:
    model = Model()
    half = [8] * (MAX_CUSTOMERS // 2)
    assert asked(model, half, half, [1], half) == [
        *([0.008] * len(half), [0.008] * len(half)),
        *([0.001], [0.008] * len(half)),
    ]
    assert model.runs == [MAX_CUSTOMERS, 1 + len(half)]


def test_a_client_that_has_gone_takes_no_other_with_it() -> None:
    async def story() -> list[float]:
        turns = Turns(Model(), together=True)  # type: ignore[arg-type]
        gone = asyncio.create_task(turns.probabilities([{"number": 1}]))
        stays = asyncio.create_task(turns.probabilities([{"number": 2}]))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(story()) == [0.002]


def test_a_model_that_says_something_else_of_many_is_asked_for_each_request_alone() -> None:
    class Collective(Model):
        def probabilities(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return matrix[:, 0] / 1000 + len(matrix) * 1e-9

    async def two() -> list[list[float]]:
        turns = Turns(Collective(), together=False)  # type: ignore[arg-type]
        return await asyncio.gather(*(turns.probabilities([{"number": 1}]) for _ in range(2)))

    assert asyncio.run(two()) == [[0.001 + 1e-9]] * 2


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
        registry = CollectorRegistry()
        self.app: ASGIApp = create_app(self.predictor, expected, VERSION, Drain(), registry)

    def says(self, body: bytes) -> tuple[int, bytes]:
        """Return what the model's answer to a valid request is as JSON."""
        asked = json.loads(body)
        answers = self.predictor.answer(asked if isinstance(asked, list) else [asked])
        content = answers if isinstance(asked, list) else answers[0]
        return 200, json.dumps(content, separators=(",", ":")).encode()

    def answers(self, bodies: Sequence[bytes]) -> list[tuple[int, bytes]]:
        """Return the responses to requests that arrive in one turn."""

        async def all_at_once() -> list[tuple[int, bytes]]:
            return await asyncio.gather(*(post(self.app, body) for body in bodies))

        return asyncio.run(all_at_once())


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
    for body, (status, content) in zip(bodies, alone, strict=True):
        if body in BAD:
            assert status == 422 and json.loads(content)["count"] >= 1
        else:
            assert (status, content) == server.says(body)


def test_trees_answer_alike_and_a_linear_model_is_never_taken_for_one_that_does(
    server: Server,
) -> None:
    matrix = server.predictor.matrix(server.customers[:200])
    alone = [server.predictor.probabilities(row) for row in np.split(matrix, len(matrix))]
    together = server.predictor.probabilities(matrix)
    assert server.is_alike == np.array_equal(np.concatenate(alone), together)
