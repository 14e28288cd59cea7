"""Who types, and where: no name, a detached HEAD, a disk that cannot be written. Real commands."""

from __future__ import annotations

import pytest

from toolkit.tests.disks import seeing_read_only
from toolkit.tests.door import Door
from toolkit.tests.workshop import Workshop, git

PRECONDITION = 14
# Every command that writes, with what else it wants.
WRITING = [
    ["build"],
    ["promote", "--env", "staging", "--yes"],
    ["rollback", "--env", "staging"],
    ["approve", "--env", "prod"],
    ["hold", "--env", "staging"],
    ["drill", "--env", "staging", "--sandbox"],
]


@pytest.fixture
def door(workshop: Workshop) -> Door:
    """The door of a clone whose staging went through two releases, and that has trained a third."""
    workshop.pack()
    door = Door.of(workshop)
    for release in (workshop.release(b"one"), workshop.release(b"two")):
        workshop.tell(release, workshop.staging)
    git(door.folder, "commit", "--quiet", "--allow-empty", "--message=more work")
    workshop.train(b"three")
    return door


def test_45_without_a_name_nothing_is_written(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    git(door.folder, "config", "user.useConfigOnly", "true")
    for key in ("user.name", "user.email"):
        git(door.folder, "config", "--unset", key)
    monkeypatch.delenv("EMAIL", raising=False)
    before = git(door.folder, "for-each-ref")
    for command in WRITING:
        refused = door.type(*command)
        assert refused.returncode == PRECONDITION, refused.stderr
        assert "git does not know who you are" in refused.stderr
        assert 'git config user.name "Your Name"' in refused.stderr
    assert git(door.folder, "for-each-ref") == before


@pytest.mark.parametrize(("place", "commands"), [(".", WRITING), (".git", WRITING[1:3])])
def test_45_on_a_read_only_disk_nothing_is_begun(
    door: Door, place: str, commands: list[list[str]]
) -> None:
    before = git(door.folder, "for-each-ref")
    for command in commands:
        refused = Door(door.folder, seeing_read_only(door.folder / place)).type(*command)
        assert refused.returncode == PRECONDITION, refused.stderr
        assert "the repository cannot be written" in refused.stderr
        assert "state: nothing was changed" in refused.stderr
    assert git(door.folder, "for-each-ref") == before


def test_45_a_look_needs_no_disk_to_write_on(door: Door) -> None:
    for command in (["status"], ["history", "--env", "staging"]):
        seen = Door(door.folder, seeing_read_only(door.folder)).type(*command)
        assert (seen.returncode, seen.stdout) == (0, door.type(*command).stdout)


def test_45_a_detached_head_builds_promotes_and_rolls_back_as_in_ci(door: Door) -> None:
    git(door.folder, "checkout", "--quiet", "--detach")
    built = door.ask("build")["record"]["version"]
    event = door.ask("promote", "--env", "staging", "--yes")
    assert (event["release"], event["outcome"]) == (built, "verified")
    assert door.ask("rollback", "--env", "staging")["outcome"] == "verified"
    assert git(door.folder, "status", "--porcelain") == ""
