"""Snapshots: the same customers are the same content, from any source; else nothing is taken."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolkit.__main__ import main
from toolkit.data import contract as contracts
from toolkit.data import origin as origins
from toolkit.data import table as tables
from toolkit.data.snapshot import content, database, pointer, store
from toolkit.tests import customers
from toolkit.tests.snapshots import (
    DAY,
    TAKE,
    as_command,
    as_csv,
    as_sqlite,
    frame,
    point,
    run,
    taken,
)


def as_shuffled_csv(repository: Path, rows: pd.DataFrame) -> None:
    shuffled = rows.sample(frac=1, random_state=1)
    as_csv(repository, shuffled[[*reversed(shuffled.columns)]])


def as_folder(repository: Path, rows: pd.DataFrame) -> None:
    folder = repository.parent / "export"
    folder.mkdir()
    kinds = {"age": pa.int16(), "tenure_months": pa.uint8(), "monthly_spend": pa.float32()}
    arrays = {
        name: pa.array(rows[name]).cast(kinds[name])
        if name in kinds
        else pa.array(rows[name].tolist()).dictionary_encode()
        for name in rows
    }
    narrow = pa.table(arrays)
    for part in range(3):
        pq.write_table(narrow.slice(part * 150, 150), folder / f"part-{part}.parquet")
    (folder / "_SUCCESS").touch()
    point(repository, folder)


def as_decimals(repository: Path, rows: pd.DataFrame) -> None:
    kind = pa.decimal128(10, 4)
    exact = pa.table(rows).set_column(
        3, "monthly_spend", pa.array(rows["monthly_spend"]).cast(kind)
    )
    pq.write_table(exact, repository.parent / "customers.parquet")
    point(repository, repository.parent / "customers.parquet")


WAYS = [as_csv, as_shuffled_csv, as_folder, as_decimals, as_sqlite, as_command]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_customers_are_the_same_content(
    repository: Path, way: Callable[[Path, pd.DataFrame], None]
) -> None:
    assert main([*TAKE]) == 0
    first = taken(repository)
    way(repository, frame())
    assert main([*TAKE]) == 0
    # A pointer is written only for another content.
    assert taken(repository) == first
    (repository / "data" / "snapshot.json").unlink()
    assert main([*TAKE]) == 0
    assert taken(repository).content_sha256 == first.content_sha256
    assert (first.rows, first.as_of, first.before_sha256, first.unripe) == (400, DAY, None, 0)


@pytest.mark.parametrize(
    ("name", "value"), [("age", 19), ("monthly_spend", 10.25), ("plan type", "full"), ("name", "x")]
)
def test_one_other_value_is_another_content(
    repository: Path, name: str, value: int | float | str
) -> None:
    rows = frame()
    as_csv(repository, rows)
    assert main([*TAKE]) == 0
    first = taken(repository)
    changed = rows.copy()
    row = int((rows[name].astype(str) != str(value)).to_numpy().argmax())
    changed.loc[row, name] = value
    as_csv(repository, changed)
    assert main([*TAKE]) == 0
    second = taken(repository)
    assert second.content_sha256 != first.content_sha256
    assert second.before_sha256 == first.content_sha256
    expected = pointer.Changes(1, 1, 0) if name == "name" else pointer.Changes(0, 0, 1)
    assert second.changes == expected


def test_a_null_is_no_value_and_a_text_ends_where_it_ends() -> None:
    def digest(**columns: list[object]) -> str:
        kinds = {str: content.TEXT, float: content.NUMBER}
        arrays = {
            name: pa.array(values, kinds[type(values[0])]) for name, values in columns.items()
        }
        return content.digest(pa.table(arrays))

    tables: list[dict[str, list[object]]] = [
        {"a": ["b", "cd"]},
        {"a": ["bc", "d"]},
        {"a": ["b", None]},
        {"a": ["b", ""]},
        {"z": ["b", "cd"]},
        {"a": [1.0, 0.0]},
        {"a": [1.0, None]},
        {"a": [1.0, 5e-324]},
    ]
    assert len({digest(**one) for one in tables}) == len(tables)
    assert digest(a=[1.0, 0.0]) == digest(a=[1.0, -0.0])
    assert digest(a=["b"], c=[1.0]) == digest(c=[1.0], a=["b"])


def test_the_digest_of_a_content_is_the_same_in_every_version() -> None:
    columns = {
        "name": pa.array(["b", None, "", "é"], content.TEXT),
        "spend": pa.array([1.5, -0.0, None, 1e300], content.NUMBER),
        "age": pa.array([1, None, 2**53 - 1, -4], content.INTEGER),
        "since": pa.array([0, 1, None, -5], content.TIME),
    }
    # pragma: allowlist nextline secret
    expected = "631164eee46bfcce97423374181758b848b61363d50dcbd72df1b4f273dc2f3d"
    assert content.digest(pa.table(columns)) == expected


def test_rows_are_in_the_order_of_the_bytes_of_their_ids(repository: Path) -> None:
    contract = contracts.load(Path("data/contract.toml"))
    starts = ("", "é", "custom", "customer", "customer-", "custoomé", "custome\U0001f600", "cus\0")
    rows = frame()
    rows["name"] = [f"{starts[row % len(starts)]}{row * 7919 % 401}" for row in range(len(rows))]
    table = tables.from_arrow(Path("customers.parquet"), "", pa.table(rows), contract)
    found = content.canonical(table, contract)
    assert found["name"].to_pylist() == sorted(rows["name"], key=str.encode)
    ages = dict(zip(rows["name"], rows["age"], strict=True))
    kept = zip(found["name"].to_pylist(), found["age"].to_pylist(), strict=True)
    assert all(age == ages[name] or (age is None and pd.isna(ages[name])) for name, age in kept)


@pytest.mark.parametrize("block_rows", [3, 1_000])
def test_a_column_of_sqlite_is_what_all_its_values_are(
    repository: Path, monkeypatch: pytest.MonkeyPatch, block_rows: int
) -> None:
    monkeypatch.setattr(database, "BLOCK_ROWS", block_rows)
    monkeypatch.setattr(database, "TABLE_BLOCKS", 2)
    columns: dict[str, list[object]] = {
        "whole": [*range(20)],
        "number": [*range(10), *(place + 0.5 for place in range(10))],
        "late": [*[None] * 19, "x"],
        "mixed": [*[None] * 5, *range(10), "n/a", *range(4)],
        "exact": [*[19.987654321098765] * 19, "n/a"],
        "empty": [None] * 20,
    }
    file = repository.parent / "customers.db"
    with sqlite3.connect(file) as connection:
        connection.execute(f"create table customers ({', '.join(columns)})")
        rows = zip(*columns.values(), strict=True)
        connection.executemany("insert into customers values (?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    (repository / "data" / "customers.sql").write_text("select * from customers")
    point(repository, f"sqlite://{file}", 'query = "customers.sql"\n', "sql")
    origin = origins.load(Path("data/source.toml"))
    for query, kept in (("", 20), (" where whole < 0", 0)):
        found = database.ask(origin, f"select * from customers{query}", date(2026, 11, 20))
        texts = {
            name: [None if one is None else str(one) for one in columns[name][:kept]]
            for name in ("mixed", "exact")
        }
        assert found.to_pydict() == {name: columns[name][:kept] for name in columns} | texts


def test_every_check_reads_the_snapshot_and_not_the_source(repository: Path) -> None:
    assert main([*TAKE]) == 0
    (repository.parent / "customers.csv").unlink()
    for command in ("data", "features", "gate", "train", "verify"):
        main([command])
    reports = {
        name: json.loads((repository / "reports" / f"{name}.json").read_bytes())
        for name in ("data", "gate", "verified")
    }
    assert reports["data"]["verdict"] == "passed"
    assert reports["data"]["file"] == "data/snapshot.json"
    assert reports["gate"]["data_sha256"] == taken(repository).content_sha256
    assert reports["gate"]["rows"]["table"] == 400
    assert not [one for one in reports["verified"]["reasons"] if "snapshot" in one]


def test_evidence_of_another_snapshot_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TAKE]) == 0
    main(["train"])
    rows = frame()
    rows.loc[3, "age"] = 50
    as_csv(repository, rows)
    assert main([*TAKE]) == 0
    assert main(["verify"]) == 1
    assert "the evidence is of another data/snapshot.json: it names" in capsys.readouterr().err


def test_the_snapshot_has_only_what_the_contract_names(repository: Path) -> None:
    contract = repository / "data" / "contract.toml"
    text = contract.read_text(encoding="utf-8")
    contract.write_text(f'extra_columns = ["phone"]\n{text}', encoding="utf-8")
    as_csv(repository, frame().assign(phone="0800"))
    assert main([*TAKE]) == 0
    kept = pq.read_table(store.cached(taken(repository).sha256))
    assert kept.column_names == customers.HEADER
    assert b"0800" not in store.cached(taken(repository).sha256).read_bytes()


def test_a_table_beside_source_toml_is_its_own_snapshot(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository.parent / "customers.csv").rename(repository / "data" / "customers.csv")
    point(repository, "customers.csv")
    assert contracts.load(Path("data/contract.toml")).data == Path("data/customers.csv")
    assert main([*TAKE]) == 0
    assert "data/customers.csv is in git" in capsys.readouterr().err
    assert not (repository / "data" / "snapshot.json").exists()
    assert main(["data"]) == 0


def test_a_contract_that_names_its_table_reads_it_whatever_the_source(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository.parent / "customers.csv").rename(repository / "data" / "customers.csv")
    (repository / "data" / "contract.toml").write_text(customers.CONTRACT, encoding="utf-8")
    assert main(["data"]) == 0
    assert main([*TAKE]) == 2
    assert "data/contract.toml: file: names data/customers.csv, a table in git" in (
        capsys.readouterr().err
    )
    # As an update of an older repository leaves it, and as one that took no part of it is.
    point(repository, "sample.csv")
    assert main([*TAKE]) == 0
    (repository / "data" / "source.toml").unlink()
    assert main([*TAKE]) == 0
    assert capsys.readouterr().err.count("there is nothing to take") == 2


def test_a_snapshot_that_has_drifted_fails_until_it_is_accepted(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TAKE]) == 0
    rows = frame()
    rows["tenure_months"] = rows["tenure_months"] + 20
    as_csv(repository, rows)
    assert main([*TAKE]) == 1
    said = capsys.readouterr().err
    assert "0 new, 0 gone, 400 changed" in said
    assert "data/snapshot.json: tenure_months: " in said
    assert main(["reference"]) == 0
    assert main(["data"]) == 0


# Removing bytes.


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    subprocess.run(("git", *identity, *arguments), check=True, capture_output=True)


@pytest.fixture
def aged(repository: Path) -> tuple[pointer.Pointer, pointer.Pointer, pointer.Pointer]:
    """Return three snapshots: the first of a release, the second of an old commit, and today's.

    All of them are at the remote too, and a year old.
    """
    remote = repository.parent / "remote"
    point(repository, repository.parent / "customers.csv", f'[remote]\nurl = "{remote}"\n')
    git("init", "--quiet", "--initial-branch=main")
    found = []
    rows = frame()
    for age in (30, 31, 32):
        rows.loc[3, "age"] = age
        as_csv(repository, rows)
        assert main([*TAKE]) == 0
        assert main(["snapshot", "--push"]) == 0
        git("add", "data")
        git("commit", "--quiet", "--message", f"As of {age}")
        if age == 30:
            git("commit", "--quiet", "--allow-empty", "--message", "release")
            git("tag", "--annotate", "release/one", "--message", "one")
            git("reset", "--quiet", "--hard", "HEAD~1")
        found.append(taken(repository))
    for folder in (remote, store.cache()):
        for file in folder.iterdir():
            os.utime(file, (1, 1))
    return found[0], found[1], found[2]


def there(repository: Path) -> list[set[str]]:
    """Return the digests of the bytes at the remote, and in the cache."""
    return [
        {file.stem for file in place.iterdir()}
        for place in (repository.parent / "remote", store.cache())
    ]


def test_only_old_bytes_that_nothing_needs_are_pruned(
    repository: Path,
    aged: tuple[pointer.Pointer, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    released, forgotten, now = aged
    everything = {one.sha256 for one in aged}
    code, said = run(capsys, "snapshot", "--prune")
    assert code == 0
    assert "1 of 3 snapshots would be removed: add --yes; 2 are pinned" in said
    assert there(repository) == [everything] * 2
    assert main(["snapshot", "--prune", "--yes"]) == 0
    assert there(repository) == [{released.sha256, now.sha256}] * 2


def test_young_bytes_are_kept(repository: Path, aged: tuple[pointer.Pointer, ...]) -> None:
    young = repository.parent / "remote" / f"{aged[1].sha256}.parquet"
    young.touch()
    assert main(["snapshot", "--prune", "--yes"]) == 0
    assert young.exists()
    assert not store.cached(aged[1].sha256).exists()


def test_a_shallow_clone_prunes_nothing(
    repository: Path,
    aged: tuple[pointer.Pointer, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clone = repository.parent / "clone"
    git("clone", "--quiet", "--depth=1", f"file://{repository}", str(clone))
    (repository / "quality.toml").rename(clone / "quality.toml")
    monkeypatch.chdir(clone)
    code, said = run(capsys, "snapshot", "--prune", "--yes")
    assert code == 2
    assert "this clone is shallow" in said
    assert len(there(repository)[0]) == 3


def test_an_erased_snapshot_is_gone_everywhere_and_is_said_to_be(
    repository: Path,
    aged: tuple[pointer.Pointer, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = aged[2]
    code, said = run(capsys, "snapshot", "--forget", now.content_sha256[:12])
    assert code == 2
    assert "and --reason, are needed" in said
    code, said = run(capsys, "snapshot", "--forget", "0" * 12, "--reason", "asked for")
    assert code == 2
    assert "0 snapshots in git's history have such a content" in said
    assert main(["snapshot", "--forget", now.content_sha256[:12], "--reason", "asked for"]) == 0
    assert there(repository) == [{one.sha256 for one in aged[:2]}] * 2
    code, said = run(capsys, "data")
    assert code == 2
    assert f"snapshot {now.content_sha256[:12]} was erased on " in said and "asked for" in said
