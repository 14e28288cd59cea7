"""Finds the value of another column that stands exactly where a column is null."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

# Of a column's nulls: nearly every other column has two different values beside so many.
FIRST_NULLS = 20


class Companions:
    """Looks for the companions of nulls among columns.

    Parameters
    ----------
    columns
        In the order in which companions are looked for, [n] each, null for a null.
    """

    def __init__(self, columns: Sequence[pd.Series]) -> None:
        self._columns = columns
        # Equal values have equal codes, a null -1. A row is contiguous: few rows are looked at.
        self._codes = np.column_stack([pd.factorize(one)[0].astype(np.int32) for one in columns])

    def of(self, place: int) -> str:
        """Return the column and value that occur exactly where the column at `place` is null.

        Nothing where there is none, or no null.
        """
        missing = self._codes[:, place] < 0
        nulls = np.flatnonzero(missing)
        if not len(nulls):
            return ""
        first = self._codes[nulls[0]]
        beside = self._codes[nulls[:FIRST_NULLS]]
        for other in np.flatnonzero((beside == first).all(axis=0) & (first >= 0)).tolist():
            if np.array_equal(self._codes[:, other] == first[other], missing):
                return f"{self._columns[other].name} is {self._columns[other].iloc[nulls[0]]}"
        return ""
