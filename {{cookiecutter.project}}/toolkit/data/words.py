"""The distinct texts of a column, and which of them match a pattern."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Words:
    """The distinct texts of a column in the order of the table, without nulls.

    Attributes
    ----------
    name
        The column.
    texts
        An Arrow array of text, [k].
    counts
        The number of rows of each, [k].
    """

    name: str
    texts: Any
    counts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.counts.sum())

    def are(self, pattern: str) -> npt.NDArray[np.bool_]:
        """Return which texts match a pattern as a whole, [k]."""
        found = pc.match_substring_regex(self.texts, rf"(?s)\A(?:{pattern})\z")
        return np.asarray(found, dtype=np.bool_)

    def containing(self, character: str) -> "Words":
        """Return the texts in which a character stands."""
        found = pc.match_substring(self.texts, character)
        return self.select(np.asarray(found, dtype=np.bool_))

    def among(self, texts: Iterable[str], fold_case: bool = False) -> npt.NDArray[np.bool_]:
        """Return which texts are among others, [k]."""
        own = pc.utf8_lower(self.texts) if fold_case else self.texts
        found = pc.is_in(own, pa.array(list(texts), own.type))
        return np.asarray(found, dtype=np.bool_)

    def select(self, chosen: npt.NDArray[np.bool_]) -> "Words":
        """Return some of the texts."""
        if chosen.all():
            return self
        return replace(self, texts=self.texts.filter(pa.array(chosen)), counts=self.counts[chosen])

    def matching(self, pattern: str) -> "Words":
        """Return the texts that match a pattern as a whole."""
        return self.select(self.are(pattern))

    def without(self, pattern: str) -> "Words":
        """Return the texts that do not match a pattern as a whole."""
        return self.select(~self.are(pattern))

    def first(self, pattern: str) -> str | None:
        """Return the first text that matches a pattern as a whole, None where none does."""
        found = self.matching(pattern)
        return found.texts[0].as_py() if len(found) else None

    def first_few(self, count: int) -> tuple[str, ...]:
        """Return the first texts."""
        return tuple(self.texts[:count].to_pylist())

    def longest(self) -> int:
        """Return the position of the longest text, of several the first."""
        return int(np.argmax(np.asarray(pc.utf8_length(self.texts))))

    def series(self) -> pd.Series:
        """Return the texts as a series, [k]."""
        return pd.Series(self.texts.to_pandas(), dtype="str")


def words_of(name: str, text: pd.Series) -> Words:
    """Return the distinct texts of a column, [n] with NaN for nulls."""
    values = pa.array(text.astype("str"), from_pandas=True)
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    table = pc.value_counts(pc.drop_null(values))
    texts = table.field("values").cast(pa.large_string())
    return Words(name, texts, table.field("counts").to_numpy(zero_copy_only=False))
