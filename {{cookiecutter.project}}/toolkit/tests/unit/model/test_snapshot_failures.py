"""What can go wrong with a snapshot: each has its sentence, and nothing of a customer is in it."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest

from toolkit.__main__ import main
from toolkit.data import contract as contracts
from toolkit.data.snapshot import store
from toolkit.tests import customers
from toolkit.tests.disks import SmallDisk, seeing_read_only
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

SOURCE = 'schema = 1\nkind = "files"\nurl = "{url}"\n'
DATED = customers.CONTRACT.replace('file = "customers.csv"\n', "").replace(
    "[[column]]", '[[column]]\nname = "seen"\nrole = "date"\ntype = "date"\n\n[[column]]', 1
)
PASSWORD = "hunter2"  # pragma: allowlist secret


def with_remote(repository: Path) -> Path:
    """Take a snapshot, push it to a folder, and return that folder."""
    remote = repository.parent / "remote"
    point(repository, repository.parent / "customers.csv", f'[remote]\nurl = "{remote}"\n')
    assert main([*TAKE]) == 0
    assert main(["snapshot", "--push"]) == 0
    return remote


def test_a_byte_flipped_in_the_cache_is_fetched_again(repository: Path) -> None:
    with_remote(repository)
    file = store.cached(taken(repository).sha256)
    flip(file)
    assert main(["data"]) == 0
    assert store.digest(file.read_bytes()) == taken(repository).sha256


def test_a_byte_flipped_at_the_remote_is_named_with_both_digests(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = with_remote(repository)
    file = store.cached(taken(repository).sha256)
    whole = file.read_bytes()
    file.unlink()
    flip(remote / file.name)
    code, said = run(capsys, "data")
    assert code == 2
    assert f"names {taken(repository).sha256}: they were changed" in said
    assert f"have the sha256 {store.digest(flipped(whole))}" in said
    assert "nox -s snapshot -- --verify --push" in said
    assert not file.exists()
    # A machine that has the bytes, or the source, puts them back.
    assert main(["snapshot", "--verify", "--push"]) == 0
    file.unlink()
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
        (SOURCE.format(url=f"s3://KEY:a/b[{PASSWORD}@bucket/churn"), "url: holds a password or a"),
        (SOURCE.format(url=f"postgresql://db/c?password={PASSWORD}@b"), "url: holds a password or"),
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


def as_parquet(repository: Path, rows: pd.DataFrame) -> None:
    """Let the source be two files of Parquet, a column in the second as text."""
    folder = repository.parent / "export"
    folder.mkdir()
    number = rows.assign(age=pd.to_numeric(rows["age"], errors="coerce"))
    number[200:].to_parquet(folder / "a.parquet", index=False)
    rows[:200].astype({"age": "str"}).to_parquet(folder / "b.parquet", index=False)
    point(repository, folder)


def as_text_of_a_script(repository: Path, rows: pd.DataFrame) -> None:
    """Let the source be a script that gives the column as text."""
    as_command(repository, rows.astype({"age": "str"}))


@pytest.mark.parametrize(
    ("way", "why"),
    [
        (as_csv, "age: type: 5 rows (1.25%); expected: integer"),
        (as_sqlite, "age: type: 5 rows (1.25%); expected: integer"),
        (as_text_of_a_script, "age: type: 5 rows (1.25%); expected: integer"),
        (as_parquet, "the source cannot be read: Unable to merge: Field age has incompatible"),
    ],
)
def test_a_type_that_has_changed_is_said_without_a_value(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    way: Callable[[Path, pd.DataFrame], None],
    why: str,
) -> None:
    rows = frame().fillna({"age": 40})
    rows["age"] = rows["age"].astype(object)
    rows.loc[:4, "age"] = "Zoe Miller"
    way(repository, rows)
    code, said = run(capsys, *TAKE)
    assert code == 1
    assert f"data/source.toml: {why}" in said
    assert "Zoe" not in said
    assert not (repository / "data" / "snapshot.json").exists()


def test_a_file_without_a_header_shows_no_customer(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = frame()
    rows.loc[0, "name"] = "Zoe Miller"
    rows.to_csv(repository.parent / "customers.csv", index=False, header=False)
    code, said = run(capsys, *TAKE)
    assert code == 1
    assert "the source has 6 columns, and none of the contract's" in said
    assert "Zoe" not in said


def test_a_text_of_another_encoding_shows_no_customer(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_sqlite(repository, frame())
    connection = sqlite3.connect(repository.parent / "customers.db")
    connection.execute("update customers set name = cast(x'5a6f65ff' as text) where age = 30")
    connection.commit()
    connection.close()
    code, said = run(capsys, *TAKE)
    assert code == 1
    assert "sqlite:// gives no table: Could not decode to UTF-8 column 'name'\n" in said
    assert "Zoe" not in said


def test_a_query_that_gives_no_table_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_sqlite(repository, frame())
    query = repository / "data" / "customers.sql"
    for text, why in (
        ("select * from custmers", "no such table: custmers"),
        ("selec", 'near "selec": syntax error'),
        ("-- nothing", "it is no query"),
    ):
        query.write_text(text)
        code, said = run(capsys, *TAKE)
        assert code == 1
        assert f"sqlite:// gives no table: {why}" in said
        assert "correct data/customers.sql" in said
    query.write_text("select * from customers where age > 1000")
    assert "the source gives no rows as of 2026-11-20" in run(capsys, *TAKE)[1]


def test_where_no_label_is_known_yet_nothing_is_taken(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "data" / "contract.toml").write_text(DATED, encoding="utf-8")
    labels = '[labels]\nobserved = "seen"\nknown_after_days = 30\n'
    point(repository, repository.parent / "customers.csv", labels)
    rows = frame()
    rows.insert(0, "seen", DAY)
    as_csv(repository, rows)
    code, said = run(capsys, *TAKE)
    assert code == 1
    assert "of no row as of 2026-11-20 it is known yet who churned: 400 rows are unripe" in said


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
    assert "postgresql://127.0.0.1:1/churn gives no table: " in said
    assert PASSWORD not in said


@pytest.mark.parametrize(
    "login", ["ada:hunter/2@", "ada:hunter?2@", "ada:hunter#2@", "ada:hunter[2@", "a:hunter@2@"]
)
def test_a_password_that_ends_its_url_is_shown_in_no_part(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    login: str,
) -> None:
    monkeypatch.setenv("CUSTOMERS", f"postgresql://{login}127.0.0.1:1/churn")
    (repository / "data" / "customers.sql").write_text("select 1")
    (repository / "data" / "source.toml").write_text(
        'schema = 1\nkind = "sql"\nurl_from = "CUSTOMERS"\nquery = "customers.sql"\n'
    )
    code, said = run(capsys, *TAKE)
    assert code == 2
    assert "what stands before the last @ of the URL has a character that ends it" in said
    assert "/ is %2F" in said
    assert "hunter" not in said


@pytest.mark.parametrize("key", ["hunter/2", "hunter 2", "hunter#2", "hunter[2", "hunter%2"])
def test_a_key_that_ends_its_url_is_not_shown(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    monkeypatch.setenv("CUSTOMERS", f"s3://KEY:{key}@bucket/churn")
    (repository / "data" / "source.toml").write_text(
        'schema = 1\nkind = "files"\nurl_from = "CUSTOMERS"\n'
    )
    code, said = run(capsys, *TAKE)
    assert code == 2
    assert "a URL of s3:// cannot be read: Cannot parse URI: '...' due to syntax error" in said
    assert "percent-encoded: / is %2F" in said
    assert "hunter" not in said


def test_a_command_that_fails_or_writes_nothing_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_command(repository, frame())
    script = repository / "data" / "export.py"
    script.write_text("raise SystemExit(7)\n")
    assert "data/export.py: exited with 7" in run(capsys, *TAKE)[1]
    script.write_text("pass\n")
    assert "data/export.py: wrote no file" in run(capsys, *TAKE)[1]
    script.rename(repository / "data" / "export")
    (repository / "data" / "source.toml").write_text(
        'schema = 1\nkind = "command"\nscript = "export"\n'
    )
    code, said = run(capsys, *TAKE)
    assert code == 1
    assert "data/export: cannot be run: Permission denied" in said
    assert "Next: chmod +x data/export, and" in said


ROOT = str(Path(contracts.__file__).parents[2])


def started(*arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start the toolkit's command line in a process of its own."""
    return subprocess.Popen(
        [*prefix, sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([ROOT, *sys.path])},
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a process, and return its exit code and what it has said."""
    said = process.communicate()[1]
    return process.returncode, said


NIGHT = """
import sys
from toolkit.__main__ import main
sys.exit(main(["snapshot", "--as-of", sys.argv[1]]) or main(["snapshot", "--push"]))
"""


def test_two_nightlies_at_once_take_and_push_one_snapshot(repository: Path) -> None:
    remote = repository.parent / "remote"
    point(repository, repository.parent / "customers.csv", f'[remote]\nurl = "{remote}"\n')
    both = [started("-c", NIGHT, DAY) for _ in range(2)]
    assert [ended(one)[0] for one in both] == [0, 0]
    for folder in (store.cache(), remote):
        [file] = folder.iterdir()
        assert store.digest(file.read_bytes()) == taken(repository).sha256 == file.stem
    assert main(["data"]) == 0


def test_two_that_write_the_same_bytes_at_once_leave_one_file(repository: Path) -> None:
    keep = "from toolkit.data.snapshot import store; store.keep(b'x' * 50_000_000)"
    both = [started("-c", keep) for _ in range(2)]
    assert [ended(one)[0] for one in both] == [0, 0]
    assert len([*store.cache().iterdir()]) == 1


# The process ends as by kill -9 when half of the bytes are written, when all are, and when they
# have their name and the pointer is not written yet.
KILLED = """
import os, pathlib, sys
from toolkit.__main__ import main
from toolkit.data.snapshot import store
def kill(*given):
    os.kill(os.getpid(), 9)
if sys.argv[1] == "half":
    class Half:
        def __init__(self, handle, mode): self.handle = handle
        def __enter__(self): return self
        def __exit__(self, *given): pass
        def write(self, content):
            os.write(self.handle, content[: len(content) // 2])
            kill()
    store.os.fdopen = Half
elif sys.argv[1] == "whole":
    pathlib.Path.replace = kill
else:
    from toolkit.reports import files
    files.write_bytes = kill
main(["snapshot", "--as-of", sys.argv[2]])
"""


@pytest.mark.parametrize(("moment", "left"), [("half", 1), ("whole", 1), ("pointer", 0)])
def test_a_kill_while_a_snapshot_is_written_leaves_nothing_that_is_read(
    repository: Path, capsys: pytest.CaptureFixture[str], moment: str, left: int
) -> None:
    assert main([*TAKE]) == 0
    before = taken(repository)
    rows = frame()
    rows.loc[3, "age"] = 50
    as_csv(repository, rows)
    assert ended(started("-c", KILLED, moment, DAY))[0] == -9
    assert taken(repository) == before
    assert main(["data"]) == 0
    partial = [*store.cache().glob("*.partial")]
    assert len(partial) == left
    # A day later the next that writes cleans up.
    for file in partial:
        os.utime(file, (1, 1))
    code, said = run(capsys, *TAKE)
    assert code == 0
    assert "0 new, 0 gone, 1 changed" in said
    assert taken(repository).before_sha256 == before.content_sha256
    if moment != "pointer":  # There the bytes are all there already.
        assert not [*store.cache().glob("*.partial")]
    assert main(["data"]) == 0


def pushed_in_vain(repository: Path, capsys: pytest.CaptureFixture[str], remote: Path | str) -> str:
    """Push a snapshot to a remote that does not take it, and return what was said."""
    point(repository, repository.parent / "customers.csv", f'[remote]\nurl = "{remote}"\n')
    assert main([*TAKE]) == 0
    code, said = run(capsys, "snapshot", "--push")
    assert code == 1
    assert "Next: see whether it is there, has room, and lets you write; or change data/" in said
    assert main(["data"]) == 0
    return said


def test_a_remote_that_is_full_is_named_and_keeps_no_half(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SmallDisk.mounted(repository.parent / "remote", megabytes=1) as disk:
        disk.fill(free_blocks=1)
        said = pushed_in_vain(repository, capsys, disk.folder)
        assert f"{disk.folder}: cannot be written: No space left on device" in said
        assert [file.name for file in disk.folder.iterdir()] == ["ballast"]
        disk.make_room()
        assert main(["snapshot", "--push"]) == 0


def test_a_remote_that_is_read_only_is_named(repository: Path) -> None:
    remote = repository.parent / "remote"
    remote.mkdir()
    point(repository, repository.parent / "customers.csv", f'[remote]\nurl = "{remote}"\n')
    assert main([*TAKE]) == 0
    pushing = started("-m", "toolkit", "snapshot", "--push", prefix=seeing_read_only(remote))
    code, said = ended(pushing)
    assert code == 1, said
    assert f"{remote}: cannot be written: Read-only file system" in said
    assert main(["snapshot", "--push"]) == 0


def test_a_remote_that_is_no_folder_is_named(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = repository.parent / "remote"
    remote.write_text("a file where a folder should be")
    assert f"{remote}: cannot be written: " in pushed_in_vain(repository, capsys, remote)


class Bucket(BaseHTTPRequestHandler):
    """An S3 server with nothing in it, that takes nothing."""

    refusal = (HTTPStatus.FORBIDDEN, "AccessDenied")

    def do_GET(self) -> None:
        self._answer(HTTPStatus.NOT_FOUND, "NoSuchKey")

    def do_PUT(self) -> None:
        self._answer(*self.refusal)

    do_HEAD, do_POST = do_GET, do_PUT

    def _answer(self, status: HTTPStatus, code: str) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = f"<Error><Code>{code}</Code><Message>{status.phrase}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ((HTTPStatus.FORBIDDEN, "AccessDenied"), "ACCESS_DENIED"),
        ((HTTPStatus.INSUFFICIENT_STORAGE, "InsufficientStorage"), "507"),
    ],
)
def test_a_bucket_that_takes_nothing_is_named(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    refusal: tuple[HTTPStatus, str],
    reason: str,
) -> None:
    handler = type("Refusing", (Bucket,), {"refusal": refusal})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        said = pushed_in_vain(repository, capsys, "s3://bucket/snapshots")
        server.shutdown()
    assert "s3://bucket/snapshots: cannot be written: " in said
    assert reason in said
    assert PASSWORD not in said


def test_a_snapshot_without_a_remote_cannot_be_pushed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TAKE]) == 0
    code, said = run(capsys, "snapshot", "--push")
    assert code == 2
    assert "there is no [remote] to push to" in said


def test_a_cache_that_is_full_is_named_and_no_pointer_is_written(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with SmallDisk.mounted(repository.parent / "small", megabytes=1) as disk:
        monkeypatch.setenv("SNAPSHOT_CACHE", str(disk.folder))
        disk.fill(free_blocks=1)
        code, said = run(capsys, *TAKE)
        assert code == 1
        assert f"{disk.folder}: the snapshot cannot be kept: No space left on device" in said
        assert "or name another folder in SNAPSHOT_CACHE" in said
        assert not (repository / "data" / "snapshot.json").exists()
        assert [file.name for file in disk.folder.iterdir()] == ["ballast"]
        disk.make_room()
        assert main([*TAKE]) == 0


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
