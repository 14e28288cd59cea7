"""The profile of a table: the distributions of its columns, and how they relate to the target.

It holds counts and quantiles, never a row.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import relation as relations
from .contract import Contract
from .distribution import (
    PROBABILITIES,
    Categories,
    Numbers,
    measure_categories,
    measure_numbers,
)
from .relation import Relation
from .table import Table


@dataclass(frozen=True)
class Profile:
    """The distributions of a table's columns.

    Attributes
    ----------
    rows
        The table's number of rows.
    numbers, categories
        The features and the target that the table has, by name.
    predictions
        The reference model's predictions for the rows; None where a feature is missing.
    relation
        How the columns relate to the target; None where one is missing, or an older reference does
        not say.
    """

    rows: int
    numbers: dict[str, Numbers]
    categories: dict[str, Categories]
    predictions: Numbers | None
    relation: Relation | None = None


def measure(
    table: Table,
    contract: Contract,
    like: Profile | None,
    y_prob: npt.NDArray[np.float32] | None,
) -> Profile:
    """Return the profile of a table.

    Parameters
    ----------
    like
        The profile whose bins and quantiles divide the table's numbers; None for its own.
    y_prob
        The predictions of the reference's model, [n]; None where there are none.
    """
    columns = [
        column for column in (*contract.features, contract.target) if column.name in table.values
    ]
    numbers = {
        column.name: measure_numbers(
            table.values[column.name].to_numpy(),
            like.numbers[column.name] if like else None,
            whole=column.type == "integer",
        )
        for column in columns
        if column.is_numeric
    }
    categories = {
        column.name: measure_categories(table.values[column.name])
        for column in columns
        if not column.is_numeric
    }
    predictions = relation = None
    if y_prob is not None:
        predictions = measure_numbers(y_prob, like.predictions if like else None)
        divided = like or Profile(len(table), numbers, categories, predictions)
        known = len(table) and contract.target.name in table.values
        if known and divided.predictions is not None:
            churned = table.values[contract.target.name] == contract.target.positive
            relation = relations.measure(
                *(table.values, contract, churned.to_numpy(dtype=bool), y_prob),
                *(divided.numbers, divided.predictions.quantiles),
            )
    return Profile(len(table), numbers, categories, predictions, relation)


def is_coherent(one: Numbers | Categories, rows: int) -> bool:
    """Return whether a distribution's figures fit together, and the table's number of rows."""
    counts = one.counts if isinstance(one, Numbers) else one.counts.values()
    coherent = one.rows + one.nulls == rows and sum(counts) == one.rows
    if isinstance(one, Categories):
        return coherent
    quantiles = len(PROBABILITIES) if one.rows else 0
    return coherent and (len(one.quantiles), len(one.counts)) == (quantiles, len(one.edges) + 1)
