"""Which rows may be trained on at a cut-off: none from later, none whose label is not known yet."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...errors import ConfigurationError, DataError
from .. import origin as origins
from ..contract import POINTER_FILE, Contract
from ..origin import ORIGIN_FILE, Labels
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


def labels_of(contract: Contract) -> Labels | None:
    """Return when labels are known; None where nobody says, or the table is in git.

    Of a table in git no row was ever left out, so that its newest labels prove nothing.
    """
    file = contract.path.with_name(ORIGIN_FILE)
    if contract.data.name != POINTER_FILE or not file.is_file():
        return None
    labels = origins.load(file).labels
    if labels is not None:
        require_column(labels, contract, file)
    return labels


def observed_days(table: Table, contract: Contract) -> npt.NDArray[np.datetime64] | None:
    """Return the day on which each row was observed, [n] of datetime64[D], as `labels_of`."""
    labels = labels_of(contract)
    if labels is None:
        return None
    moments = table.values[labels.observed].to_numpy(dtype="datetime64[ns]")
    return moments.astype("datetime64[D]")


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
