"""What moved a customer's probability: the contract's columns, against a reference customer.

A contribution is the mean of two effects in log-odds: of the customer's value in the reference
customer, and of the reference's value in the customer. Both are asked for all columns at once.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..data.contract import Column, Contract
from ..data.expectation import Distribution, Expectation
from ..model.predictor import Predictor

Value = float | str | None
Customer = Mapping[str, Any]
# A float32 cannot tell a probability from 1 that is closer to it.
NEAREST = 2.0**-24
# Values asked about in one run: of thousands of columns all rows together would take gigabytes.
VALUES = 200_000


class Contribution(NamedTuple):
    """What one column contributed to one customer's prediction.

    Attributes
    ----------
    feature
        The column's name in the contract.
    value, reference
        The customer's value, and the reference customer's.
    log_odds
        By how much the value moved the log-odds of churn; 0.7 doubles the odds.
    probability
        What the customer's probability would be with the reference's value.
    """

    feature: str
    value: Value
    reference: Value
    log_odds: float
    probability: float


class Explanation(NamedTuple):
    """Why a customer's probability is not that of the reference customer.

    The log-odds of the prediction are those of the reference customer, plus all contributions of
    all columns, plus what three or more columns do only together.

    Attributes
    ----------
    reference_probability
        The reference customer's probability.
    contributions
        The largest first, of those that moved it.
    other_log_odds
        What is not in them: of the other columns, and of three or more together.
    """

    reference_probability: float
    contributions: tuple[Contribution, ...]
    other_log_odds: float

    def as_json(self) -> dict[str, Any]:
        """Return it as /predict does."""
        contributions = [one._asdict() for one in self.contributions]
        return self._asdict() | {"contributions": contributions}


def reference_customer(contract: Contract, expectation: Expectation) -> dict[str, Value]:
    """Return the customer with the median of every number, and the mode of every category."""
    return {
        column.name: _typical(column, expectation.columns[column.name])
        for column in contract.features
    }


def _typical(column: Column, distribution: Distribution) -> Value:
    if column.categories:
        # The first of several that are as frequent.
        return distribution.bins[int(np.argmax(distribution.counts))]
    low, high = column.range
    if not distribution.edges:
        value = low
    else:
        total = list(itertools.accumulate(distribution.counts))
        middle = next(place for place, count in enumerate(total) if 2 * count >= total[-1])
        value = distribution.edges[min(middle, len(distribution.edges) - 1)]
    value = min(max(value, low), high)
    return round(value) if column.type == "integer" else value


class Explainer:
    """Explains predictions of one model.

    Parameters
    ----------
    predictor
        The model.
    expectation
        The distributions of its features at training: their medians and modes are the reference.
    """

    def __init__(self, predictor: Predictor, expectation: Expectation) -> None:
        self._predictor = predictor
        self.reference = reference_customer(predictor.contract, expectation)

    def explain(self, customers: Sequence[Customer], count: int) -> list[Explanation]:
        """Explain the predictions for n customers.

        Parameters
        ----------
        customers
            With a value or None in every column, [n].
        count
            How many contributions are told of each, at most.

        Returns
        -------
        explanations
            In the order of the customers, [n].
        """
        asked = self._asked(customers)
        size = max(1, VALUES // len(self.reference))
        said = []
        while rows := list(itertools.islice(asked, size)):
            said.append(self._predictor.probabilities(self._predictor.matrix(rows)))
        probabilities = np.concatenate(said).astype(np.float64)
        step = 1 + 2 * len(self.reference)
        return [
            self._explained(
                *(customer, probabilities[0], probabilities[1 + step * place :][:step], count)
            )
            for place, customer in enumerate(customers)
        ]

    def _asked(self, customers: Sequence[Customer]) -> Iterator[Customer]:
        """Yield the reference, and of each customer itself and two for each column."""
        yield self.reference
        for customer in customers:
            own = {name: customer[name] for name in self.reference}
            yield own
            yield from (own | {name: value} for name, value in self.reference.items())
            yield from (self.reference | {name: value} for name, value in own.items())

    def _explained(
        self, customer: Customer, base: float, said: npt.NDArray[np.float64], count: int
    ) -> Explanation:
        """Return the explanation of one customer from what the model said, [1 + 2 * columns]."""
        half = (len(said) - 1) // 2
        without, alone = said[1 : half + 1], said[half + 1 :]
        own, at_reference = _log_odds(said[:1])[0], _log_odds(np.array([base]))[0]
        moved = (own - _log_odds(without) + _log_odds(alone) - at_reference) / 2
        # The largest first; of equal ones that of the earlier column.
        order = [int(place) for place in np.argsort(-np.abs(moved), kind="stable")[:count]]
        names = list(self.reference)
        told = tuple(
            Contribution(
                names[place],
                customer[names[place]],
                self.reference[names[place]],
                float(moved[place]),
                float(without[place]),
            )
            for place in order
            if moved[place]
        )
        other = own - at_reference - math.fsum(one.log_odds for one in told)
        return Explanation(float(base), told, float(other))


def _log_odds(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    bounded = np.clip(probability, NEAREST, 1 - NEAREST)
    odds: npt.NDArray[np.float64] = np.log(bounded) - np.log1p(-bounded)
    return odds
