"""The customers of a validated table, and splits of them by a hash of the customer's id.

Rows with the same features go together, by the smallest of their ids: a model that was trained on
one of them would know the answer of the others by heart. Only where a few coarse columns make many
customers alike, of whom some churned and some did not, each is split by the own id: there is
nothing to know by heart, and a side of their own would hold another kind of customer.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import DataError
from .contract import Contract
from .table import Table

# A copied customer has one label, however often it was copied.
COARSE_ROWS = 20


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
    groups
        The id that each customer is split by, [n] of text: the smallest of all with the same
        features, if these are at most `COARSE_ROWS` or have one label; of most it is their own.
    observed
        The day on which each row was observed, [n] of datetime64[D]; None where nobody says.
    """

    ids: npt.NDArray[np.object_]
    columns: dict[str, npt.NDArray[Any]]
    labels: npt.NDArray[np.int64]
    protected: dict[str, npt.NDArray[np.object_]]
    groups: npt.NDArray[np.object_]
    observed: npt.NDArray[np.datetime64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def quick_order(self) -> npt.NDArray[np.int64]:
        """The customers' positions in the order in which samples are taken of them, [n]."""
        return np.argsort(position(self.ids, "quick"), kind="stable")

    def select(self, rows: npt.NDArray[Any]) -> "Dataset":
        """Return the customers of these rows, given as a mask or as positions."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        protected = {name: values[rows] for name, values in self.protected.items()}
        days = None if self.observed is None else self.observed[rows]
        return Dataset(
            *(self.ids[rows], columns, self.labels[rows], protected, self.groups[rows], days)
        )


def from_table(table: Table, contract: Contract) -> Dataset:
    """Return the dataset of a table without findings."""
    values = table.values
    ids = as_objects(values[contract.id.name])
    labels = np.asarray(values[contract.target.name] == contract.target.positive, dtype=np.int64)
    content = contents(values, (column.name for column in contract.features))
    return Dataset(
        ids=ids,
        columns={
            column.name: values[column.name].to_numpy(dtype=np.float64)
            if column.is_numeric
            else as_objects(values[column.name])
            for column in contract.features
        },
        labels=labels,
        protected={
            column.name: as_objects(values[column.name])
            for column in contract.columns
            if column.role == "protected"
        },
        groups=_groups(ids, labels, content),
    )


def contents(values: pd.DataFrame, names: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Return a hash of some columns for each row, [n]: of equal rows the same, on any machine.

    Parameters
    ----------
    values
        Columns as `Table.values` has them.
    names
        The columns, in any order.
    """
    mixed = np.zeros(len(values), dtype=np.uint64)
    for name in sorted(names):
        column = values[name]
        if pd.api.types.is_numeric_dtype(column):
            numbers = column.to_numpy(dtype=np.float64) + 0.0  # -0.0 becomes 0.0.
            numbers[np.isnan(numbers)] = np.nan  # One of the many NaNs.
            bits = numbers.view(np.uint64) ^ number_of(name)
        else:
            codes, texts = pd.factorize(column)  # -1, the last, for a null.
            bits = np.array([*(number_of(f"{name}={text}") for text in texts), number_of(name)])
            bits = bits.astype(np.uint64)[codes]
        mixed = mix(mixed ^ bits)
    return mixed


def number_of(text: str) -> np.uint64:
    """Return a hash of a text."""
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))


def mix(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return a hash of each number, [n]: the finaliser of SplitMix64 (Steele and others, 2014)."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _groups(
    ids: npt.NDArray[np.object_],
    labels: npt.NDArray[np.int64],
    content: npt.NDArray[np.uint64],
) -> npt.NDArray[np.object_]:
    """Return the id that each customer is split by, [n]: see `Dataset.groups`."""
    _, group_of, rows = np.unique(content, return_inverse=True, return_counts=True)
    churned = np.bincount(group_of, weights=labels)
    mixed = (churned > 0) & (churned < rows)
    together = ((rows > 1) & ~(mixed & (rows > COARSE_ROWS)))[group_of]
    groups = ids.copy()
    if together.any():
        same = pd.Series(ids[together]).groupby(group_of[together])
        groups[together] = same.transform("min").to_numpy(dtype=object)
    return groups


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
    return position(dataset.groups, "hold-out") < share


def quick_rows(dataset: Dataset, count: int) -> npt.NDArray[np.int64]:
    """Return the positions of the `count` customers (or of all) that the quick gate uses, [k]."""
    return np.sort(dataset.quick_order[:count])


def folds(dataset: Dataset, count: int) -> npt.NDArray[np.int64]:
    """Return each customer's fold, [n] in 0 .. count - 1."""
    return (position(dataset.groups, "fold") * count).astype(np.int64)
