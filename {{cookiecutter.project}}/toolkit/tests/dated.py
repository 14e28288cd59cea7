"""A repository whose table is elsewhere, and says of each customer on which day it was observed."""

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest

from toolkit.__main__ import main
from toolkit.tests import customers

OBSERVED = '\n[[column]]\nname = "seen_on"\nrole = "date"\ntype = "date"\n'
FIRST = date(2026, 1, 1)
LABELS = '\n[labels]\nobserved = "seen_on"\nknown_after_days = 30\n'


def make(folder: Path, count: int, days: int, labels: str = LABELS) -> Path:
    """Make a repository in a folder, with customers of so many days from `FIRST` on.

    The table is beside it, all labels are known, and no snapshot is taken yet.
    """
    (folder / "data").mkdir(parents=True)
    rows = customers.make(count)
    customers.write(folder / "data", rows)
    for name in ("quality.toml", "model_card.toml"):
        (folder / "data" / name).rename(folder / name)
    contract = customers.CONTRACT.replace('file = "customers.csv"\n', "") + OBSERVED
    (folder / "data" / "contract.toml").write_text(contract, encoding="utf-8")
    (folder / "data" / "customers.csv").unlink()
    write(folder, rows, days)
    (folder / "data" / "source.toml").write_text(
        f'schema = 1\nkind = "files"\nurl = "{folder.parent / "customers.csv"}"\n{labels}',
        encoding="utf-8",
    )
    return folder


def write(folder: Path, rows: list[customers.Row], days: int) -> None:
    """Write the table: the customers of each day have nothing in common but that."""
    with (folder.parent / "customers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*customers.HEADER, "seen_on"], lineterminator="\n")
        writer.writeheader()
        for place, row in enumerate(rows):
            seen_on = FIRST + timedelta(days=place * days // len(rows))
            writer.writerow(row | {"seen_on": seen_on.isoformat()})


def take(as_of: date) -> None:
    """Take a snapshot of the repository in the current folder, whatever its check says."""
    main(["snapshot", "--as-of", as_of.isoformat()])


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a repository the current folder, with a cache of its own."""
    monkeypatch.setenv("SNAPSHOT_CACHE", str(folder.parent / "cache"))
    monkeypatch.chdir(folder)
