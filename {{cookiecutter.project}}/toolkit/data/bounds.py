"""Whether the bounds of a contract can keep a mistake out: not if they are far from all customers.

A contract alone cannot say what is far: an age of a million is none, a turnover of a million is.
The reference knows how far apart the customers of a column are.
"""

import math

from ..errors import ConfigurationError
from .contract import Column, Contract
from .distribution import Numbers
from .profile import Profile

# How many times as far from zero as nearly all customers of the reference a bound may be, or how
# many of their standard deviations.
FAR = 1_000
# One customer alone, however far from the others, is at most the square root of the number of rows
# in standard deviations away; adoption leaves headroom beyond.
ROOM = 2


def require_near(contract: Contract, accepted: Profile) -> None:
    """Raise `ConfigurationError` for a bound of a column that is far from all customers.

    Parameters
    ----------
    accepted
        The distributions of the reference.
    """
    for column in contract.features:
        numbers = accepted.numbers.get(column.name)
        if column.is_numeric and numbers and numbers.rows:
            _require_near(contract, column, numbers)


def _require_near(contract: Contract, column: Column, numbers: Numbers) -> None:
    low, high = numbers.quantiles[0], numbers.quantiles[-1]
    farthest = ROOM * math.sqrt(numbers.rows) * numbers.sd
    reach = max(FAR * max(abs(low), abs(high), numbers.sd), farthest)
    for key, bound in (("min", column.minimum), ("max", column.maximum)):
        if bound is not None and abs(bound) > reach > 0:
            raise ConfigurationError(
                f"{contract.path}: column {column.name!r}: {key}: must be from {-reach:g} to "
                f"{reach:g}, not {bound:g}: nearly all customers of {contract.reference} lie from "
                f"{low:g} to {high:g}, so this bound keeps no mistake out",
                f"fix {contract.path}; if the customers are others now, nox -s reference first",
            )
