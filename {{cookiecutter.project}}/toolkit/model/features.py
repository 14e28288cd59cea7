"""From a customer's columns to the matrix that a model sees: one place for training and serving.

The model is a function of a float32 matrix [n, k]; this module alone knows what the k columns are.
Nulls are NaN. Numpy only: a server imports it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.contract import Column, Contract
from . import plugins

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

OWNERS = ("features", "FEATURES")


@dataclass(frozen=True)
class DerivedFeature:
    """A feature computed from columns; it steps aside where the contract does not have them all.

    Attributes
    ----------
    inputs
        The names of numeric columns, a tuple.
    compute
        From the inputs, each [n] with NaN for nulls, to the feature, [n].
    """

    name: str
    inputs: tuple[str, ...]
    compute: Callable[..., Vector]

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, tuple):  # ("age") is a string, and lacks a comma.
            raise TypeError(f"the inputs of {self.name!r} must be a tuple, not {self.inputs!r}")


class Features:
    """The features of one contract.

    Attributes
    ----------
    names
        The features in the order of the matrix, [k].
    """

    def __init__(self, contract: Contract) -> None:
        self._numbers = tuple(column.name for column in contract.features if column.is_numeric)
        categories = {
            column.name: column.categories for column in contract.features if not column.is_numeric
        }
        encoded = tuple(
            f"{name}={category}" for name, values in categories.items() for category in values
        )
        columns = (column.name for column in contract.columns)
        derived = _derived(contract, {*columns, *encoded})
        self.names = (*self._numbers, *encoded, *(one.name for one in derived))
        self._derived = dict(enumerate(derived, len(self._numbers) + len(encoded)))
        self._places = {name: slice(place, place + 1) for place, name in enumerate(self._numbers)}
        self._place_of_value: dict[str, dict[str | None, int]] = {}
        start = len(self._numbers)
        for name, values in categories.items():
            places = range(start, start := start + len(values))
            self._places[name] = slice(places.start, places.stop)
            # A null's is the first of its column, counted from the end: a negative one.
            null = places.start - len(self.names)
            self._place_of_value[name] = {**dict(zip(values, places, strict=True)), None: null}

    def matrix(self, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> Matrix:
        """Return the features of n customers, [n, k].

        Parameters
        ----------
        columns
            The contract's features by name, each [n]; None or NaN for a null.

        Raises
        ------
        KeyError
            A column is missing, or a category is not in the contract.
        """
        count = len(columns[next(iter(self._places))])
        matrix = np.zeros((count, len(self.names)), dtype=np.float32)
        if self._numbers:
            numbers = np.array([columns[name] for name in self._numbers], dtype=np.float64)
            matrix[:, : len(self._numbers)] = numbers.T
        if self._place_of_value:
            self._encode(matrix, columns, self._place_of_value)
        for place, derived in self._derived.items():
            matrix[:, place] = _compute(derived, columns)
        return matrix

    def _encode(
        self,
        matrix: Matrix,
        columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]],
        names: Collection[str],
    ) -> None:
        """Set the features of categories, where a matrix, [n, k], has zeros.

        A category has one column a value: 1 where it has the value, NaN everywhere for a null.
        """
        places = np.array(
            [[*map(self._place_of_value[name].__getitem__, columns[name])] for name in names],
            dtype=np.intp,
        )
        # All columns at once: for one customer each step costs more than its values.
        matrix[np.arange(len(matrix)), places] = 1
        if places.min(initial=0) < 0:
            for name, of_column in zip(names, places, strict=True):
                matrix[of_column < 0, self._places[name]] = np.nan

    def altered(
        self, matrix: Matrix, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]], name: str
    ) -> Matrix:
        """Return the features of n customers who differ from others in one column, [n, k].

        Parameters
        ----------
        matrix
            The features of the others, [n, k].
        columns
            The columns of the n customers, as `matrix` takes them.
        name
            The column in which they differ.
        """
        altered = matrix.copy()
        if name in self._place_of_value:
            altered[:, self._places[name]] = 0
            self._encode(altered, columns, [name])
        else:
            numbers = np.asarray(columns[name], dtype=np.float64)
            altered[:, self._places[name].start] = numbers
        for place, derived in self._derived.items():
            if name in derived.inputs:
                altered[:, place] = _compute(derived, columns)
        return altered

    def places_of(self, name: str) -> list[int]:
        """Return the positions in the matrix of all features that are computed from a column."""
        derived = (place for place, one in self._derived.items() if name in one.inputs)
        return [*range(len(self.names))[self._places[name]], *derived]

    def derived(self, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> dict[str, Vector]:
        """Return the features that are computed from columns, by name, [n] each."""
        return {derived.name: _compute(derived, columns) for derived in self._derived.values()}


def _compute(
    derived: DerivedFeature, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]
) -> Vector:
    return derived.compute(
        *(np.asarray(columns[name], dtype=np.float64) for name in derived.inputs)
    )


def _derived(contract: Contract, taken: Collection[str]) -> tuple[DerivedFeature, ...]:
    """Return the owner's features whose inputs the contract has; `taken` are other names."""
    numbers = {column.name: column for column in contract.features if column.is_numeric}
    derived = tuple(
        one
        for one in plugins.entries(contract.package, *OWNERS, DerivedFeature)
        if set(one.inputs) <= numbers.keys()
    )
    for one in derived:
        if one.name in taken:
            why = f"{one.name!r} is also the name of a column in {contract.path}"
            raise plugins.mistake(contract.package, *OWNERS, why, "rename the derived feature")
        _try_out(one, [numbers[name] for name in one.inputs], contract.package)
    return derived


def _try_out(derived: DerivedFeature, inputs: Sequence[Column], package: str) -> None:
    """Compute a feature of the ends of its inputs' ranges and of a null: does it work at all?"""
    values = [np.array([*column.range, np.nan]) for column in inputs]
    try:
        with np.errstate(all="ignore"):
            shape = np.asarray(derived.compute(*values), dtype=np.float64).shape
    except Exception as error:  # The owner's code may raise anything.
        why = f"the feature {derived.name!r} cannot be computed"
        raise plugins.mistake(package, *OWNERS, why, cause=error) from None
    if shape != (3,):
        why = f"{derived.name!r} must return as many values as it gets: {shape} for (3,)"
        raise plugins.mistake(package, *OWNERS, why)
