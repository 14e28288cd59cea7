"""The two files of a batch run: the scores, and beside them the rows that were rejected."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ...data.parquet import SUFFIXES
from ...errors import ConfigurationError
from .transfer import Target, name_of

REJECTED = ".rejected.csv"
EXPLANATION = "explanation"
FORMATS = (".csv", *SUFFIXES)


def rejected_place(output: str) -> str:
    """Return where the rejected rows go: ``scores.rejected.csv`` beside ``scores.parquet``."""
    place, mark, parameters = output.partition("?")
    return f"{place.removesuffix(PurePosixPath(place).suffix)}{REJECTED}{mark}{parameters}"


class Result:
    """Scores on their way to their place; both files appear when they are published.

    Parameters
    ----------
    output
        The path or URL of the scores, CSV or Parquet by its suffix.
    id_name
        The name of the column of the customers' ids.
    unit
        What a row's place in the input counts: ``line`` or ``row``.
    explained
        Whether there is a column of explanations.

    Raises
    ------
    ConfigurationError
        The suffix is another one, or nothing can be written there.
    """

    def __init__(self, output: str, id_name: str, unit: str, explained: bool) -> None:
        if not name_of(output).lower().endswith(FORMATS):
            raise ConfigurationError(
                f"{name_of(output)}: the result is CSV or Parquet",
                f"let the name end with {' or '.join(FORMATS)}",
            )
        of_scores = [
            (id_name, pa.string()),
            ("churn_probability", pa.float64()),
            ("churn", pa.bool_()),
            ("release", pa.string()),
            ("model_sha256", pa.string()),
            ("as_of", pa.date32()),
            *([(EXPLANATION, pa.string())] if explained else []),
        ]
        texts = ("field", "value", "rule", "reason")
        of_rejected = [(unit, pa.int64()), (id_name, pa.string())]
        of_rejected += [(name, pa.string()) for name in texts]
        self._scores, self._rejected = pa.schema(of_scores), pa.schema(of_rejected)
        with ExitStack() as stack:
            self._targets = [Target(rejected_place(output)), Target(output)]
            for target in self._targets:
                stack.callback(target.close)
            rejected, scores = (target.partial for target in self._targets)
            self._writers = [pyarrow.csv.CSVWriter(rejected, self._rejected)]
            if name_of(output).lower().endswith(SUFFIXES):
                self._writers.append(pq.ParquetWriter(scores, self._scores, compression="zstd"))
            else:
                self._writers.append(pyarrow.csv.CSVWriter(scores, self._scores))
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Remove what was not published."""
        self._stack.close()

    def write(self, scores: Sequence[Any], rejected: Sequence[Sequence[Any]]) -> None:
        """Write the scores of n customers, a column each, [n], and the rejected rows of others."""
        of_rejected, of_scores = self._writers
        of_scores.write_table(_table(scores, self._scores))
        if rejected:
            of_rejected.write_table(_table([*zip(*rejected, strict=True)], self._rejected))

    def publish(self) -> str:
        """Let both files appear, the scores last; return the SHA-256 of their bytes."""
        for writer in self._writers:
            writer.close()
        *_, sha256 = [target.publish() for target in self._targets]
        return sha256


def _table(columns: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    pairs = zip(columns, schema, strict=True)
    arrays = [pa.array(values, field.type) for values, field in pairs]
    return pa.Table.from_arrays(arrays, schema=schema)
