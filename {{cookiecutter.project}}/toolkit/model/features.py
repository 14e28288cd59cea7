"""From a customer's columns to the matrix that a model sees: one place for training and serving.

The model is a function of a float32 matrix [n, k]; this module alone knows what the k columns are.
Nulls are NaN. Numpy only: a server imports it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.contract import Column, Contract
from . import plugins

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DerivedFeature:
    """A feature computed from columns; it steps aside where the contract does not have them all.

    Attributes
    ----------
    inputs
        The names of numeric columns.
    compute
        From the inputs, each [n] with NaN for nulls, to the feature, [n].
    """

    name: str
    inputs: tuple[str, ...]
    compute: Callable[..., Vector]


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
        self._derived = tuple(
            derived
            for derived in plugins.load(contract.package, "features", "FEATURES")
            if set(derived.inputs) <= set(self._numbers)
        )
        self.names = (
            *self._numbers,
            *(name for one_hot in self._categories for name in one_hot.names),
            *(derived.name for derived in self._derived),
        )

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
        blocks = [np.asarray(columns[name], dtype=np.float64) for name in self._numbers]
        blocks += [one_hot.block(columns[one_hot.column]) for one_hot in self._categories]
        blocks += self.derived(columns).values()
        return np.column_stack(blocks).astype(np.float32)

    def derived(self, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> dict[str, Vector]:
        """Return the features that are computed from columns, by name, [n] each."""
        return {
            derived.name: derived.compute(
                *(np.asarray(columns[name], dtype=np.float64) for name in derived.inputs)
            )
            for derived in self._derived
        }


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
        return self._rows[[self._row_of[value] for value in values]]
