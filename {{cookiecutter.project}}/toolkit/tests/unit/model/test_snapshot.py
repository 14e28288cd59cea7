"""Snapshots: the same customers are the same content, from any source; else nothing is taken."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolkit.__main__ import main
from toolkit.data import contract as contracts

from toolkit.data.snapshot import content, pointer, store
from toolkit.tests import customers

SOURCE = 'schema = 1\nkind = "files"\nurl = "{url}"\n'
DATED = customers.CONTRACT.replace('file = "customers.csv"\n', "").replace(
    "[[column]]", '[[column]]\nname = "seen"\nrole = "date"\ntype = "date"\n\n[[column]]', 1
)
DAY = "2026-11-20"
PASSWORD = "hunter2"  # pragma: allowlist secret
TAKE = ("snapshot", "--as-of", DAY)
INTEGERS, NUMBERS = ("age", "tenure_months"), ("monthly_spend",)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository whose table is elsewhere, with a reference; it is the current folder."""
    monkeypatch.setenv("SNAPSHOT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "churn"
    (folder / "data").mkdir(parents=True)
    customers.write(folder / "data", customers.make())
    for name in ("quality.toml", "model_card.toml"):
        (folder / "data" / name).rename(folder / name)
    monkeypatch.chdir(folder)
    assert main(["reference"]) == 0
    (folder / "data" / "contract.toml").write_text(
        customers.CONTRACT.replace('file = "customers.csv"\n', ""), encoding="utf-8"
    )
    (folder / "data" / "customers.csv").rename(tmp_path / "customers.csv")
    point(folder, tmp_path / "customers.csv")
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
    return pointer.load(repository / "data" / "snapshot.json")


def as_csv(repository: Path, rows: pd.DataFrame) -> None:
    rows.to_csv(repository.parent / "customers.csv", index=False)


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


def as_sqlite(repository: Path, rows: pd.DataFrame) -> None:
    file = repository.parent / "customers.db"
    connection = sqlite3.connect(file)
    rows.astype(object).where(rows.notna(), None).to_sql("customers", connection, index=False)
    connection.close()
    (repository / "data" / "customers.sql").write_text(
        "select * from customers where $1 >= '2026-01-01' order by random()"
    )
    point(repository, f"sqlite://{file}", 'query = "customers.sql"\n', "sql")


def as_command(repository: Path, rows: pd.DataFrame) -> None:
    rows.to_parquet(repository.parent / "customers.parquet", index=False)
    (repository / "data" / "export.py").write_text(
        "import shutil, sys\n"
        f"assert sys.argv[1:3] == ['--as-of', '{DAY}'] and sys.argv[3] == '--out'\n"
        "shutil.copy('../customers.parquet', sys.argv[4])\n"
    )
    (repository / "data" / "source.toml").write_text(
        'schema = 1\nkind = "command"\nscript = "export.py"\n'
    )


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


# What can go wrong, each with its sentence.


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return the exit code of a command, and what it has said."""
    capsys.readouterr()
    code = main([*arguments])
    return code, capsys.readouterr().err


def test_a_byte_flipped_in_the_cache_is_fetched_again(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = repository.parent / "remote"
    point(repository, repository.parent / "customers.csv", f'[remote]\nurl = "{remote}"\n')
    assert main([*TAKE]) == 0
    assert main(["snapshot", "--push"]) == 0
    flip(store.cached(taken(repository).sha256))
    assert main(["data"]) == 0
    whole = store.cached(taken(repository).sha256).read_bytes()
    assert store.digest(whole) == taken(repository).sha256
    store.cached(taken(repository).sha256).unlink()
    flip(remote / f"{taken(repository).sha256}.parquet")
    code, said = run(capsys, "data")
    assert code == 2
    assert f"names {taken(repository).sha256}: they were changed" in said
    assert f"have the sha256 {store.digest(flipped(whole))}" in said
    # Whoever still has the bytes puts them back.
    store.keep(whole)
    assert main(["snapshot", "--push"]) == 0
    store.cached(taken(repository).sha256).unlink()
    assert main(["data"]) == 0


def flipped(whole: bytes) -> bytes:
    return whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]


def flip(file: Path) -> None:
    file.chmod(0o644)
    file.write_bytes(flipped(file.read_bytes()))


def test_lost_bytes_are_taken_from_the_source_again(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TAKE]) == 0
    store.cached(taken(repository).sha256).unlink()
    code, said = run(capsys, "data")
    assert code == 2
    assert "names no [remote] to fetch them from" in said
    assert "nox -s snapshot -- --verify" in said
    point(repository, repository.parent / "customers.csv", '[remote]\nurl = "/nowhere/at/all"\n')
    code, said = run(capsys, "data")
    assert code == 2
    assert "/nowhere/at/all" in said
    assert main(["snapshot", "--verify"]) == 0
    assert main(["data"]) == 0


def test_a_past_that_was_changed_is_not_verified(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TAKE]) == 0
    rows = frame()
    rows.loc[3, "age"] = 50
    as_csv(repository, rows)
    code, said = run(capsys, "snapshot", "--verify")
    assert code == 1
    assert f"as of {DAY} the source gives the content" in said
    assert f"names {taken(repository).content_sha256}: the past was changed, or the query" in said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            SOURCE.format(url=f"postgresql://ada:{PASSWORD}@db/churn"),
            "url: holds a password or a key",
        ),
        (SOURCE.format(url=f"s3://KEY:{PASSWORD}@bucket/churn"), "url: holds a password or a key"),
        (SOURCE.format(url=f"postgresql://db/churn?password={PASSWORD}"), "url: holds a password"),
        (
            SOURCE.format(url="/t.csv") + "[remote]\nurl = 's3://a:b@c/d'\n",
            "remote.url: holds a pa",
        ),
        (SOURCE.format(url="../customers.csv"), "url: a file beside this one, or an absolute"),
        ('schema = 1\nkind = "files"\n', "url: one of url and url_from must say"),
        ('schema = 1\nkind = "files"\nurl_from = "A B"\n', "url_from: must be the name of a var"),
        ('schema = 1\nkind = "sql"\nurl = "sqlite:///a"\n', "query: missing"),
        (
            'schema = 1\nkind = "sql"\nurl = "sqlite:///a"\nquery = "../q.sql"\n',
            "query: must be a file in",
        ),
        ('schema = 1\nkind = "command"\nscript = "none.py"\n', "script: must be a file in data"),
        ('schema = 1\nkind = "magic"\n', "kind: must be one of files, sql, command"),
        (SOURCE.format(url="/t.csv") + "retries = 3\n", "retries: unknown key"),
        (
            SOURCE.format(url="/t.csv") + '[labels]\nobserved = "age"\nknown_after_days = 30\n',
            "labels.observed: data/contract.toml has no column 'age' of the role date; it has none",
        ),
    ],
)
def test_a_source_that_cannot_be_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    (repository / "data" / "source.toml").write_text(text, encoding="utf-8")
    code, said = run(capsys, *TAKE)
    assert code == 2
    assert f"data/source.toml: {why}" in said
    assert PASSWORD not in said


def test_a_variable_that_is_not_set_is_named(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUSTOMERS", raising=False)
    (repository / "data" / "source.toml").write_text(
        'schema = 1\nkind = "files"\nurl_from = "CUSTOMERS"\n'
    )
    code, said = run(capsys, *TAKE)
    assert code == 2
    assert "data/source.toml: url_from: the variable CUSTOMERS is not set" in said
    monkeypatch.setenv("CUSTOMERS", str(repository.parent / "customers.csv"))
    assert main([*TAKE]) == 0
    assert str(repository.parent) not in (repository / "data" / "snapshot.json").read_text()


def without(name: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows.drop(columns=name)


def with_ids(ids: list[str | None]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows.assign(name=pd.Series([*ids, *rows["name"][len(ids) :]]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (with_ids(["Zoe", "Zoe", "Zoe"]), "name: unique: 2 rows (0.50%); expected: no duplicates"),
        (with_ids([None, None]), "name: nulls: 0.50%; expected: at most 0.00%"),
        (without("age"), "age: schema: no such column; expected: one"),
        (
            lambda rows: rows.assign(age=["Zoe"] * 5 + rows["age"].astype(object).tolist()[5:]),
            "age: type: 5 rows (1.25%); expected: integer",
        ),
        (lambda rows: rows.assign(surname="Zoe"), "surname: schema: unknown column"),
        (lambda rows: rows[:0], "the source gives no rows as of 2026-11-20"),
    ],
)
def test_a_table_that_the_contract_does_not_allow_is_not_taken(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    why: str,
) -> None:
    assert main([*TAKE]) == 0
    before = taken(repository)
    as_csv(repository, change(frame()))
    code, said = run(capsys, *TAKE)
    assert code == 1
    assert f"data/source.toml: {why}" in said
    assert "Zoe" not in said
    assert taken(repository) == before


def test_rows_of_the_future_are_refused_and_unripe_ones_left_out(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "data" / "contract.toml").write_text(DATED, encoding="utf-8")
    labels = '[labels]\nobserved = "seen"\nknown_after_days = 30\n'
    point(repository, repository.parent / "customers.csv", labels)
    rows = frame()
    rows.insert(0, "seen", "2026-10-01")
    # So many days before the cut-off a label is known, and one day later not yet.
    rows.loc[:9, "seen"] = "2026-10-21"
    rows.loc[:4, "seen"] = "2026-10-22"
    as_csv(repository, rows)
    code, said = run(capsys, *TAKE)
    assert code == 0
    assert "5 rows left out: it is not known yet who of them churned" in said
    assert (taken(repository).rows, taken(repository).unripe) == (395, 5)
    rows.loc[7, "seen"] = "2026-11-21"
    as_csv(repository, rows)
    code, said = run(capsys, *TAKE)
    assert code == 1
    assert "1 of 400 rows were observed after 2026-11-20, the cut-off" in said
    rows.loc[7, "seen"] = None
    as_csv(repository, rows)
    assert "1 of 400 rows have no seen" in run(capsys, *TAKE)[1]


def test_nothing_new_is_no_training(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TAKE]) == 0
    before = (repository / "data" / "snapshot.json").read_bytes()
    code, said = run(capsys, "snapshot", "--as-of", "2026-11-21")
    assert code == 0
    assert "nothing new: as of 2026-11-21 the content is that of data/snapshot.json" in said
    assert (repository / "data" / "snapshot.json").read_bytes() == before


def test_a_query_that_does_not_repeat_itself_is_refused_the_first_time(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_sqlite(repository, frame())
    query = repository / "data" / "customers.sql"
    query.write_text(
        'select name, abs(random()) % 60 + 20 as age, tenure_months, monthly_spend, "plan type", '
        '"left" from customers'
    )
    code, said = run(capsys, *TAKE)
    assert code == 1
    assert (
        "the source does not repeat itself: of 400 customers the second pull has 0 others" in said
    )
    assert not (repository / "data" / "snapshot.json").exists()


def test_a_database_that_is_not_there_shows_no_password(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    monkeypatch.setenv("CUSTOMERS", f"postgresql://ada:{PASSWORD}@127.0.0.1:1/churn")
    (repository / "data" / "customers.sql").write_text("select 1")
    (repository / "data" / "source.toml").write_text(
        'schema = 1\nkind = "sql"\nurl_from = "CUSTOMERS"\nquery = "customers.sql"\n'
    )
    code, said = run(capsys, *TAKE)
    assert code == 1
    assert "postgresql://127.0.0.1/churn gives no table: " in said
    assert PASSWORD not in said


def test_a_command_that_fails_or_writes_nothing_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_command(repository, frame())
    script = repository / "data" / "export.py"
    script.write_text("raise SystemExit(7)\n")
    assert "data/export.py: exited with 7" in run(capsys, *TAKE)[1]
    script.write_text("pass\n")
    assert "data/export.py: wrote no file" in run(capsys, *TAKE)[1]


def test_two_that_keep_the_same_bytes_at_once_leave_one_file(repository: Path) -> None:
    keep = "from toolkit.data.snapshot import store; store.keep(b'x' * 50_000_000)"
    root = str(Path(contracts.__file__).parents[2])
    both = [
        subprocess.Popen([sys.executable, "-c", keep], env=os.environ | {"PYTHONPATH": root})
        for _ in range(2)
    ]
    assert [one.wait() for one in both] == [0, 0]
    assert len([*store.cache().iterdir()]) == 1


def test_a_kill_while_bytes_are_written_leaves_nothing_that_is_read(repository: Path) -> None:
    assert main([*TAKE]) == 0
    file = store.cached(taken(repository).sha256)
    whole = file.read_bytes()
    file.unlink()
    killed = (
        "import os, pathlib, sys\n"
        "from toolkit.data.snapshot import store\n"
        "pathlib.Path.replace = lambda *given: os.kill(os.getpid(), 9)\n"
        "store.keep(pathlib.Path(sys.argv[1]).read_bytes())\n"
    )
    (repository / "whole").write_bytes(whole)
    root = str(Path(contracts.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", killed, "whole"], env=os.environ | {"PYTHONPATH": root}, check=False
    )
    assert done.returncode == -9
    assert [one.suffix for one in store.cache().iterdir()] == [".partial"]
    store.keep(whole)
    assert main(["data"]) == 0


def test_a_remote_that_takes_nothing_is_named(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = repository.parent / "remote"
    remote.write_text("a file where a folder should be")
    point(repository, repository.parent / "customers.csv", f'[remote]\nurl = "{remote}"\n')
    assert main([*TAKE]) == 0
    code, said = run(capsys, "snapshot", "--push")
    assert code == 1
    assert f"{remote}: cannot be " in said
    point(repository, repository.parent / "customers.csv")
    code, said = run(capsys, "snapshot", "--push")
    assert code == 2
    assert "there is no [remote] to push to" in said


def test_a_pointer_that_was_edited_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TAKE]) == 0
    file = repository / "data" / "snapshot.json"
    file.write_text(file.read_text().replace(taken(repository).content_sha256, "0" * 64))
    code, said = run(capsys, "data")
    assert code == 2
    assert "it was edited" in said
    file.write_text("{}")
    assert "data/snapshot.json: schema: Field required" in run(capsys, "data")[1]
    file.unlink()
    code, said = run(capsys, "data")
    assert (code, "Next: take a snapshot: nox -s snapshot." in said) == (2, True)


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
