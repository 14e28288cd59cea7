"""What moved a customer's probability: the contract's columns, against a reference customer.

A contribution is the mean of two effects in log-odds: of the customer's value in the reference
customer, and of the reference's value in the customer. Both are asked for all columns at once.
"""

import itertools
import math
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..data.contract import Column, Contract
from ..data.expectation import Distribution, Expectation
from ..model.features import Matrix
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
        size = max(1, VALUES // len(self._predictor.features.names))
        parts = (customers[start : start + size] for start in range(0, len(customers), size))
        return [one for part in parts for one in self._explain(part, count)]

    def _explain(self, customers: Sequence[Customer], count: int) -> list[Explanation]:
        said = self._said(self._asked(customers), len(customers))
        (base, *own), others = said[: 1 + len(customers)], said[1 + len(customers) :]
        without, alone = others.reshape(2, len(self.reference), len(customers))
        return [
            self._explained(customer, base, own[place], without[:, place], alone[:, place], count)
            for place, customer in enumerate(customers)
        ]

    def _asked(self, customers: Sequence[Customer]) -> Iterator[Matrix]:
        """Yield the reference, the n customers, and for each column them and it with one value.

        First each customer with the reference's value, [n, k] a column, then the reference with
        each customer's.
        """
        features = self._predictor.features
        own: dict[str, Any] = {
            name: [customer[name] for customer in customers] for name in self.reference
        }
        typical: dict[str, Any] = {
            name: [value] * len(customers) for name, value in self.reference.items()
        }
        matrix, reference = features.matrix(own), features.matrix(typical)
        yield reference[:1]
        yield matrix
        for name in own:
            yield features.altered(matrix, ChainMap({name: typical[name]}, own), name)
        for name in own:
            yield features.altered(reference, ChainMap({name: own[name]}, typical), name)

    def _said(self, asked: Iterator[Matrix], rows: int) -> npt.NDArray[np.float64]:
        """Return the probabilities of matrices of so many rows, several of them in one run."""
        at_once = max(1, VALUES // (rows * len(self._predictor.features.names)))
        said = []
        while part := list(itertools.islice(asked, at_once)):
            said.append(self._predictor.probabilities(np.concatenate(part)))
        return np.concatenate(said).astype(np.float64)

    def _explained(
        self,
        customer: Customer,
        base: float,
        own: float,
        without: npt.NDArray[np.float64],
        alone: npt.NDArray[np.float64],
        count: int,
    ) -> Explanation:
        """Return the explanation of one customer from what the model said.

        Parameters
        ----------
        base, own
            Of the reference, and of the customer.
        without, alone
            Of the customer with the reference's value of each column, and the other way round,
            [number of columns].
        """
        customers_odds, at_reference = _log_odds(np.array([own, base]))
        moved = (customers_odds - _log_odds(without) + _log_odds(alone) - at_reference) / 2
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
        other = customers_odds - at_reference - math.fsum(one.log_odds for one in told)
        return Explanation(float(base), told, float(other))


def _log_odds(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    bounded = np.clip(probability, NEAREST, 1 - NEAREST)
    odds: npt.NDArray[np.float64] = np.log(bounded) - np.log1p(-bounded)
    return odds
