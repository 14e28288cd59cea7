"""Requests of one turn are answered by one run, each as if it had been alone."""

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.data import contract as contracts
from toolkit.model import export
from toolkit.model.features import Matrix
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.serving.admission import LARGE_BYTES, MAX_REQUESTS
from toolkit.serving.customer import Customer
from toolkit.serving.explanation import Explainer
from toolkit.serving.limits import MAX_BODY_BYTES, Limits
from toolkit.serving.monitoring import Monitor
from toolkit.serving.prediction import Predictions, Response
from toolkit.serving.turns import Turns, answers_alike
from toolkit.tests import customers, wide
from toolkit.tests.served import Served, request

BAD = (b"{", b"[]", b'{"age": 40}', b'{"age": "old"}', b"[1]", b"null", b"", b'{"age": 4' * 40)
# Of no type and in no range of a column.
WRONG: tuple[object, ...] = ("?", [], {}, True, 1e300, -1e300)
# What is refused before it is whole: too long a body, too long a header, and no HTTP at all.
NEVER_WHOLE = (
    b"POST /predict HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
    b"POST /predict HTTP/1.1\r\nx: %b\r\n\r\n" % (b"x" * Limits.header_bytes),
    b"predict\r\n\r\n",
)
# A linear model that says something else of a customer alone, in the last bit.
ALONE = "alone"
TABLES: dict[str, Callable[[Path], Path]] = {
    "small": lambda folder: customers.write(folder, customers.make()),
    "wide": wide.write,
}


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


@pytest.fixture(
    scope="module", params=itertools.product(TABLES, ("boosting", "logistic", ALONE)), ids="-".join
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, policy: Policy
) -> Served:
    name, estimator = request.param
    contract = contracts.load(TABLES[name](tmp_path_factory.mktemp(name)))
    with pytest.MonkeyPatch.context() as patch:
        if estimator == ALONE:
            # As an operator is exported of which nobody knows that it is one of them.
            patch.setattr(export, "PRODUCTS", set())
            estimator = "logistic"
        return Served(contract, policy, estimator)


def as_body(asked: object) -> bytes:
    """Return the body of a request about a customer, or a list of them."""
    return json.dumps(asked).encode()


def test_every_customer_alone_in_a_list_and_in_one_turn_with_others_gets_the_same_bytes(
    server: Served,
) -> None:
    bodies = list(map(as_body, server.customers))
    for start in range(0, len(bodies), 100):
        part = bodies[start : start + 100]
        many = b"[%b]" % b",".join(part)
        alone, in_a_list = [server.says(body) for body in part], server.says(many)
        assert server.answers([*part, many]) == [*alone, in_a_list]
        if server.is_alike:
            assert in_a_list == (200, b"[%b]" % b",".join(content for _, content in alone))


def valid_bodies(of: Sequence[Customer]) -> st.SearchStrategy[bytes]:
    """Return a strategy for requests about a customer, or a few."""
    one = st.sampled_from(of)
    return (one | st.lists(one, min_size=1, max_size=5)).map(as_body)


def refused_bodies(of: Sequence[Customer]) -> st.SearchStrategy[bytes]:
    """Return a strategy for requests that break the contract in one way, or are no JSON."""
    one, name = st.sampled_from(of), st.sampled_from(list(of[0]))
    broken = st.one_of(
        st.builds(
            lambda customer, at, value: customer | {at: value}, one, name, st.sampled_from(WRONG)
        ),
        st.builds(
            lambda customer, at: {key: customer[key] for key in customer if key != at}, one, name
        ),
        one.map(lambda customer: customer | {"agee": 40}),
    )
    whole = (broken | st.tuples(one, broken, one)).map(as_body)
    cut = st.tuples(valid_bodies(of), st.integers(1, 9)).map(lambda both: both[0][: -both[1]])
    return whole | cut | st.sampled_from(BAD)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_request_touches_the_response_to_another(server: Served, data: st.DataObject) -> None:
    """Any mixture of customers, lists, long lists, and requests that are refused."""
    some = server.customers[:5]
    long = some * (LARGE_BYTES // len(as_body(some)) + 2)
    valid = data.draw(st.lists(valid_bodies(server.customers), max_size=15))
    refused = data.draw(st.lists(refused_bodies(server.customers), min_size=1, max_size=15))
    longs = data.draw(st.lists(st.sampled_from([long, [*long, {}]]), max_size=2))
    bodies = [*valid, *refused, *map(as_body, longs)]

    expected = [server.sends_through_asgi(*one) for one in enumerate(bodies)]
    said = [server.says(body) for body in bodies]
    assert {status for status, _ in said[: len(valid)]} <= {200}
    assert {status for status, _ in said[len(valid) :][: len(refused)]} == {422}
    never_whole = data.draw(st.lists(st.sampled_from(NEVER_WHOLE), max_size=3))
    sent = [*(request(*one) for one in enumerate(bodies)), *never_whole]
    alone = [server.turn([[one]])[0] for one in sent]
    assert [client.got for client in alone[: len(bodies)]] == expected
    assert [client.answers for client in alone[: len(bodies)]] == [[one] for one in said]

    places = data.draw(st.permutations(range(len(sent))))
    together = server.turn([[sent[place]] for place in places])
    assert [client.got for client in together] == [alone[place].got for place in places]


@pytest.mark.parametrize("drain", [False, True])
def test_a_response_is_to_the_byte_what_the_framework_s_is(
    server: Served, drain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.drain, "begun", drain)
    bodies = [as_body(one) for one in server.customers[:3]]
    bodies += [b"[%b, %b]" % (bodies[0], bodies[1]), *BAD]
    for body in bodies:
        assert server.sends(body) == server.sends_through_asgi(0, body)


def test_requests_that_are_sent_ahead_are_answered_in_their_order(server: Served) -> None:
    bodies = [as_body(server.customers[0]), BAD[0], BAD[1]]
    expected = [server.sends_through_asgi(*one) for one in enumerate(bodies)]
    assert server.sends(*bodies) == b"".join(expected)


def test_both_ways_log_a_request_alike(server: Served) -> None:
    body = as_body(server.customers[0])
    server.lines.clear()
    server.sends(body)
    server.sends_through_asgi(0, body)
    here, there = map(json.loads, server.lines)
    assert list(here) == list(there)
    assert {"request_id": "0", "method": "POST", "path": "/predict"}.items() <= here.items()
    assert here | {"time": 0, "ms": 0} == there | {"time": 0, "ms": 0}


def test_features_that_fail_for_one_customer_cost_the_others_nothing(
    server: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bodies = [as_body(one) for one in server.customers[:5]]
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
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [as_body(one) for one in server.customers[:3]]
    run = Turns.probabilities

    def broken(self: Turns, requests: Any) -> Any:
        return [[float("nan")] if at == 1 else one for at, one in enumerate(run(self, requests))]

    monkeypatch.setattr(Turns, "probabilities", broken)
    assert [status for status, _ in server.answers(bodies)] == [200, 500, 200]


def test_more_requests_than_are_let_in_are_told_so_as_the_framework_tells_it(
    server: Served,
) -> None:
    body = as_body(server.customers[0])
    answers = server.answers([body] * (MAX_REQUESTS + 3))
    busy = (503, b'{"detail":"the server is busy, try again"}')
    assert answers == [server.says(body)] * MAX_REQUESTS + [busy] * 3
    assert server.answers([body]) == [server.says(body)]


def test_a_turn_is_bounded_and_the_rest_waits_for_the_next(server: Served) -> None:
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

    one = as_body(server.customers[0])
    many = b"[" + b",".join([one] * (LARGE_BYTES // 2 // (len(one) + 1))) + b"]"
    assert len(set(asyncio.run(story()))) == 1
    assert runs == [3, 2]


def test_a_model_is_asked_at_once_unless_it_says_something_else_then(
    server: Served, request: pytest.FixtureRequest
) -> None:
    matrix = server.predictor.matrix(server.customers[:200])
    alone = [server.predictor.probabilities(row) for row in np.split(matrix, len(matrix))]
    together = server.predictor.probabilities(matrix)
    assert server.is_alike == np.array_equal(np.concatenate(alone), together)
    assert server.is_alike or ALONE in request.node.callspec.id


# Of a model that is asked alone anyway nothing would be found.
@pytest.mark.parametrize("server", [("small", "boosting")], indirect=True, ids="-".join)
@pytest.mark.parametrize("together", [2, 3, 16, 64])
def test_a_model_that_differs_in_the_last_bit_for_some_number_of_customers_is_found(
    server: Served, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    probabilities = Predictor.probabilities

    def collective(self: Predictor, matrix: Matrix) -> npt.NDArray[np.float32]:
        said = probabilities(self, matrix)
        return said if len(matrix) != together else np.nextafter(said, np.float32(1))

    assert answers_alike(server.predictor, server.expectation)
    monkeypatch.setattr(Predictor, "probabilities", collective)
    assert not answers_alike(server.predictor, server.expectation)
