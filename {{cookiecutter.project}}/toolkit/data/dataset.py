"""The customers of a validated table, and splits of them by a hash of the customer's id."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import DataError
from .contract import Contract
from .table import Table


@dataclass(frozen=True)
class Dataset:
    """Validated customers, ready for features and training.

    Attributes
    ----------
    ids
        The customers' ids, [n] of text.
    columns
        The features by name, each [n]: float64 with NaN for nulls, or objects with None for nulls.
    labels
        1 for a churned and 0 for a retained customer, [n] of int64.
    protected
        The protected columns by name, [n] of text with None for nulls.
    """

    ids: npt.NDArray[np.object_]
    columns: dict[str, npt.NDArray[Any]]
    labels: npt.NDArray[np.int64]
    protected: dict[str, npt.NDArray[np.object_]]

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: npt.NDArray[Any]) -> "Dataset":
        """Return the customers of these rows, given as a mask or as positions."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        protected = {name: values[rows] for name, values in self.protected.items()}
        return Dataset(self.ids[rows], columns, self.labels[rows], protected)


def from_table(table: Table, contract: Contract) -> Dataset:
    """Return the dataset of a table without findings."""
    values = table.values
    return Dataset(
        ids=as_objects(values[contract.id.name]),
        columns={
            column.name: values[column.name].to_numpy(dtype=np.float64)
            if column.is_numeric
            else as_objects(values[column.name])
            for column in contract.features
        },
        labels=np.asarray(values[contract.target.name] == contract.target.positive, dtype=np.int64),
        protected={
            column.name: as_objects(values[column.name])
            for column in contract.columns
            if column.role == "protected"
        },
    )


def as_objects(values: pd.Series) -> npt.NDArray[np.object_]:
    """Return text with None for nulls, [n]."""
    objects = values.to_numpy(dtype=object)
    objects[values.isna().to_numpy()] = None
    return objects


def require_both_labels(labels: npt.NDArray[np.int64], part: str) -> None:
    """Refuse a part of the table in which all customers churned, or none did.

    Parameters
    ----------
    labels
        1 for a churned and 0 for a retained customer, [n].
    part
        The name of the part, for the message.

    Raises
    ------
    DataError
        At most one of the labels occurs.
    """
    if len(np.unique(labels)) < 2:
        raise DataError(
            f"{part} must contain churned and retained customers, "
            f"but its {len(labels)} customers have at most one label",
            "add rows, or fix the target in the contract",
        )


def position(ids: Sequence[str] | npt.NDArray[np.object_], purpose: str) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) for each id, [n]: the same at any time and on any machine.

    Parameters
    ----------
    ids
        The customers' ids, [n].
    purpose
        Different purposes give independent numbers.
    """
    digests = (hashlib.blake2b(f"{purpose}:{name}".encode(), digest_size=6) for name in ids)
    return np.array([int.from_bytes(digest.digest(), "big") / 2**48 for digest in digests])


def is_held_out(dataset: Dataset, share: float) -> npt.NDArray[np.bool_]:
    """Return which customers are in the holdout, [n]: each stays there while others come and go."""
    return position(dataset.ids, "hold-out") < share


def quick_rows(dataset: Dataset, count: int) -> npt.NDArray[np.int64]:
    """Return the positions of the `count` customers (or of all) that the quick gate uses, [k]."""
    return np.sort(np.argsort(position(dataset.ids, "quick"), kind="stable")[:count])


def folds(dataset: Dataset, count: int) -> npt.NDArray[np.int64]:
    """Return each customer's fold, [n] in 0 .. count - 1."""
    return (position(dataset.ids, "fold") * count).astype(np.int64)
