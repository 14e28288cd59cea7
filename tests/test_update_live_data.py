"""An older repository, its table in git, takes the update, goes on, and moves its table out."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_live_data import found, objects, write_distinctive
from test_update import Source, after_history, release, told

from demo.repository import Repository

# The last commit whose generated repositories had no data/source.toml.
BEFORE_SNAPSHOTS = "ecb85d041faf8b323b4e0b3257dc2876a21ca2a7"
TABLE = "data/customers.csv"
NAMES_TABLE = re.compile(r'^file = "customers\.csv".*\n', re.MULTILINE)


@pytest.fixture
def source_of_before(tmp_path: Path) -> Source:
    """The template as it stands here, after what it was before there were snapshots."""
    return after_history(tmp_path, BEFORE_SNAPSHOTS)


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, str]]:
    """The customers, whose table lies outside of any repository."""
    return write_distinctive(tmp_path / "customers.csv")


@pytest.fixture
def of_before(
    source_of_before: Source, rows: list[dict[str, str]], tmp_path: Path
) -> Iterator[Repository]:
    """A repository of before there were snapshots, whose owner's table is in git."""
    into = tmp_path / "made"
    into.mkdir()
    created = ("create", "--no-input", "--checkout", BEFORE_SNAPSHOTS)
    source_of_before.cruft(into, *created, str(source_of_before.folder))
    folder = into / "churn-model"
    repository = Repository(folder, into / "state", folder / ".venv" / "bin")
    repository.begin(into / "remote.git")
    repository.take_free_ports()
    repository.make_canaries_short()
    repository.release_unscanned()
    repository.install_tools()
    columns = ("--target", "churned", "--id", "customer")
    succeed(repository, "adopt", "--", str(tmp_path / "customers.csv"), *columns)
    repository.commit("Bring our customers")
    assert rows[0]["customer"].encode() in repository.git_bytes("show", f"HEAD:{TABLE}")
    yield repository
    repository.stop()


def succeed(repository: Repository, *sessions: str) -> str:
    """Run sessions of nox, and return what they have printed."""
    done = repository.nox("-s", *sessions)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def evidence(repository: Repository) -> dict[str, Any]:
    """Return the evidence of the last training."""
    read: dict[str, Any] = json.loads((repository.folder / "reports" / "gate.json").read_bytes())
    return read


def move_the_table_out(repository: Repository, table: Path, remote: Path) -> None:
    """Follow docs/data.md, "Move a table out of git", by its numbers."""
    guide = (repository.folder / "docs" / "data.md").read_text(encoding="utf-8")
    steps = guide.partition("### Move a table out of git")[2].partition("\n## ")[0]
    assert re.findall(r"^([0-9])\. ", steps, re.MULTILINE) == ["1", "2", "3", "4"]
    # 1
    (repository.folder / "data" / "source.toml").write_text(
        f'schema = 1\nkind = "files"\nurl = "{table}"\n\n[remote]\nurl = "{remote}"\n',
        encoding="utf-8",
    )
    # 2
    contract = repository.folder / "data" / "contract.toml"
    text, lines = NAMES_TABLE.subn("", contract.read_text(encoding="utf-8"))
    assert lines == 1
    contract.write_text(text, encoding="utf-8")
    # 3
    succeed(repository, "snapshot")
    succeed(repository, "snapshot", "--", "--push")
    succeed(repository, "reference")
    # 4
    repository.git("rm", "--quiet", TABLE)
    repository.commit("Move the table out of git")


@pytest.mark.full
def test_an_older_repository_goes_on_with_its_table_in_git_and_moves_it_out(
    of_before: Repository, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    repository = of_before
    # The update asks nothing of an owner who has edited none of the files that it changes.
    assert "conflict" not in told(repository).values()
    cruft = str(repository.folder / ".nox" / "template" / "bin" / "cruft")
    updated = repository.capture(cruft, "update", "--skip-apply-ask")
    assert updated.returncode == 0, updated.stdout + updated.stderr
    assert repository.git("diff", "--name-only", "--diff-filter=U") == ""
    assert not list(repository.folder.rglob("*.rej"))
    repository.commit("Follow the template")
    shutil.rmtree(repository.folder / ".nox")

    # It goes on as it was: the table is the one in git.
    succeed(repository, "data", "features", "gate")
    said = succeed(repository, "snapshot")
    assert f"{TABLE} is in git, which keeps every version of it" in said
    assert not (repository.folder / "data" / "snapshot.json").exists()
    in_git = release(repository)
    assert evidence(repository)["verdict"] == "passed"
    assert "data_as_of" not in evidence(repository) or evidence(repository)["data_as_of"] is None

    before = set(objects(repository))
    move_the_table_out(repository, tmp_path / "customers.csv", tmp_path / "snapshots")
    (tmp_path / "customers.csv").unlink()
    # Another machine has the repository and the remote.
    shutil.rmtree(repository.state / "snapshots")
    succeed(repository, "data", "features", "gate")
    moved = release(repository)
    assert moved != in_git
    pointer = json.loads((repository.folder / "data" / "snapshot.json").read_bytes())
    assert pointer["rows"] == len(rows)
    assert evidence(repository)["data_sha256"] == pointer["content_sha256"]
    assert evidence(repository)["data_as_of"] == pointer["as_of"]
    for proof in repository.ask("audit")["environments"]:
        assert proof["findings"] == []

    # What was committed once stays in the history, as the guide says, and nothing is added to it.
    later = {name: one for name, one in objects(repository).items() if name not in before}
    assert {name: people for name, one in later.items() if (people := found(one, rows))} == {}
    history = repository.git("log", "--format=%s", "--", TABLE).splitlines()
    assert history == ["Move the table out of git", "Bring our customers"]
    assert len(found(repository.git_bytes("show", f"HEAD~1:{TABLE}"), rows)) == len(rows)
