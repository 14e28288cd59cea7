"""Answers the requests that arrive in one turn of the event loop by one run of the model.

A run for sixteen customers takes little longer than one for a single customer. Nobody waits for
others: what is there when the model is asked is asked together.
"""

import asyncio
import itertools
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..data.contract import Column
from ..data.expectation import Expectation
from ..model.features import Matrix
from ..model.predictor import Predictor
from .customer import Customer

# Between two runs the event loop answers, and accepts.
MAX_CUSTOMERS = 256
# How many customers are asked about, alone and together, before requests are.
COMPARED = 64


class Turns:
    """Runs a model for the requests of one turn.

    Parameters
    ----------
    predictor
    together
        Whether the model may be asked for several requests at once; see `answers_alike`.
    """

    def __init__(self, predictor: Predictor, *, together: bool) -> None:
        self._predictor = predictor
        self._together = together
        self._waiting: list[tuple[Sequence[Customer], asyncio.Future[list[float]]]] = []

    async def probabilities(self, customers: Sequence[Customer]) -> list[float]:
        """Return the churn probabilities, [n], of the n valid customers of one request.

        Raises
        ------
        Exception
            What the owner's features raise for these customers; others are answered.
        """
        if not self._together:
            return self.run(customers)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[float]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._answer, loop)
        self._waiting.append((customers, future))
        return await future

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer the requests that wait, up to `MAX_CUSTOMERS` and one request more."""
        sizes = itertools.accumulate(len(customers) for customers, _ in self._waiting)
        count = 1 + sum(1 for size in sizes if size < MAX_CUSTOMERS)
        waiting, self._waiting = self._waiting[:count], self._waiting[count:]
        if self._waiting:
            loop.call_soon(self._answer, loop)
        try:
            said = iter(self.run([one for customers, _ in waiting for one in customers]))
        except Exception:  # Of one customer; which one, their own runs tell.
            for customers, future in waiting:
                self._answer_alone(customers, future)
            return
        for customers, future in waiting:
            probabilities = list(itertools.islice(said, len(customers)))
            if not future.done():
                future.set_result(probabilities)

    def _answer_alone(
        self, customers: Sequence[Customer], future: asyncio.Future[list[float]]
    ) -> None:
        if future.done():  # Its client has gone.
            return
        try:
            future.set_result(self.run(customers))
        except Exception as error:  # The owner's code may raise anything.
            future.set_exception(error)

    def run(self, customers: Sequence[Customer]) -> list[float]:
        """Return the churn probabilities, [n], of n valid customers at once."""
        said: list[float] = self._predictor.probabilities(
            self._predictor.matrix(customers)
        ).tolist()
        return said


def answers_alike(predictor: Predictor, expectation: Expectation) -> bool:
    """Return whether a model says of customers together, to the bit, what it says of each alone.

    Trees do. A linear model need not: for one row the runtime adds its products in another order.
    Asked are customers whose values lie anywhere in their columns' ranges.
    """
    rng = random.Random(0)
    values = {column.name: _values(column, expectation) for column in predictor.contract.features}
    customers = [{name: rng.choice(of) for name, of in values.items()} for _ in range(COMPARED)]
    try:
        matrix = predictor.matrix(customers)
        alone = _in_parts(predictor, matrix, 1)
        return all(
            np.array_equal(alone, _in_parts(predictor, matrix, size), equal_nan=True)
            for size in (2, 3, 16, COMPARED)
        )
    except (
        Exception
    ):  # The owner's features fail for one, and would fail for all that wait with it.
        return False


def _in_parts(predictor: Predictor, matrix: Matrix, rows: int) -> npt.NDArray[np.float32]:
    """Return the probabilities, [n], of n customers, asked for so many rows at a time."""
    parts = (matrix[first : first + rows] for first in range(0, len(matrix), rows))
    return np.concatenate([predictor.probabilities(part) for part in parts])


def _values(column: Column, expectation: Expectation) -> list[float | str | None]:
    """Return values of a column at training: the categories, or the bounds of its bins."""
    values: list[float | str | None] = [*column.categories]
    if not values:
        values = [*column.range, *expectation.columns[column.name].edges]
    return [*values, None] if column.max_null_rate > 0 else values
