"""The remote is gone, comes back, or has moved: real commands in real clones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from toolkit.tests.command_line import CommandLine
from toolkit.tests.workshop import Workshop, git

PUSH, PRECONDITION, NO_TARGET = 21, 14, 40


@pytest.fixture
def invoke(workshop: Workshop) -> CommandLine:
    """In a clone whose staging went through two releases, and that has built a third."""
    invoke = CommandLine.of(workshop)
    for release in (workshop.release(b"one"), workshop.release(b"two")):
        workshop.record_promotion(release, workshop.staging)
    workshop.release(b"three")
    git(invoke.folder, "push", "--quiet", "origin", "main")
    return invoke


@contextmanager
def gone(remote: Path) -> Iterator[None]:
    """Move the remote away for a while."""
    elsewhere = remote.with_name("gone.git")
    remote.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(remote)


def clone(tmp_path: Path, *options: str) -> CommandLine:
    """Clone the remote as another user, as CI does."""
    folder = tmp_path / "elsewhere"
    git(tmp_path, "clone", "--quiet", *options, f"file://{tmp_path}/remote.git", str(folder))
    git(folder, "config", "user.name", "Bob")
    git(folder, "config", "user.email", "bob@example.com")
    return CommandLine(folder)


def head_at(remote: Path) -> str:
    return git(remote, "rev-parse", "env/staging")


def test_27_a_rollback_without_the_remote_goes_on_and_recover_pays_the_push(
    invoke: CommandLine, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    before = head_at(remote)
    with gone(remote):
        done = invoke.run("rollback", "--env", "staging", "--reason", "customers complain")
        assert done.returncode == 0, done.stderr
        assert "the push is owed" in done.stderr
        status = invoke.run("status", "--env", "staging")
        assert "push owed: origin lacks 2 of its events" in status.stdout
        assert "next: invoke recover --env staging" in status.stdout
        early = invoke.run("recover", "--env", "staging")
        assert early.returncode == PUSH
        assert "the push is still owed" in early.stderr
    assert head_at(remote) == before
    assert invoke.json("status", "--env", "staging")[0]["owed"] == 2
    paid = invoke.run("recover", "--env", "staging")
    assert paid.returncode == 0, paid.stderr
    assert "push 2 events of staging that origin lacks" in paid.stderr
    assert head_at(remote) == git(invoke.folder, "rev-parse", "env/staging")
    assert invoke.json("status", "--env", "staging")[0]["owed"] == 0
    again = invoke.run("recover", "--env", "staging")
    assert again.returncode == PRECONDITION
    assert "nothing to recover in staging" in again.stderr


def test_27_where_others_went_on_meanwhile_the_owed_push_is_refused(
    invoke: CommandLine, workshop: Workshop, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    with gone(remote):
        assert invoke.run("rollback", "--env", "staging").returncode == 0
    other = clone(tmp_path)
    assert other.run("hold", "--env", "staging").returncode == 0
    head = head_at(remote)
    refused = invoke.run("recover", "--env", "staging")
    assert refused.returncode == 50
    assert "two histories of env/staging" in refused.stderr
    assert head_at(remote) == head


def test_28_where_ci_is_down_any_clone_can_do_what_it_does(
    workshop: Workshop, tmp_path: Path
) -> None:
    ci = CommandLine.of(workshop)
    first, second = workshop.release(b"one"), workshop.release(b"two")
    assert ci.json("promote", "--env", "staging", "--version", first.version, "--yes")
    laptop = clone(tmp_path)
    event = laptop.json("promote", "--env", "staging", "--version", second.version, "--yes")
    assert (event["actor"], event["outcome"]) == ("Bob <bob@example.com>", "verified")
    event = laptop.json("rollback", "--env", "staging")
    assert (event["release"], event["outcome"]) == (first.version, "verified")
    assert ci.json("history", "--env", "staging") == laptop.json("history", "--env", "staging")


@pytest.mark.parametrize("options", [["--depth=1"], ["--depth=1", "--no-single-branch"]])
def test_44_a_shallow_clone_is_completed_before_it_is_used(
    invoke: CommandLine, tmp_path: Path, options: list[str]
) -> None:
    shallow = clone(tmp_path, *options)
    history = shallow.json("history", "--env", "staging")
    assert history == invoke.json("history", "--env", "staging")
    assert len(history) == 2
    rollback = shallow.run("rollback", "--env", "staging", "--dry-run")
    assert rollback.returncode == 0, rollback.stderr
    assert f"-> {history[1]['release']}" in rollback.stderr
    promotion = shallow.run("promote", "--env", "staging", "--dry-run")
    assert promotion.returncode == 0
    assert promotion.stderr == invoke.run("promote", "--env", "staging", "--dry-run").stderr
    approval = shallow.run("approve", "--env", "prod")
    assert "1 of 1 approvals" in approval.stderr


@pytest.mark.parametrize("options", [["--depth=1"], ["--depth=1", "--no-single-branch"]])
def test_44_a_shallow_clone_without_its_remote_says_so_and_never_nothing_to_go_back_to(
    invoke: CommandLine, tmp_path: Path, options: list[str]
) -> None:
    shallow = clone(tmp_path, *options)
    with gone(tmp_path / "remote.git"):
        refused = shallow.run("rollback", "--env", "staging", "--dry-run")
    assert refused.returncode == PRECONDITION, refused.stderr
    assert "does not appear to be a git repository" in refused.stderr
    assert "no release to roll back to" not in refused.stderr


def test_44_a_complete_clone_has_the_history_without_its_remote(
    invoke: CommandLine, tmp_path: Path
) -> None:
    whole = clone(tmp_path)
    with gone(tmp_path / "remote.git"):
        rollback = whole.run("rollback", "--env", "staging", "--dry-run")
    assert rollback.returncode == 0, rollback.stderr
    assert f"-> {invoke.json('history', '--env', 'staging')[1]['release']}" in rollback.stderr


def test_44_a_partial_clone_fetches_beforehand_what_a_rollback_needs(
    invoke: CommandLine, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    git(remote, "config", "uploadpack.allowFilter", "true")
    part = clone(tmp_path, "--filter=blob:none")
    with gone(remote):
        unread = part.run("status", "--env", "staging")
    assert unread.returncode == 50
    assert "this partial clone lacks" in unread.stderr
    assert "invoke status fetches them, when origin answers" in unread.stderr
    assert part.json("status", "--env", "staging")[0]["lacks"] == 0
    with gone(remote):
        assert part.json("status", "--env", "staging")[0]["lacks"] == 0
        rollback = part.run("rollback", "--env", "staging")
    assert rollback.returncode == 0, rollback.stderr
    assert f"-> {invoke.json('history', '--env', 'staging')[1]['release']}" in rollback.stderr
