"""A repository whose table is elsewhere, and the ways in which a table can be there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from toolkit.__main__ import main
from toolkit.data.snapshot import pointer
from toolkit.tests import customers

DAY = "2026-11-20"
TAKE = ("snapshot", "--as-of", DAY)
INTEGERS, NUMBERS = ("age", "tenure_months"), ("monthly_spend",)


def make(folder: Path) -> Path:
    """Make a repository with a reference in a folder, its table beside it, and return it."""
    (folder / "data").mkdir(parents=True)
    customers.write(folder / "data", customers.make())
    for name in ("quality.toml", "model_card.toml"):
        (folder / "data" / name).rename(folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["reference"]) == 0
    (folder / "data" / "contract.toml").write_text(
        customers.CONTRACT.replace('file = "customers.csv"\n', ""), encoding="utf-8"
    )
    (folder / "data" / "customers.csv").rename(folder.parent / "customers.csv")
    point(folder, folder.parent / "customers.csv")
    return folder


def point(repository: Path, url: Path | str, more: str = "", kind: str = "files") -> None:
    """Let data/source.toml name a table."""
    text = f'schema = 1\nkind = "{kind}"\nurl = "{url}"\n{more}'
    (repository / "data" / "source.toml").write_text(text, encoding="utf-8")


def frame() -> pd.DataFrame:
    """Return the customers with the types that a warehouse gives them."""
    rows = pd.DataFrame(customers.make())
    for name in INTEGERS:
        rows[name] = pd.to_numeric(rows[name]).astype("Int64")
    for name in NUMBERS:
        rows[name] = pd.to_numeric(rows[name])
    return rows


def taken(repository: Path) -> pointer.Pointer:
    """Return the pointer."""
    return pointer.load(repository / "data" / "snapshot.json")


def as_csv(repository: Path, rows: pd.DataFrame) -> None:
    """Let the source be a file of CSV with these customers."""
    rows.to_csv(repository.parent / "customers.csv", index=False)


def as_sqlite(repository: Path, rows: pd.DataFrame) -> None:
    """Let the source be a database with these customers."""
    file = repository.parent / "customers.db"
    connection = sqlite3.connect(file)
    rows.astype(object).where(rows.notna(), None).to_sql("customers", connection, index=False)
    connection.close()
    (repository / "data" / "customers.sql").write_text(
        "select * from customers where $1 >= '2026-01-01' order by random()"
    )
    point(repository, f"sqlite://{file}", 'query = "customers.sql"\n', "sql")


def as_command(repository: Path, rows: pd.DataFrame) -> None:
    """Let the source be a script that gives these customers."""
    rows.to_parquet(repository.parent / "customers.parquet", index=False)
    (repository / "data" / "export.py").write_text(
        "import shutil, sys\n"
        f"assert sys.argv[1:3] == ['--as-of', '{DAY}'] and sys.argv[3] == '--out'\n"
        "shutil.copy('../customers.parquet', sys.argv[4])\n"
    )
    (repository / "data" / "source.toml").write_text(
        'schema = 1\nkind = "command"\nscript = "export.py"\n'
    )


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return the exit code of a command, and what it has said."""
    capsys.readouterr()
    code = main([*arguments])
    return code, capsys.readouterr().err
