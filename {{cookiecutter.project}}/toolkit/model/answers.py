"""Asks the server's application about customers in memory: bodies in, bytes out."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp

from ..data.expectation import Expectation
from ..serving.api import Prediction, create_app
from ..serving.drain import Drain
from ..serving.in_memory import post
from ..serving.limits import Connections, Limits
from .export import TOLERANCE
from .predictor import Predictor

# Asked about one by one, as most clients do, beside the list of all.
ALONE = 50
# Of a response, in a message.
QUOTED = 120
PREDICTIONS = TypeAdapter(list[Prediction])


@dataclass(frozen=True)
class Answer:
    """The server's answer to one request.

    Attributes
    ----------
    how
        How it was asked, for messages.
    rows
        The positions of the customers in the request, [m].
    status, body
        Of the response.
    """

    how: str
    rows: npt.NDArray[np.int64]
    status: int
    body: bytes

    @cached_property
    def predictions(self) -> list[Prediction]:
        """One for each customer, [m]; none where the response is not what /predict promises."""
        if self.status != HTTPStatus.OK:
            return []
        many = self.body.lstrip()[:1] == b"["
        try:
            found: list[Prediction] = PREDICTIONS.validate_json(
                self.body if many else b"[" + self.body + b"]"
            )
        except ValidationError:
            return []
        return found if len(found) == len(self.rows) else []

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """The probabilities of churn, [m]; NaN where there are none."""
        if not self.predictions:
            return np.full(len(self.rows), np.nan)
        return np.array([one.churn_probability for one in self.predictions])


def ask(
    predictor: Predictor, expectation: Expectation, customers: Sequence[dict[str, Any]]
) -> list[Answer]:
    """Ask about all customers in a list, and about some of them one by one, without a socket."""
    version = dict.fromkeys(("release", "commit", "digest")) | {"model_sha256": predictor.sha256}
    refused = Connections(Limits()).refused
    app = create_app(predictor, expectation, version, Drain(), refused)
    return asyncio.run(_answers(app, customers))


async def _answers(app: ASGIApp, customers: Sequence[dict[str, Any]]) -> list[Answer]:
    everybody = np.arange(len(customers))
    answers = [await _post(app, f"in a list of {len(customers)}", everybody, customers)]
    for row in everybody[:: max(1, len(customers) // ALONE)]:
        answers.append(await _post(app, "alone", np.array([row]), customers[row]))
    return answers


async def _post(app: ASGIApp, how: str, rows: npt.NDArray[np.int64], content: object) -> Answer:
    status, body = await post(app, json.dumps(content).encode())
    return Answer(how, rows, status, body)


def differences(
    answers: Sequence[Answer],
    ids: npt.NDArray[np.object_],
    expected: npt.NDArray[np.float64],
    threshold: float,
) -> Iterator[str]:
    """Yield the first difference of each kind, of a list and of a customer alone.

    Parameters
    ----------
    ids, expected
        The customers' ids and the probabilities that the trained pipeline gives them, [n].
    threshold
        The model's decision threshold.
    """
    reported: set[tuple[str, str]] = set()
    for answer in answers:
        for kind, sentence in _faults(answer, ids, expected, threshold):
            if (answer.how, kind) not in reported:
                reported.add((answer.how, kind))
                yield sentence


def _faults(
    answer: Answer,
    ids: npt.NDArray[np.object_],
    expected: npt.NDArray[np.float64],
    threshold: float,
) -> Iterator[tuple[str, str]]:
    if not answer.predictions:
        begin = answer.body[:QUOTED].decode(errors="replace")
        yield (
            "response",
            f"/predict: status {answer.status} for customer {ids[answer.rows[0]]}, asked "
            f"{answer.how}; a prediction for each customer is expected, not {begin!r}",
        )
        return
    difference = np.abs(answer.probabilities - expected[answer.rows])
    if not difference.max() <= TOLERANCE:  # So that a NaN is a difference too.
        worst = int(difference.argmax())
        row = answer.rows[worst]
        yield (
            "probability",
            f"predictions: customer {ids[row]} gets {expected[row]:.6f} from the trained "
            f"pipeline, {answer.probabilities[worst]:.6f} from the server when asked "
            f"{answer.how}; {TOLERANCE:.0e} is allowed",
        )
    for row, one in zip(answer.rows, answer.predictions, strict=True):
        if one.churn != (one.churn_probability >= threshold):
            yield (
                "churn",
                f"predictions: customer {ids[row]} has a probability of "
                f"{one.churn_probability:.6f} at a threshold of {threshold}, and the server "
                f"answers {json.dumps(one.churn)} when asked {answer.how}",
            )
