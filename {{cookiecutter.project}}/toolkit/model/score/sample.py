"""Some of the customers of a table of any size, to hold against the contract and the reference."""

from __future__ import annotations

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
    id_name
        The column of the ids.
    """

    def __init__(self, id_name: str) -> None:
        self._id = id_name
        self._parts: list[pd.DataFrame] = []
        self._rows = 0
        # One of so many ids is kept.
        self._step = 1

    def add(self, values: pd.DataFrame) -> None:
        """Take some of these customers, which have ids, into the sample."""
        self._parts.append(values[self._is_kept(values)])
        self._rows += len(self._parts[-1])
        while self._rows > max(1_000, min(ROWS, VALUES // values.shape[1])):
            self._step *= 2
            self._parts = [part[self._is_kept(part)] for part in self._parts]
            self._rows = sum(map(len, self._parts))

    def _is_kept(self, values: pd.DataFrame) -> npt.NDArray[np.bool_]:
        if self._step == 1:
            return np.ones(len(values), dtype=bool)
        ids = values[self._id].to_numpy(dtype=object)
        kept: npt.NDArray[np.bool_] = pd.util.hash_array(ids) % np.uint64(self._step) == 0
        return kept

    @property
    def customers(self) -> pd.DataFrame:
        """The sample, in the order of the table."""
        return pd.concat(self._parts, ignore_index=True)
