"""The champion is the release that an environment serves, or served, checked against its record."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toolkit.release import ledger
from toolkit.release.champion import Champion, fetch, serving_release
from toolkit.release.engine import Machine
from toolkit.release.errors import HistoryCorrupt, PreconditionFailed
from toolkit.release.event import FAILED, ROLLED_BACK, VERIFIED, Event
from toolkit.release.git import GitFailed, Repository
from toolkit.release.records import FILE_NAME, Record, sha256
from toolkit.tests.workshop import Workshop, git


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop.open(tmp_path / "clone", tmp_path / "remote.git")


def write(
    shop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    record: Record,
    outcome: str = VERIFIED,
    days_ago: float = 0,
) -> None:
    """Write an event of prod as if it had been written some days ago."""
    when = datetime.now(UTC) - timedelta(days=days_ago)
    event = Event("promote", record.version, record.digest, outcome, actor="Ada")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "now", lambda: when)
        shop.ledger().append("prod", event, {FILE_NAME: record.to_json()})


def fetched(shop: Workshop, days_ago: int = 0) -> Champion:
    return fetch(
        shop.ledger(), shop.machine.policy, "prod", days_ago, shop.folder / "reports" / "champion"
    )


def test_before_the_first_release_there_is_none(shop: Workshop) -> None:
    champion = fetched(shop)
    assert (champion.release, champion.served_since, champion.checksums) == (None, None, {})
    document = json.loads((shop.folder / "reports" / "champion" / "champion.json").read_bytes())
    assert (document["schema"], document["environment"], document["release"]) == (2, "prod", None)
    assert document["policies"] == {}


def test_all_files_of_the_release_are_written_with_their_checksums(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = shop.release()
    write(shop, monkeypatch, record)
    champion = fetched(shop)
    folder = shop.folder / "reports" / "champion"
    assert champion.release == record.version
    assert {path.name for path in folder.iterdir()} == {*champion.checksums, "champion.json"}
    assert (folder / "model.onnx").read_bytes() == b"good"
    for name, checksum in champion.checksums.items():
        assert sha256((folder / name).read_bytes()) == checksum


def test_the_policies_of_its_commit_are_told_and_not_those_of_today(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("quality.toml", b"seed = 1\n"), ("release.toml", b'project = "\xff"\n')):
        (shop.folder / name).write_bytes(text)
    git(shop.folder, "add", "--all")
    write(shop, monkeypatch, shop.release())
    (shop.folder / "quality.toml").write_bytes(b"seed = 2\n")
    git(shop.folder, "commit", "--quiet", "--all", "--message=another seed")
    fetched(shop)
    document = json.loads((shop.folder / "reports" / "champion" / "champion.json").read_bytes())
    told = document["policies"]
    assert told == {"quality.toml": "seed = 1\n", "release.toml": 'project = "\udcff"\n'}


def test_a_champion_whose_commit_is_not_in_this_clone_is_refused(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(repository: Repository, commit: str) -> dict[str, bytes]:
        raise GitFailed(f"fatal: not a tree object: {commit}")

    record = shop.release()
    write(shop, monkeypatch, record)
    monkeypatch.setattr("toolkit.release.rules.policies", gone)
    with pytest.raises(PreconditionFailed, match=f"policies of release {record.version} cannot"):
        fetched(shop)
    assert not (shop.folder / "reports").exists()


def test_a_new_champion_takes_the_place_of_the_old_one(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(shop, monkeypatch, shop.release(b"first"))
    fetched(shop)
    second = shop.release(b"second")
    write(shop, monkeypatch, second)
    assert fetched(shop).release == second.version
    folder = shop.folder / "reports" / "champion"
    assert (folder / "model.onnx").read_bytes() == b"second"
    assert [path.name for path in folder.parent.iterdir()] == ["champion"]


@pytest.mark.parametrize("outcome", [FAILED, ROLLED_BACK, "pending", "aborted"])
def test_a_release_that_was_not_verified_is_no_champion(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    good = shop.release(b"first")
    write(shop, monkeypatch, good)
    write(shop, monkeypatch, shop.release(b"second"), outcome)
    assert fetched(shop).release == good.version
    assert serving_release(shop.ledger(), shop.machine.policy, "prod") == good.version


def test_the_champion_of_seven_days_ago_is_what_served_then(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [shop.release(model) for model in (b"first", b"second", b"third")]
    for record, days_ago in zip(records, (20, 9, 2), strict=True):
        write(shop, monkeypatch, record, days_ago=days_ago)
    versions = [record.version for record in records]
    assert [fetched(shop, days).release for days in (0, 7, 15)] == versions[::-1]


def test_of_a_young_environment_the_first_release_is_the_champion(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [shop.release(model) for model in (b"first", b"second")]
    for record, days_ago in zip(records, (3, 1), strict=True):
        write(shop, monkeypatch, record, days_ago=days_ago)
    assert fetched(shop, 7).release == records[0].version


def test_a_champion_that_cannot_be_read_is_not_nothing(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone of one branch has no history of prod, and its remote is away."""
    write(shop, monkeypatch, shop.release())
    remote = tmp_path / "remote.git"
    git(tmp_path, "clone", "--quiet", "--single-branch", f"file://{remote}", "other")
    remote.rename(tmp_path / "gone.git")
    machine = Machine(Repository(tmp_path / "other"), shop.machine.policy)
    other = Workshop(tmp_path / "other", machine)
    with pytest.raises(PreconditionFailed, match="what prod serves is unknown") as refusal:
        fetched(other)
    assert refusal.value.exit_code == 14
    assert "does not appear to be a git repository" in refusal.value.why
    with pytest.raises(PreconditionFailed, match="is unknown"):
        serving_release(other.ledger(), machine.policy, "prod")
    assert not (tmp_path / "other" / "reports").exists()


def test_a_champion_that_this_clone_has_seen_is_known_without_the_remote(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = shop.release()
    write(shop, monkeypatch, record)
    (tmp_path / "remote.git").rename(tmp_path / "gone.git")
    assert fetched(shop).release == record.version


def test_a_damaged_release_is_no_champion(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    record = shop.release()
    write(shop, monkeypatch, record)
    fetched(shop)
    files = shop.ledger().bundle(record.version) | {"model.onnx": b"another"}
    tree = shop.machine.repository.write_tree(files)
    commit = shop.machine.repository.write_commit(tree, [record.commit], "forged")
    tag = f"release/{record.version}"
    git(shop.folder, "tag", "--force", "--annotate", "--message=forged", tag, commit)
    git(shop.folder, "push", "--quiet", "--force", "origin", f"release/{record.version}")
    with pytest.raises(HistoryCorrupt, match="is damaged"):
        fetched(shop)
    kept = shop.folder / "reports" / "champion" / "model.onnx"
    assert kept.read_bytes() == b"good"


def test_the_champion_is_fetched_from_a_fresh_clone(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = shop.release()
    write(shop, monkeypatch, record)
    git(tmp_path, "clone", "--quiet", str(tmp_path / "remote.git"), "other")
    machine = Machine(Repository(tmp_path / "other"), shop.machine.policy)
    other = Workshop(tmp_path / "other", machine)
    assert fetched(other).release == record.version
