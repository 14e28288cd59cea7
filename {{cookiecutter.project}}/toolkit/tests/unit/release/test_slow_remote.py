"""A remote that is slow, silent, or refuses once: a rollback goes first, and no event is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.release import change, git, ledger
from toolkit.release.errors import PushFailed, RolledBack
from toolkit.release.git import Repository
from toolkit.release.records import Record
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop
from toolkit.tests.workshop import git as run_git

# It ends by itself after 20 s, so that a failed test leaves nothing behind.
WAITING = """#!/bin/sh
touch {folder}/asked
for turn in $(seq 400); do
    if test -e {folder}/go; then exit 0; fi
    sleep 0.05
done
"""
REFUSING = """#!/bin/sh
read old new name
echo $name >> {folder}/pushes
count=$(wc -l < {folder}/pushes)
case " {refused} " in *" $count "*) echo the disk of the forge is full; echo ask Ada; exit 1;; esac
"""
Hook = Callable[[str], None]


@pytest.fixture
def hook(tmp_path: Path) -> Hook:
    """Give the remote a hook that every push goes through."""

    def install(text: str) -> None:
        path = tmp_path / "remote.git" / "hooks" / "pre-receive"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    return install


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "PAUSES_S", (0.01, 0.01))


@pytest.fixture
def releases(shared_workshop: Workshop) -> list[Record]:
    """Two releases that staging has served."""
    made = [shared_workshop.release(b"one"), shared_workshop.release(b"two")]
    for release in made:
        shared_workshop.promote(release, shared_workshop.staging)
    return made


def at_remote(tmp_path: Path) -> str:
    return run_git(tmp_path / "remote.git", "rev-parse", "env/staging")


def test_27_a_rollback_changes_servers_before_a_slow_remote_has_taken_its_lock(
    shared_workshop: Workshop,
    platform: InMemoryPlatform,
    releases: list[Record],
    tmp_path: Path,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook(WAITING.format(folder=tmp_path))
    monkeypatch.setattr(ledger, "PATIENCE_S", 0.2)
    before, seen = at_remote(tmp_path), []

    def accept(record: Record) -> None:
        seen.append((record, at_remote(tmp_path)))
        (tmp_path / "go").touch()

    platform.before_apply = accept
    event = shared_workshop.rollback(shared_workshop.staging)
    assert seen == [(releases[0], before)]
    assert (tmp_path / "asked").exists()
    assert (event.release, event.outcome) == (releases[0].version, "verified")
    assert at_remote(tmp_path) == event.sha
    assert shared_workshop.ledger().owed("staging") == 0


def test_27_a_remote_that_never_takes_it_is_waited_for_once(
    shared_workshop: Workshop,
    releases: list[Record],
    tmp_path: Path,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hook(WAITING.format(folder=tmp_path))
    for module in (git, change):
        monkeypatch.setattr(module, "NETWORK_TIMEOUT_S", 1)
    monkeypatch.setattr(git, "LONG_S", 0.5)
    monkeypatch.setattr(ledger, "PATIENCE_S", 0.2)
    asked: list[str] = []
    run = Repository.run

    def noting(self: Repository, *arguments: str, **options: object) -> str:
        if {"push", "fetch", "ls-remote"}.intersection(arguments[:3]):
            asked.append(arguments[0])
        return run(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Repository, "run", noting)
    try:
        event = shared_workshop.rollback(shared_workshop.staging)
        assert (event.release, event.outcome) == (releases[0].version, "verified")
        assert asked[asked.index("push") :] == ["push"]
        assert "the push is owed, the remote did not accept it: git push did not" in (
            capsys.readouterr().err
        )
    finally:
        (tmp_path / "go").touch()


def test_a_remote_that_refuses_the_outcome_once_is_asked_again(
    shared_workshop: Workshop, tmp_path: Path, hook: Hook
) -> None:
    release = shared_workshop.release()
    hook(REFUSING.format(folder=tmp_path, refused="2"))
    event = shared_workshop.promote(release, shared_workshop.staging)
    assert len((tmp_path / "pushes").read_text().splitlines()) == 3
    assert at_remote(tmp_path) == event.sha
    assert shared_workshop.ledger().owed("staging") == 0


def test_a_remote_that_is_away_for_a_moment_of_a_promotion_is_asked_again_at_its_end(
    shared_workshop: Workshop, platform: InMemoryPlatform, tmp_path: Path
) -> None:
    release, remote = shared_workshop.release(), tmp_path / "remote.git"

    def lose_it(record: Record) -> None:
        remote.rename(tmp_path / "gone.git")
        shared_workshop.ledger()
        (tmp_path / "gone.git").rename(remote)

    platform.before_apply = lose_it
    event = shared_workshop.promote(release, shared_workshop.staging)
    assert at_remote(tmp_path) == event.sha


def test_in_ci_an_event_that_is_still_owed_is_an_error_with_the_whole_reason(
    shared_workshop: Workshop, tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = shared_workshop.release()
    hook(REFUSING.format(folder=tmp_path, refused="2 3 4"))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(PushFailed, match="in staging has ended, verified, and origin") as owed:
        shared_workshop.promote(release, shared_workshop.staging)
    assert owed.value.exit_code == 21
    for line in ("the disk of the forge is full", "ask Ada"):
        assert line in owed.value.why
    (pending,) = shared_workshop.ledger().history("staging")[1:]
    assert pending.lease_until in owed.value.state
    assert owed.value.next_step.startswith("invoke recover --env staging in this clone")
    assert shared_workshop.ledger().owed("staging") == 1
    assert at_remote(tmp_path) == pending.sha


def test_elsewhere_it_is_said_with_the_whole_reason(
    shared_workshop: Workshop, tmp_path: Path, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    release = shared_workshop.release()
    hook(REFUSING.format(folder=tmp_path, refused="2 3 4"))
    assert shared_workshop.promote(release, shared_workshop.staging).outcome == "verified"
    said = capsys.readouterr().err
    assert "the push is owed" in said
    assert "the disk of the forge is full" in said and "ask Ada" in said


def test_in_ci_a_release_that_failed_is_still_the_error(
    shared_workshop: Workshop, tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = shared_workshop.release(b"wrong predictions")
    hook(REFUSING.format(folder=tmp_path, refused="2 3 4"))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RolledBack):
        shared_workshop.promote(bad, shared_workshop.staging)
