"""Some of the customers of a table of any size, to hold against the contract and the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

# Every change that matters is certain in so many rows.
ROWS = 100_000
VALUES = 10_000_000


class Sample:
    """Customers by a hash of their ids: rows of one id are in it together, wherever they stand.

    Parameters
    ----------
    names
        The columns that it has, that of the ids first.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [*names]
        self._id = self._names[0]
        self._parts: list[pd.DataFrame] = []
        self._rows = 0
        # One of so many ids is kept.
        self._step = 1

    def add(self, values: pd.DataFrame, rows: Sequence[int]) -> None:
        """Take some of the customers at these positions, who have ids, into the sample."""
        chosen = np.asarray(rows, dtype=np.int64)
        if self._step > 1:
            chosen = chosen[self._is_kept(values[self._id].iloc[chosen])]
        self._parts.append(values.iloc[chosen][self._names])
        self._rows += len(chosen)
        while self._rows > max(1_000, min(ROWS, VALUES // len(self._names))):
            self._step *= 2
            self._parts = [part[self._is_kept(part[self._id])] for part in self._parts]
            self._rows = sum(map(len, self._parts))

    def _is_kept(self, ids: pd.Series[str]) -> npt.NDArray[np.bool_]:
        hashes = pd.util.hash_array(ids.to_numpy(dtype=object), categorize=False)
        kept: npt.NDArray[np.bool_] = hashes % np.uint64(self._step) == 0
        return kept

    @property
    def customers(self) -> pd.DataFrame:
        """The sample, in the order of the table."""
        return pd.concat(self._parts, ignore_index=True)
