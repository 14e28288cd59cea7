"""The table of customers: read by its contract, and divided by a hash of the customer's id."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .contract import Column, Contract
from .errors import DataError

FIRST_DATA_LINE = 2  # The header is line 1.


@dataclass(frozen=True)
class Dataset:
    """Customers that keep their contract, ready for features and training.

    Attributes
    ----------
    ids
        The customers' names, [n] of text.
    columns
        The features by name, each [n]: float64 with NaN for nulls, or objects with None for nulls.
    labels
        1 for a customer who left and 0 for one who stayed, [n] of int64.
    """

    ids: npt.NDArray[np.object_]
    columns: dict[str, npt.NDArray[Any]]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: npt.NDArray[Any]) -> "Dataset":
        """Return the customers of these rows: a mask, or positions."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Dataset(self.ids[rows], columns, self.labels[rows])


def read_text(contract: Contract) -> pd.DataFrame:
    """Read the table as text, nulls for empty fields, exactly the columns that the file has.

    Raises
    ------
    DataError
        The file is missing, empty, not UTF-8, or its lines are not CSV.
    """
    next_step = f"restore {contract.data}, or name another file in {contract.path}"
    try:
        # The header is read as a row, so that pandas does not rename a column that is there twice,
        # and empty lines are kept, so that a row's line in the file is known.
        rows = pd.read_csv(
            contract.data,
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            encoding="utf-8-sig",
        )
    except OSError as error:
        raise DataError(f"{contract.data}: {error.strerror}", next_step) from None
    except ValueError as error:  # pandas' own errors and UnicodeDecodeError are ValueErrors.
        raise DataError(f"{contract.data}: not readable as CSV: {error}", next_step) from None
    table = rows.iloc[1:].set_axis(list(rows.iloc[0]), axis="columns")
    table = table.set_axis(range(FIRST_DATA_LINE, FIRST_DATA_LINE + len(table)), axis="index")
    text: pd.DataFrame = table.apply(lambda column: column.str.strip())
    return text.where(text != "", None)


def to_values(text: pd.Series, column: Column) -> pd.Series:
    """Return a column's values: float64 for numbers, text otherwise; what is no number is null."""
    if not column.is_numeric:
        return text
    values = pd.to_numeric(text, errors="coerce").astype(float)
    wrong = ~np.isfinite(values)
    if column.type == "integer":
        wrong |= values % 1 != 0
    return values.mask(wrong)


def from_text(text: pd.DataFrame, contract: Contract) -> Dataset:
    """Return the dataset of a table that validation has found nothing in."""
    columns: dict[str, npt.NDArray[Any]] = {}
    for column in contract.features:
        values = to_values(text[column.name], column)
        if column.is_numeric:
            columns[column.name] = values.to_numpy(dtype=np.float64)
        else:
            columns[column.name] = _objects(values)
    return Dataset(
        ids=_objects(text[contract.id.name]),
        columns=columns,
        labels=np.asarray(text[contract.target.name] == contract.target.positive, dtype=np.int64),
    )


def _objects(values: pd.Series) -> npt.NDArray[np.object_]:
    objects = values.to_numpy(dtype=object)
    objects[values.isna().to_numpy()] = None
    return objects


def position(ids: Sequence[str] | npt.NDArray[np.object_], purpose: str) -> npt.NDArray[np.float64]:
    """Return a place in [0, 1) for each id, [n]: the same on every day and every machine.

    Parameters
    ----------
    ids
        The customers' names, [n].
    purpose
        Different purposes give independent places.
    """
    digests = (hashlib.blake2b(f"{purpose}:{name}".encode(), digest_size=6) for name in ids)
    return np.array([int.from_bytes(digest.digest(), "big") / 2**48 for digest in digests])


def is_held_out(dataset: Dataset, share: float) -> npt.NDArray[np.bool_]:
    """Tell which customers are held out, [n]: each keeps its side while others come and go."""
    return position(dataset.ids, "hold-out") < share


def quick_rows(dataset: Dataset, count: int) -> npt.NDArray[np.int64]:
    """Return the positions of the `count` customers (or all) that the quick gate looks at."""
    return np.sort(np.argsort(position(dataset.ids, "quick"), kind="stable")[:count])


def folds(dataset: Dataset, count: int) -> npt.NDArray[np.int64]:
    """Return each customer's fold, [n] in 0 .. count - 1."""
    return (position(dataset.ids, "fold") * count).astype(np.int64)
