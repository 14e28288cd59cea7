"""Evidence is read from git and from the bytes themselves."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from toolkit.model import evidence


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text("a", encoding="utf-8")
    author = ("-c", "user.name=A Tester", "-c", "user.email=tester@example.com")
    for command in (["init", "--quiet"], ["add", "a"], [*author, "commit", "--quiet", "-m", "a"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def test_the_commit_is_what_is_checked_out(repository: Path) -> None:
    commit = evidence.commit(repository)
    assert commit is not None
    assert len(commit) == 40
    assert evidence.tree_is_clean(repository)


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_changed_or_new_file_makes_the_tree_unclean(repository: Path, name: str) -> None:
    (repository / name).write_text("other", encoding="utf-8")
    assert not evidence.tree_is_clean(repository)


def test_outside_of_a_repository_nothing_is_claimed(tmp_path: Path) -> None:
    assert evidence.commit(tmp_path) is None
    assert not evidence.tree_is_clean(tmp_path)


def test_a_hash_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert evidence.sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert evidence.sha256(tmp_path / "b") is None
