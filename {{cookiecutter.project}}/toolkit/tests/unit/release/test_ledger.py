"""The ledger in a real repository: what is written is read, and nothing can be forged."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from toolkit.release.errors import ArtifactGone, HeadMoved, HistoryCorrupt, PreconditionFailed
from toolkit.release.event import Event
from toolkit.release.git import Repository
from toolkit.release.login import without_credentials
from toolkit.release.ledger import Ledger
from toolkit.release.records import Record
from toolkit.tests.workshop import Workshop, git

EVENT = Event("promote", "A", "sha256:1", "verified", actor="Ada <ada@example.com>")


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A repository without a remote."""
    return Workshop.open(tmp_path / "clone", None)


def test_an_event_is_read_as_it_was_written(shop: Workshop) -> None:
    event = Event(**{**vars(EVENT), "reason": "ein Grund: 50 % schneller", "duration_s": "1.5"})
    shop.ledger().append("prod", event, {"release.json": b"{}"})
    (read,) = shop.ledger().history("prod")
    assert (read.reason, read.duration_s, read.outcome) == (event.reason, "1.5", "verified")
    assert shop.ledger().desired(read.sha) == {"release.json": b"{}"}


def test_a_reason_cannot_forge_a_trailer(shop: Workshop) -> None:
    forged = "harmless\n\nApproved-by: the boss\nOutcome: failed\x1d\x1e\x1f"
    shop.ledger().append("prod", Event(**{**vars(EVENT), "reason": forged}), {})
    (read,) = shop.ledger().history("prod")
    assert (read.approved_by, read.outcome) == ("", "verified")


def test_the_working_tree_and_the_index_are_never_touched(shop: Workshop) -> None:
    release = _release(shop)
    (shop.folder / "work.txt").write_text("half done")
    git(shop.folder, "add", "work.txt")
    before = git(shop.folder, "status", "--porcelain=v2", "--branch")
    shop.ledger().append("prod", EVENT, {"release.json": b"{}"})
    shop.ledger().add_release(*release)
    assert git(shop.folder, "status", "--porcelain=v2", "--branch") == before


def test_46_a_second_writer_on_an_old_reading_writes_nothing(shop: Workshop) -> None:
    first, second = shop.ledger(), shop.ledger()
    first.append("prod", EVENT, {})
    with pytest.raises(HeadMoved):
        second.append("prod", EVENT, {})
    assert len(shop.ledger().history("prod")) == 1


def test_two_equal_events_of_one_second_cannot_both_win(tmp_path: Path) -> None:
    shop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    first, second = shop.ledger(), shop.ledger()
    first.append("prod", EVENT, {})
    with pytest.raises(HeadMoved):
        second.append("prod", EVENT, {})
    assert len(shop.ledger().history("prod")) == 1


def test_33_a_damaged_bundle_is_named(shop: Workshop) -> None:
    record, files, message = _release(shop)
    shop.ledger().add_release(record, files | {"model.onnx": b"another model"}, message)
    with pytest.raises(HistoryCorrupt, match="is damaged") as refusal:
        shop.ledger().bundle(record.version)
    assert refusal.value.why == "model.onnx is not the file that was released"


def test_a_missing_release_is_named(shop: Workshop) -> None:
    with pytest.raises(ArtifactGone, match="there is no release 000000000000-00000000"):
        shop.ledger().record("000000000000-00000000")


def test_33_a_commit_that_is_no_event_is_named(shop: Workshop) -> None:
    tree = git(shop.folder, "write-tree")
    commit = git(shop.folder, "commit-tree", tree, "-m", "a stranger wrote here")
    git(shop.folder, "update-ref", "refs/heads/env/prod", commit)
    with pytest.raises(HistoryCorrupt, match=f"the commit {commit[:12]} is not a release event"):
        shop.ledger().history("prod")


def test_outside_of_git_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PreconditionFailed, match="not in a git repository") as refusal:
        Repository.containing(tmp_path)
    assert "git init" in refusal.value.next_step


@pytest.mark.parametrize(("version", "is_taken"), [("2.25.1", False), ("2.29.0", True)])
def test_a_git_that_is_too_old_is_named_and_not_the_remote(
    shop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    is_taken: bool,
) -> None:
    path = tmp_path / "bin" / "git"
    path.parent.mkdir()
    real = shutil.which("git")
    told = f'case "$*" in *" version") echo "git version {version}"; exit;; esac'
    path.write_text(f'#!/bin/sh\n{told}\nexec {real} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    if is_taken:
        assert Repository.containing(shop.folder).root == shop.folder
        return
    with pytest.raises(PreconditionFailed, match="git 2.25 is too old") as refusal:
        Repository.containing(shop.folder)
    assert "git 2.29 or newer" in refusal.value.why


def test_45_without_a_name_nobody_writes(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    git(shop.folder, "config", "user.useConfigOnly", "true")
    for key in ("user.name", "user.email"):
        git(shop.folder, "config", "--unset", key)
    for name in ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with pytest.raises(PreconditionFailed, match="has no name and e-mail address for you"):
        Ledger.open(Repository(shop.folder)).repository.identity()


def test_credentials_of_the_remote_are_never_repeated() -> None:
    output = "fatal: unable to access 'https://bot:s3cret@example.com/repo.git/': timed out"
    assert "s3cret" not in without_credentials(output)
    assert "example.com/repo.git" in without_credentials(output)


def _release(shop: Workshop) -> tuple[Record, dict[str, bytes], str]:
    """Return what `Ledger.add_release` takes, from a release that another clone made."""
    record = shop.release()
    files = shop.ledger().bundle(record.version)
    git(shop.folder, "tag", "--delete", f"release/{record.version}")
    return record, files, "a release\n"
