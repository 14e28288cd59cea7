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
        self._categories = tuple(
            _OneHot(column) for column in contract.features if not column.is_numeric
        )
        encoded = (name for one_hot in self._categories for name in one_hot.names)
        columns = (column.name for column in contract.columns)
        self._derived = _derived(contract, {*columns, *encoded})
        self.names = (
            *self._numbers,
            *(name for one_hot in self._categories for name in one_hot.names),
            *(derived.name for derived in self._derived),
        )
        self._one_hot_of = {one_hot.column: one_hot for one_hot in self._categories}
        self._places = self._places_of_columns()

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
        numbers = (np.asarray(columns[name], dtype=np.float64) for name in self._numbers)
        blocks = [values[:, np.newaxis] for values in numbers]
        blocks += [one_hot.block(columns[one_hot.column]) for one_hot in self._categories]
        blocks += [np.asarray(values)[:, np.newaxis] for values in self.derived(columns).values()]
        return np.concatenate(blocks, axis=1, dtype=np.float32, casting="same_kind")

    def altered(self, matrix: Matrix, columns: Mapping[str, npt.NDArray[Any]], name: str) -> Matrix:
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
        one_hot = self._one_hot_of.get(name)
        values = columns[name]
        block = one_hot.block(values) if one_hot else np.asarray(values)[:, np.newaxis]
        altered[:, self._places[name]] = block
        first = len(self.names) - len(self._derived)
        for place, derived in enumerate(self._derived, first):
            if name in derived.inputs:
                altered[:, place] = _compute(derived, columns)
        return altered

    def places_of(self, name: str) -> list[int]:
        """Return the positions in the matrix of all features that are computed from a column."""
        first = len(self.names) - len(self._derived)
        derived = (place for place, one in enumerate(self._derived, first) if name in one.inputs)
        return [*range(len(self.names))[self._places[name]], *derived]

    def _places_of_columns(self) -> dict[str, slice]:
        """Return by column the positions of its own features: one, or one a category."""
        places = {name: slice(place, place + 1) for place, name in enumerate(self._numbers)}
        start = len(self._numbers)
        for one_hot in self._categories:
            places[one_hot.column] = slice(start, start := start + len(one_hot.names))
        return places

    def derived(self, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> dict[str, Vector]:
        """Return the features that are computed from columns, by name, [n] each."""
        return {derived.name: _compute(derived, columns) for derived in self._derived}


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


class _OneHot:
    """A category as one column a value: 1 where it has the value, NaN everywhere for a null."""

    def __init__(self, column: Column) -> None:
        count = len(column.categories)
        self.column = column.name
        self.names = tuple(f"{column.name}={category}" for category in column.categories)
        self._row_of: dict[str | None, int] = {
            category: row for row, category in enumerate((*column.categories, None))
        }
        self._rows = np.vstack([np.eye(count), np.full(count, np.nan)])

    def block(self, values: Sequence[Any] | npt.NDArray[Any]) -> Vector:
        """Return the columns of n values, [n, number of categories]."""
        # For one customer it takes half as long as an index.
        return self._rows.take([self._row_of[value] for value in values], axis=0)
