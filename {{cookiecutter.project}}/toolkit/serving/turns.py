"""Asks the model about the requests that arrive in one turn of the event loop by one run.

A run for sixteen customers takes little longer than one for a single customer. Nobody waits for
others: what is there when the model is asked is asked together.
"""

import itertools
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..data.contract import Column
from ..data.expectation import Expectation
from ..model.predictor import Predictor
from .customer import Customer

# How many customers are asked about, alone and together, before requests are.
COMPARED = 64


class Turns:
    """Runs a model for several requests.

    Parameters
    ----------
    predictor
    together
        Whether the model may be asked for several requests at once; see `answers_alike`.
    """

    def __init__(self, predictor: Predictor, *, together: bool) -> None:
        self._predictor = predictor
        self._together = together

    def probabilities(
        self, requests: Sequence[Sequence[Customer]]
    ) -> list[list[float] | Exception]:
        """Return for each request the churn probabilities of its valid customers.

        In their place is what the owner's features raise for them; others are answered.
        """
        if self._together and len(requests) > 1:
            try:
                said = iter(self._run([one for customers in requests for one in customers]))
            except Exception:  # Of one customer; which one, their own runs tell.
                pass
            else:
                return [list(itertools.islice(said, len(customers))) for customers in requests]
        return [self._alone(customers) for customers in requests]

    def _alone(self, customers: Sequence[Customer]) -> list[float] | Exception:
        try:
            return self._run(customers)
        except Exception as error:  # The owner's code may raise anything.
            return error

    def _run(self, customers: Sequence[Customer]) -> list[float]:
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
        alone = _in_parts(predictor, customers, 1)
        return all(
            np.array_equal(alone, _in_parts(predictor, customers, size), equal_nan=True)
            for size in (2, 3, 16, COMPARED)
        )
    except Exception:  # The owner's features fail for one, and would for all that wait with it.
        return False


def _in_parts(
    predictor: Predictor, customers: Sequence[Customer], size: int
) -> npt.NDArray[np.float32]:
    """Return the probabilities, [n], of n customers, asked about so many at a time."""
    parts = (customers[first : first + size] for first in range(0, len(customers), size))
    return np.concatenate([predictor.probabilities(predictor.matrix(part)) for part in parts])


def _values(column: Column, expectation: Expectation) -> list[float | str | None]:
    """Return values of a column at training: the categories, or the bounds of its bins."""
    values: list[float | str | None] = [*column.categories]
    if not values:
        values = [*column.range, *expectation.columns[column.name].edges]
    return [*values, None] if column.max_null_rate > 0 else values
