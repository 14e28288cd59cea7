"""Which rows may be trained on at a cut-off: none from later, none whose label is not known yet."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import ConfigurationError, DataError
from ..contract import Contract
from ..origin import Labels
from ..table import Table


def require_column(labels: Labels, contract: Contract, named_in: Path) -> None:
    """Refuse labels whose column is no date of the contract."""
    dates = [one.name for one in contract.columns if one.role == "date"]
    if labels.observed not in dates:
        known = f"it has {', '.join(dates)}" if dates else "it has none"
        raise ConfigurationError(
            f"{named_in}: labels.observed: {contract.path} has no column {labels.observed!r} of "
            f"the role date; {known}",
            f"add it to {contract.path}, or correct {named_in}",
        )


def ripe(table: Table, labels: Labels, as_of: date, named_in: Path) -> tuple[Table, int]:
    """Return the rows whose label is known at a cut-off, and how many others there were.

    Raises
    ------
    DataError
        A row was observed after the cut-off, or it is not known when.
    """
    if labels.observed not in table.values:  # Which the validation says.
        return table, 0
    observed = table.values[labels.observed]
    end = pd.Timestamp(datetime.combine(as_of + timedelta(days=1), datetime.min.time(), UTC))
    for rows, what in (
        (observed.isna(), f"have no {labels.observed}"),
        (observed >= end, f"were observed after {as_of}, the cut-off"),
    ):
        if rows.any():
            raise DataError(
                f"{named_in}: {int(rows.sum())} of {len(table)} rows {what}",
                "let the query leave them out: it gets the cut-off as $1",
            )
    known = (observed < end - timedelta(days=labels.known_after_days)).to_numpy()
    return select(table, np.flatnonzero(known)), int((~known).sum())


def select(table: Table, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Table:
    """Return a table of some of its rows, given as positions."""
    place_of = {int(row): place for place, row in enumerate(rows)}
    kept = {
        name: wrong[[row in place_of for row in wrong.index]].rename(index=place_of)
        for name, wrong in table.unreadable.items()
    }
    lines = None if table._line_of is None else table._line_of[rows]
    return replace(
        table,
        values=table.values.iloc[rows].reset_index(drop=True),
        unreadable={name: wrong for name, wrong in kept.items() if len(wrong)},
        ragged=[place_of[int(row)] for row in table.ragged if int(row) in place_of],
        _line_of=lines,
    )
