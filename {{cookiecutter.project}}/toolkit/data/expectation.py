"""What a server expects: how its customers and their answers were distributed at training.

It goes with the model, so that a server can tell how far today's customers are from those. It holds
counts and never a row. The standard library and pydantic only: a server imports it.
"""

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..errors import ConfigurationError
from .contract import Contract

SCHEMA = 1
EXPECTATION_FILE = "expectation.json"


@dataclass(frozen=True)
class Distribution:
    """How values were distributed over bins.

    Attributes
    ----------
    bins
        Their names: a category's values, or a number's intervals.
    counts
        How many values lay in each.
    nulls
        How many values were null.
    edges
        Where one interval ends, with its end, and the next begins; empty for a category.
    """

    bins: tuple[str, ...]
    counts: tuple[int, ...]
    nulls: int
    edges: tuple[float, ...] = ()

    @classmethod
    def of_numbers(
        cls, edges: Sequence[float], counts: Sequence[int], nulls: int = 0
    ) -> "Distribution":
        """Return how numbers were distributed: up to the first edge and with it, and so on."""
        ends = ["-inf", *(f"{edge:g}" for edge in edges)]
        bins = [f"({low}, {high}]" for low, high in itertools.pairwise(ends)]
        return cls((*bins, f"({ends[-1]}, inf)"), tuple(counts), nulls, tuple(edges))

    def bin_of(self, value: float | str | None) -> str | None:
        """Return the bin of a value; None for a null."""
        if value is None or isinstance(value, str):
            return value
        return self.bins[bisect_left(self.edges, value)]

    def shares(self) -> Iterator[tuple[str | None, float]]:
        """Yield every bin with its share of all values; None for the nulls."""
        total = max(sum(self.counts) + self.nulls, 1)
        for name, count in zip((*self.bins, None), (*self.counts, self.nulls), strict=True):
            yield name, count / total


@dataclass(frozen=True)
class Expectation:
    """What a server expects.

    Attributes
    ----------
    schema
        The version of the file's own format.
    columns
        The features by name.
    probabilities
        The answers to customers that were not trained on.
    """

    schema: int
    columns: dict[str, Distribution]
    probabilities: Distribution


def load(folder: Path, contract: Contract) -> Expectation:
    """Read the expectation that stands in a bundle.

    Raises
    ------
    ConfigurationError
        The file is missing or cannot be used, or does not have the contract's features.
    """
    path, next_step = folder / EXPECTATION_FILE, "restore the bundle, or train the model again"
    try:
        expectation = TypeAdapter(Expectation).validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", next_step) from None
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {error.errors()[0]['msg']}", next_step) from None
    features = {column.name for column in contract.features}
    if expectation.schema != SCHEMA or features != expectation.columns.keys():
        raise ConfigurationError(f"{path}: it is of another contract or version", next_step)
    return expectation
