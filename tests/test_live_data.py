"""A table that is not in git: no customer is ever in it, whatever is done with the table."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import sources
from living import Living, release
from sources import BUCKET, Postgres, SourceMissing

from demo.repository import Repository

NUMBER = re.compile(rb"[0-9]+\.[0-9]{5,}")
CUSTOMERS = 3000
NOT_SCORED = 16


def write_distinctive(file: Path) -> list[dict[str, str]]:
    """Write customers who can be found again: their ids and numbers are nobody else's."""
    rng = random.Random(20261129)
    rows = []
    for _ in range(CUSTOMERS):
        months, bill = rng.uniform(0, 60), rng.uniform(10, 120)
        leaves = rng.random() < (0.8 if bill / 60 > months / 30 else 0.1)
        rows.append(
            {
                "customer": f"distinct-{rng.getrandbits(44):011x}",
                "months": f"{months:.9f}",
                "bill": f"{bill:.8f}",
                "plan": rng.choice(["basic", "full"]),
                "churned": "yes" if leaves else "no",
            }
        )
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def found(content: bytes, rows: list[dict[str, str]]) -> list[str]:
    """Return the ids of the customers of whom an object holds the id, or both numbers."""
    numbers = {float(text) for text in NUMBER.findall(content)}
    return [
        row["customer"]
        for row in rows
        if row["customer"].encode() in content
        or {float(row["months"]), float(row["bill"])} <= numbers
    ]


def objects(repository: Repository) -> dict[str, bytes]:
    """Return the content of every object of git, reachable or not, but of trees."""
    listed = repository.git(
        *("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
    )
    names = [line.split() for line in listed.splitlines()]
    return {
        name: repository.git_bytes("cat-file", kind, name)
        for name, kind in names
        if kind in ("blob", "commit", "tag")
    }


def test_no_customer_is_in_git_after_adoption_training_release_and_promotion(
    living: Living, tmp_path: Path
) -> None:
    rows = write_distinctive(tmp_path / "customers.csv")
    repository = living.generate(tmp_path)
    repository.release_unscanned()
    columns = ("--target", "churned", "--id", "customer")
    adopted = repository.nox("-s", "adopt", "--", str(tmp_path / "customers.csv"), *columns)
    assert adopted.returncode == 0, adopted.stdout + adopted.stderr
    repository.begin(tmp_path / "remote.git")
    (tmp_path / "customers.csv").unlink()
    checked = repository.nox("-s", "tests", "data", "features", "gate")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    record = release(repository)
    try:
        repository.ask("promote", "--env", "staging", "--yes")
    finally:
        repository.stop()
    contents = objects(repository)
    assert any(b'"replay"' in one for one in contents.values()), "the release is in git"
    assert {name: people for name, one in contents.items() if (people := found(one, rows))} == {}
    # The search would see one.
    seen = f"{rows[5]['months']} {rows[5]['bill']}".encode()
    assert found(seen, rows) == [rows[5]["customer"]]
    assert record["data_sha256"] in (repository.folder / "data" / "snapshot.json").read_text()


# The same customers from everywhere.

DAY = "2026-11-20"
OTHER_PYARROW = "pyarrow==21.0.0"
WRITE = """
import sys
import pandas as pd
from pyarrow import fs, parquet, Table
frame = pd.read_csv(sys.argv[1], dtype={"churned": "str"})
frame["age"] = frame["age"].astype("Int16")
files, path = fs.FileSystem.from_uri(sys.argv[2])
shuffled = Table.from_pandas(frame.sample(frac=1, random_state=3), preserve_index=False)
for part in range(4):
    parquet.write_table(shuffled.slice(part * 25_000, 25_000), f"{path}/{part}.parquet", filesystem=files)
"""
DIGEST = """
import sys
import urllib.request
from pathlib import Path
import pyarrow
from toolkit.data.snapshot import content
table = content.from_parquet(Path(sys.argv[1]).read_bytes())
again = content.from_parquet(content.to_parquet(table))
print(pyarrow.__version__, content.digest(table), content.digest(again))
"""
COLUMNS = "customer_id text, age smallint, tenure_months integer, monthly_spend numeric(8, 2), churned text"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a running PostgreSQL."""
    try:
        with sources.postgres(tmp_path_factory.mktemp("database") / "server") as server:
            yield server
    except SourceMissing as missing:
        pytest.skip(str(missing))


def snapshot(repository: Repository, *options: str) -> subprocess.CompletedProcess[str]:
    """Take a snapshot of one day."""
    return repository.nox("-s", "snapshot", "--", "--as-of", DAY, *options)


def leave_git(repository: Repository) -> None:
    """Let the contract name no table in git."""
    repository.replace("data/contract.toml", 'file = "sample.csv"   # in this folder\n', "")


def taken(repository: Repository) -> dict[str, Any]:
    """Take a first snapshot of one day, and return its pointer."""
    pointer = repository.folder / "data" / "snapshot.json"
    pointer.unlink(missing_ok=True)
    done = snapshot(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(pointer.read_bytes())
    return found


def write_source(repository: Repository, text: str) -> None:
    """Write data/source.toml."""
    file = repository.folder / "data" / "source.toml"
    file.write_text(f"schema = 1\n{text}", encoding="utf-8")


def test_a_hundred_thousand_customers_are_the_same_from_everywhere(
    living: Living, database: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = living.generate(tmp_path)
    leave_git(repository)
    make = "import sys, make_sample; sys.stdout.write(make_sample.sample(7, 100_000))"
    drawn = repository.capture(
        sys.executable, "-B", "-c", f"import sys; sys.path[:0] = ['data']; {make}"
    )
    file = tmp_path / "customers.csv"
    file.write_text(drawn.stdout, encoding="ascii")

    write_source(repository, f'kind = "files"\nurl = "{file}"\n')
    local = taken(repository)
    assert local["rows"] == 100_000

    database.run(f"create table customers ({COLUMNS})", f"\\copy customers from {file} csv header")
    monkeypatch.setenv("CUSTOMERS", database.url)
    query = repository.folder / "data" / "customers.sql"
    query.write_text("select * from customers where $1 > date '2026-01-01' order by random()")
    write_source(repository, 'kind = "sql"\nurl_from = "CUSTOMERS"\nquery = "customers.sql"\n')
    assert taken(repository)["content_sha256"] == local["content_sha256"]
    database.run("alter table customers alter monthly_spend type real, alter age type bigint")
    said = snapshot(repository)
    assert "nothing new" in said.stdout + said.stderr, said

    python = repository.folder / ".nox" / "source" / "bin" / "python"
    with sources.s3(tmp_path / "moto") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        address = f"s3://{BUCKET}/export"
        written = repository.capture(str(python), "-c", WRITE, str(file), address)
        assert written.returncode == 0, written.stderr
        remote = f"s3://{BUCKET}/snapshots"
        write_source(repository, f'kind = "files"\nurl = "{address}"\n[remote]\nurl = "{remote}"\n')
        pointer = taken(repository)
        assert pointer["content_sha256"] == local["content_sha256"]
        pushed = repository.nox("-s", "snapshot", "--", "--push")
        assert pushed.returncode == 0, pushed.stdout + pushed.stderr
        # Another machine has nothing but the repository and the bucket.
        shutil.rmtree(repository.state / "snapshots")
        checked = repository.nox("-s", "data")
        assert checked.returncode == 0, checked.stdout + checked.stderr

    other = tmp_path / "other" / "bin" / "python"
    subprocess.run((sys.executable, "-m", "venv", str(tmp_path / "other")), check=True)
    subprocess.run(
        (str(other), "-m", "pip", "install", "--quiet", OTHER_PYARROW, "pandas>=3"), check=True
    )
    bytes_of = repository.state / "snapshots" / f"{pointer['sha256']}.parquet"
    for one in (python, other):
        printed = repository.capture(str(one), "-c", DIGEST, str(bytes_of))
        version, *digests = printed.stdout.split()
        assert digests == [local["content_sha256"]] * 2, printed.stderr
    assert f"pyarrow=={version}" == OTHER_PYARROW


READ = """
import sys
from pyarrow import fs
files, root = fs.FileSystem.from_uri(sys.argv[1])
print(*sorted(one.base_name for one in files.get_file_info(fs.FileSelector(root))))
print(files.open_input_stream(f"{root}/{sys.argv[2]}").read().decode())
"""


def test_a_table_in_a_bucket_is_scored_into_the_bucket(
    living: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = living.clone(tmp_path)
    repository, staging = clone.repository, ("--env", "staging")
    sample = (repository.folder / "data" / "sample.csv").read_bytes()
    repository.ask("promote", *staging, "--version", clone.first["version"], "--yes")
    try:
        with sources.s3(tmp_path / "moto") as server:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            bucket = f"{server.environment['AWS_ENDPOINT_URL']}/{BUCKET}"
            kind = {"Content-Type": "text/csv"}
            put = urllib.request.Request(f"{bucket}/sample.csv", sample, kind, method="PUT")
            urllib.request.urlopen(put).close()
            places = ("--input", f"s3://{BUCKET}/sample.csv", "--output", f"s3://{BUCKET}/of.csv")
            done = repository.ask("score", *staging, *places)
            python = repository.folder / ".nox" / "model" / "bin" / "python"
            read = repository.capture(str(python), "-c", READ, f"s3://{BUCKET}", "of.csv")
            names, *lines = read.stdout.splitlines()
            scores = list(csv.DictReader(lines))
            gone = repository.invoke("score", *staging, *places[2:], "--input", "s3://none/in.csv")
        assert len(scores) == done["scored"] == sample.count(b"\n") - 1
        assert {row["release"] for row in scores} == {clone.first["version"]}
        assert names == "of.csv of.rejected.csv sample.csv"
        assert gone.returncode == NOT_SCORED
        assert "in.csv: cannot be read: " in gone.stderr
    finally:
        repository.stop()


# Rows whose messages are about a customer come from PostgreSQL while the table is on its way.
BROKEN = [
    ("select nope from broken", 'column "nope" does not exist'),
    ("select name::date as name from broken", "invalid input syntax for type date: ..."),
    ("select age::int as age from broken", "invalid input syntax for type integer: ..."),
    ("select * from broken where $1 < date '2000-01-01'", "the source gives no rows as of"),
]


def test_a_query_that_fails_shows_neither_the_password_nor_a_customer(
    living: Living, database: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = living.generate(tmp_path)
    leave_git(repository)
    database.run(
        "create table broken (name text, age text)",
        "insert into broken values ('Zoe Miller', '12 \"x\" Zoe')",
    )
    write_source(repository, 'kind = "sql"\nurl_from = "CUSTOMERS"\nquery = "customers.sql"\n')
    query = repository.folder / "data" / "customers.sql"
    monkeypatch.setenv("CUSTOMERS", database.url)
    for text, why in BROKEN:
        query.write_text(text)
        done = snapshot(repository)
        said = done.stdout + done.stderr
        assert done.returncode == 1, said
        assert why in said
        assert "Traceback" not in said
        assert sources.PASSWORD not in said and "Zoe" not in said
    wrong = database.url.replace(sources.PASSWORD, "another-password")
    monkeypatch.setenv("CUSTOMERS", wrong)
    done = snapshot(repository)
    said = done.stdout + done.stderr
    assert "password authentication failed" in said
    assert "another-password" not in said


# A stand-in for Feast, which wants another pandas: as its documentation has it, each entity gets
# the newest values that are not newer than its event_timestamp.
FEAST = """
from pathlib import Path
import pandas as pd

class FeatureStore:
    def __init__(self, repo_path):
        self.folder = Path(repo_path)

    def get_historical_features(self, entity_df, features):
        names = [one.partition(":")[2] for one in features]
        history = pd.read_parquet(self.folder / "history.parquet").sort_values("event_timestamp")
        history = history[["event_timestamp", "customer_id", *names]]
        entities = entity_df.sort_values("event_timestamp")
        self.found = pd.merge_asof(entities, history, on="event_timestamp", by="customer_id")
        return self

    def to_df(self):
        return self.found[1:] if (self.folder / "loses").exists() else self.found
"""
# Of each customer the store knows the values of before it was observed, and others of later; one
# more customer was observed after the cut-off.
WRITE_STORE = """
import pandas as pd
rows = pd.read_csv("data/sample.csv")
day = lambda text: pd.Timestamp(text, tz="UTC")
before = rows.assign(event_timestamp=day("2026-11-01"))
after = rows.assign(event_timestamp=day("2026-11-15"), age=18, tenure_months=0, monthly_spend=1.0)
pd.concat([after, before]).drop(columns="churned").to_parquet("feast/history.parquet")
labels = rows[["customer_id", "churned"]].assign(event_timestamp=day("2026-11-10"))
late = labels[:1].assign(customer_id="late", event_timestamp=day("2026-11-21"))
pd.concat([labels, late]).to_parquet("feast/labels.parquet", index=False)
"""
EXAMPLE = re.compile(r"```python\n(#!/usr/bin/env.*?)```", re.DOTALL)


def test_the_example_of_a_feature_store_takes_each_customer_as_of_its_day(
    living: Living, tmp_path: Path
) -> None:
    repository = living.generate(tmp_path)
    leave_git(repository)
    sample = shutil.copy(repository.folder / "data" / "sample.csv", tmp_path)
    write_source(repository, f'kind = "files"\nurl = "{sample}"\n')
    expected = taken(repository)

    [script] = EXAMPLE.findall((repository.folder / "docs" / "data.md").read_text("utf-8"))
    (repository.folder / "data" / "feast_export.py").write_text(script, encoding="utf-8")
    (repository.folder / "data" / "feast.py").write_text(FEAST, encoding="utf-8")
    (repository.folder / "feast").mkdir()
    python = str(repository.folder / ".nox" / "source" / "bin" / "python")
    written = repository.capture(python, "-c", WRITE_STORE)
    assert written.returncode == 0, written.stderr
    write_source(repository, 'kind = "command"\nscript = "feast_export.py"\n')
    assert taken(repository)["content_sha256"] == expected["content_sha256"]

    (repository.folder / "feast" / "loses").touch()
    done = snapshot(repository)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    rows = expected["rows"]
    assert f"asked for {rows} customers, got {rows - 1} rows, 1 are lost" in said
    assert "data/feast_export.py: exited with 1" in said
