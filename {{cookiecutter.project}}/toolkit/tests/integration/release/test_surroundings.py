"""Real commands without a git identity, on a detached HEAD, and on a read-only disk."""

from __future__ import annotations

import pytest

from toolkit.tests.disks import seeing_read_only
from toolkit.tests.command_line import CommandLine
from toolkit.tests.workshop import Workshop, commit, git

PRECONDITION = 14
# Every command that writes, with its required arguments.
WRITING = [
    ["build"],
    ["promote", "--env", "staging", "--yes"],
    ["rollback", "--env", "staging"],
    ["approve", "--env", "prod"],
    ["hold", "--env", "staging"],
    ["drill", "--env", "staging", "--sandbox"],
]


@pytest.fixture
def invoke(workshop: Workshop) -> CommandLine:
    """In a clone whose staging went through two releases, and that has trained a third."""
    workshop.pack()
    invoke = CommandLine.of(workshop)
    for release in (workshop.release(b"one"), workshop.release(b"two")):
        workshop.record_promotion(release, workshop.staging)
    commit(invoke.folder, "more work")
    workshop.train(b"three")
    return invoke


def test_45_without_a_name_nothing_is_written(
    invoke: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(invoke.folder, "config", "user.useConfigOnly", "true")
    for key in ("user.name", "user.email"):
        git(invoke.folder, "config", "--unset", key)
    monkeypatch.delenv("EMAIL", raising=False)
    before = git(invoke.folder, "for-each-ref")
    for command in WRITING:
        refused = invoke.run(*command)
        assert refused.returncode == PRECONDITION, refused.stderr
        assert "git has no name and e-mail address for you" in refused.stderr
        assert 'git config user.name "Your Name"' in refused.stderr
    assert git(invoke.folder, "for-each-ref") == before


@pytest.mark.parametrize(("place", "commands"), [(".", WRITING), (".git", WRITING[1:3])])
def test_45_on_a_read_only_disk_nothing_is_begun(
    invoke: CommandLine, place: str, commands: list[list[str]]
) -> None:
    before = git(invoke.folder, "for-each-ref")
    for command in commands:
        refused = CommandLine(invoke.folder, seeing_read_only(invoke.folder / place)).run(*command)
        assert refused.returncode == PRECONDITION, refused.stderr
        assert "the repository cannot be written" in refused.stderr
        assert "state: nothing was changed" in refused.stderr
    assert git(invoke.folder, "for-each-ref") == before


def test_45_a_look_needs_no_disk_to_write_on(invoke: CommandLine) -> None:
    for command in (["status"], ["history", "--env", "staging"]):
        seen = CommandLine(invoke.folder, seeing_read_only(invoke.folder)).run(*command)
        assert (seen.returncode, seen.stdout) == (0, invoke.run(*command).stdout)


def test_45_a_detached_head_builds_promotes_and_rolls_back_as_in_ci(invoke: CommandLine) -> None:
    git(invoke.folder, "checkout", "--quiet", "--detach")
    built = invoke.json("build", "--push")["record"]["version"]
    event = invoke.json("promote", "--env", "staging", "--yes")
    assert (event["release"], event["outcome"]) == (built, "verified")
    assert invoke.json("rollback", "--env", "staging")["outcome"] == "verified"
    assert git(invoke.folder, "status", "--porcelain") == ""


def test_a_policy_that_no_commit_holds_releases_nothing(invoke: CommandLine) -> None:
    git(invoke.folder, "rm", "--quiet", "--cached", "release.toml")
    commit(invoke.folder, "say nothing of how we release")
    (invoke.folder / ".git" / "info" / "exclude").write_text("release.toml\n", encoding="utf-8")
    assert git(invoke.folder, "status", "--porcelain") == ""
    before = git(invoke.folder, "for-each-ref")
    refused = invoke.run("build", "--push")
    assert refused.returncode == 2
    assert "release.toml is not a valid release policy" in refused.stderr
    assert "does not hold it" in refused.stderr
    assert git(invoke.folder, "for-each-ref") == before
