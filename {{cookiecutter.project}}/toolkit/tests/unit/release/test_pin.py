"""A pin commits the snapshot's pointer alone, on a branch of its own, and may go where it may."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from toolkit.release import snapshots
from toolkit.release.errors import PreconditionFailed, PushFailed
from toolkit.release.git import Repository
from toolkit.release.pin import pin

POINTER = "data/snapshot.json"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ("git", "-C", str(folder), *arguments), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def take(folder: Path, content: str, as_of: str = "2026-11-30") -> None:
    """Write a pointer, as nox -s snapshot does."""
    document = {"content_sha256": content * 64, "as_of": as_of, "rows": 400}
    (folder / POINTER).write_text(json.dumps(document))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a clone with a pointer on main, and a remote."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "remote.git")
    git(tmp_path, "clone", "--quiet", str(tmp_path / "remote.git"), "clone")
    folder = tmp_path / "clone"
    (folder / "data").mkdir()
    (folder / "code.py").write_text("1\n")
    take(folder, "a", "2026-11-29")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.com")):
        git(folder, "config", key, value)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin")
    git(folder, "push", "--quiet", "origin", "HEAD:main")
    return Repository.containing(folder)


def test_a_snapshot_is_committed_alone_on_a_branch_of_its_day(repository: Repository) -> None:
    anchor = repository.head()
    take(repository.root, "b")
    made = pin(repository, push=True)
    assert (made.branch, made.is_new, made.is_pushed) == ("snapshot/2026-11-30", True, True)
    assert repository.changes() == []
    assert git(repository.root, "diff", "--name-only", anchor, made.commit) == POINTER
    there = git(repository.root, "ls-remote", "origin", "refs/heads/snapshot/2026-11-30")
    assert there.split()[0] == made.commit
    assert snapshots.is_pin(repository, made.commit, anchor)
    assert snapshots.of_commit(repository, made.commit) == snapshots.Snapshot(
        "b" * 64, "2026-11-30"
    )


def test_nothing_new_is_nothing_to_pin(repository: Repository) -> None:
    anchor = repository.head()
    made = pin(repository, push=True)
    assert (made.commit, made.branch, made.is_new, made.is_pushed) == (anchor, "", False, False)


def test_a_pin_of_before_is_pushed_later(repository: Repository) -> None:
    take(repository.root, "b")
    first = pin(repository, push=False)
    assert not git(repository.root, "ls-remote", "origin", "refs/heads/snapshot/*")
    second = pin(repository, push=True)
    assert second == type(second)(first.commit, first.branch, False, True)
    assert git(repository.root, "ls-remote", "origin", "refs/heads/snapshot/*")


def test_without_a_remote_the_pin_is_made_and_its_push_refused(repository: Repository) -> None:
    git(repository.root, "remote", "remove", "origin")
    take(repository.root, "b")
    with pytest.raises(PreconditionFailed) as refused:
        pin(repository, push=True)
    assert "no remote called origin" in str(refused.value.why)
    assert refused.value.state == "the pin is committed here"
    assert git(repository.root, "branch", "--show-current") == "snapshot/2026-11-30"


def test_another_snapshot_of_the_same_day_has_a_branch_of_its_own(repository: Repository) -> None:
    take(repository.root, "b")
    pin(repository, push=True)
    git(repository.root, "switch", "--quiet", "-")
    git(repository.root, "branch", "--quiet", "-D", "snapshot/2026-11-30")
    take(repository.root, "c")
    assert pin(repository, push=True).branch == "snapshot/2026-11-30-cccccccc"


def test_of_two_nightlies_at_once_one_pushes_its_pin_and_the_other_is_told(
    repository: Repository,
) -> None:
    beside = repository.root.parent / "beside"
    git(repository.root.parent, "clone", "--quiet", "remote.git", "beside")
    for key, value in (("user.name", "Grace"), ("user.email", "grace@example.com")):
        git(beside, "config", key, value)
    other = Repository.containing(beside)
    take(repository.root, "b")
    take(other.root, "c")
    pin(repository, push=False)
    pin(other, push=False)
    first = pin(repository, push=True)
    with pytest.raises(PushFailed, match="the branch snapshot/2026-11-30 was not pushed") as told:
        pin(other, push=True)
    assert told.value.state == "the pin is committed here"
    assert "invoke pin --push" in str(told.value.next_step)
    there = git(repository.root, "ls-remote", "origin", "refs/heads/snapshot/*")
    assert there.split() == [first.commit, "refs/heads/snapshot/2026-11-30"]


def test_other_changes_are_not_committed_with_it(repository: Repository) -> None:
    take(repository.root, "b")
    (repository.root / "code.py").write_text("2\n")
    with pytest.raises(PreconditionFailed, match="more has changed than data/snapshot.json"):
        pin(repository, push=False)
    assert git(repository.root, "branch", "--list", "snapshot/*") == ""


def test_a_commit_with_other_code_is_no_pin(repository: Repository) -> None:
    anchor = repository.head()
    take(repository.root, "b")
    (repository.root / "code.py").write_text("2\n")
    git(repository.root, "commit", "--quiet", "--all", "--message", "More")
    assert not snapshots.is_pin(repository, repository.head(), anchor)
    take(repository.root, "c")
    git(repository.root, "commit", "--quiet", "--all", "--message", "On top of what is not merged")
    assert not snapshots.is_pin(repository, repository.head(), anchor)
    assert not snapshots.is_pin(repository, anchor, anchor)


def test_a_pointer_that_is_none_is_named(repository: Repository) -> None:
    (repository.root / POINTER).write_text("{}")
    git(repository.root, "commit", "--quiet", "--all", "--message", "Break it")
    with pytest.raises(PreconditionFailed, match="is no pointer"):
        snapshots.of_commit(repository, repository.head())
