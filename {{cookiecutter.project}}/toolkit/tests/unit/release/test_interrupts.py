"""Ctrl-C at the worst moment: the change is undone, or the error says what is left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from toolkit.release import notice
from toolkit.release.errors import Interrupted
from toolkit.release.progress import Progress
from toolkit.release.records import Record
from toolkit.release.status import look
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop


@pytest.fixture
def releases(workshop: Workshop) -> list[Record]:
    """Three releases; staging has served the first two."""
    releases = [workshop.release(model) for model in (b"one", b"two", b"three")]
    for release in releases[:2]:
        workshop.promote(release, workshop.staging)
    return releases


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_22_the_change_of_an_interrupted_command_is_undone(
    workshop: Workshop, platform: InMemoryPlatform, releases: list[Record], command: str
) -> None:
    target = releases[2] if command == "promote" else releases[0]

    def interrupt(record: Record) -> None:
        if record == target:
            raise KeyboardInterrupt

    platform.before_apply = interrupt
    with pytest.raises(Interrupted) as refusal:
        if command == "promote":
            workshop.promote(target, workshop.staging)
        else:
            workshop.rollback(workshop.staging)
    assert refusal.value.exit_code == 130
    assert refusal.value.state == f"staging serves {releases[1].version}, as before"
    seen = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert (seen.release, seen.drift) == (releases[1].version, "")
    newest = workshop.ledger().history("staging")[0]
    assert (newest.kind, newest.release, newest.outcome) == (command, target.version, "aborted")


def test_22_a_second_interrupt_leaves_the_lock_and_says_so(
    workshop: Workshop, platform: InMemoryPlatform, releases: list[Record]
) -> None:
    policy = replace(workshop.machine.policy, lease_s=-60)
    impatient = replace(workshop, machine=replace(workshop.machine, policy=policy))

    def interrupt(record: Record) -> None:
        raise KeyboardInterrupt

    platform.before_apply = interrupt
    with pytest.raises(Interrupted) as refusal:
        impatient.promote(releases[2], workshop.staging)
    assert refusal.value.exit_code == 130
    assert "staging may serve either release; locked until" in refusal.value.state
    assert "invoke recover --env staging" in refusal.value.next_step
    with pytest.raises(Interrupted, match="the recover to .* was interrupted"):
        impatient.machine.recover(workshop.staging, Progress())
    platform.before_apply = lambda record: None
    assert workshop.machine.recover(workshop.staging, Progress()).outcome == "aborted"
    seen = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert (seen.release, seen.drift) == (releases[1].version, "")


def test_22_an_interrupt_after_the_record_says_that_there_is_no_lock(
    workshop: Workshop, releases: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(notice, "notify", interrupt)
    with pytest.raises(Interrupted, match="was interrupted at its end") as refusal:
        workshop.promote(releases[2], workshop.staging)
    assert refusal.value.state == "staging is not locked by this command"
    assert (
        look(workshop.machine, workshop.ledger(), workshop.staging).release == releases[2].version
    )
