"""The distributions of features and predictions at training, for the monitoring of a server.

They are released with the model, so that a server can report how far its traffic has drifted. They
hold counts and never a row. The standard library and pydantic only: a server imports this module.
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
    """The distribution of values over bins.

    Attributes
    ----------
    bins
        The names of the bins: categories, or intervals of a number.
    counts
        The number of values in each bin.
    nulls
        The number of nulls.
    edges
        The upper bounds of all intervals but the last, inclusive; empty for categories.
    """

    bins: tuple[str, ...]
    counts: tuple[int, ...]
    nulls: int
    edges: tuple[float, ...] = ()

    @classmethod
    def of_numbers(
        cls, edges: Sequence[float], counts: Sequence[int], nulls: int = 0
    ) -> "Distribution":
        """Return a distribution over intervals, each up to and including an edge, the last open."""
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
    """The distributions that a server compares its traffic with.

    Attributes
    ----------
    schema
        The version of the file format.
    columns
        The input features by name.
    probabilities
        The predictions for customers of the holdout.
    """

    schema: int
    columns: dict[str, Distribution]
    probabilities: Distribution


def load(folder: Path, contract: Contract) -> Expectation:
    """Read the expectation in a bundle.

    Raises
    ------
    ConfigurationError
        The file is missing or invalid, or has other features than the contract.
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
        why = "it belongs to another contract or format version"
        raise ConfigurationError(f"{path}: {why}", next_step)
    return expectation
