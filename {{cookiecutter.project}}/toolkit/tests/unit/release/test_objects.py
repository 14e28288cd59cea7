"""Objects as they are stored, each checked against its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.release.git import GitFailed
from toolkit.release.objects import Objects
from toolkit.tests.workshop import Workshop, git


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A repository without a remote."""
    return Workshop.open(tmp_path / "clone", None)


@pytest.fixture
def objects(shop: Workshop) -> Iterator[Objects]:
    """Its objects."""
    with Objects(shop.machine.repository) as objects:
        yield objects


def store(shop: Workshop, content: bytes) -> str:
    return shop.machine.repository.run("hash-object", "-w", "--stdin", stdin=content)


def test_a_commit_a_tree_and_a_file_are_read_as_they_are(shop: Workshop, objects: Objects) -> None:
    record = shop.release()
    reference = f"refs/tags/release/{record.version}"
    tag = objects.tag(git(shop.folder, "rev-parse", reference), reference)
    commit = objects.commit(tag.target)
    assert commit.named("parent") == (record.commit,)
    files = objects.tree(commit.named("tree")[0])
    assert objects.read(files["release.json"]) == (files["release.json"], record.to_json())
    assert objects.read(f"{tag.target}:model.onnx")[1] == b"good"


def test_after_what_is_missing_or_no_object_the_next_one_is_read(
    shop: Workshop, objects: Objects
) -> None:
    broken, whole = store(shop, b"a" * 1000), store(shop, b"whole")
    path = shop.folder / ".git" / "objects" / broken[:2] / broken[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-6])
    for name in (broken, "0" * 40, "HEAD:nowhere"):
        with pytest.raises(GitFailed):
            objects.read(name)
        assert objects.read(whole)[1] == b"whole"


def test_a_line_break_in_a_name_is_refused(shop: Workshop, objects: Objects) -> None:
    whole, other = store(shop, b"whole"), store(shop, b"other")
    with pytest.raises(GitFailed, match="is no object's name"):
        objects.read(f"{whole}\n{other}")
    assert objects.read(other)[1] == b"other"


def test_a_signature_s_lines_are_no_headers(shop: Workshop, objects: Objects) -> None:
    tree = git(shop.folder, "rev-parse", "HEAD^{tree}")
    person = "Ada <ada@example.com> 1700000000 +0000"
    signed = (
        f"tree {tree}\nauthor {person}\ncommitter {person}\ngpgsig -----BEGIN\n tree 0\n\nhello\n"
    )
    run = shop.machine.repository.run
    commit = objects.commit(
        run("hash-object", "-t", "commit", "-w", "--stdin", stdin=signed.encode())
    )
    assert (commit.named("tree"), commit.message) == ((tree,), "hello\n")
