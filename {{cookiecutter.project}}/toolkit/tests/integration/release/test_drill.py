"""Rollback drills, with the environment's servers and in a sandbox: real processes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from toolkit.release import drill, prune
from toolkit.release.audit import audit
from toolkit.release.errors import DrillFailed, NoRollbackTarget
from toolkit.release.progress import Progress
from toolkit.release.status import look
from toolkit.tests.command_line import write_policy
from toolkit.tests.workshop import Workshop


@pytest.mark.parametrize("sandbox", [False, True])
def test_a_drill_leaves_everything_as_it_was_and_is_recorded(
    workshop: Workshop, sandbox: bool
) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    for release in (first, second):
        workshop.promote(release, workshop.staging)
    before = {instance.pid for instance in workshop.machine.observe(workshop.staging).instances}
    done = drill.practise(workshop.machine, workshop.staging, sandbox, Progress())
    assert (done.release, done.target) == (second.version, first.version)
    assert done.requests > 0 and done.unanswered == 0
    seen = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert (seen.release, seen.drift) == (second.version, "")
    after = {instance.pid for instance in workshop.machine.observe(workshop.staging).instances}
    assert (after == before) is sandbox
    newest = workshop.ledger().history("staging")[0]
    assert (newest.kind, newest.outcome, newest.release) == ("drill", "noted", first.version)
    assert audit(workshop.ledger(), workshop.machine.policy).findings == []
    plan = workshop.machine.plan_rollback(workshop.staging, None)
    assert f"{done.seconds} s in the last drill" in str(plan)
    environments = workshop.machine.policy.environments
    assert len(list((workshop.state / "environments").iterdir())) <= len(environments)


def test_a_sandbox_serves_each_release_with_the_command_of_its_own_commit(
    workshop: Workshop,
) -> None:
    server = workshop.machine.policy.serve
    for serve in (server, ("-u", *server)):
        write_policy(workshop.folder, replace(workshop.machine.policy, serve=serve))
        workshop.promote(workshop.release(repr(serve).encode()), workshop.staging)
    policy = replace(workshop.machine.policy, serve=("-m", "server_of_another_toolkit"))
    machine = replace(workshop.machine, policy=policy)
    done = drill.practise(machine, workshop.staging, True, Progress())
    assert done.requests > 0 and done.unanswered == 0


def test_a_drill_over_its_budget_fails(workshop: Workshop) -> None:
    for release in (workshop.release(b"one"), workshop.release(b"two")):
        workshop.promote(release, workshop.staging)
    policy = replace(workshop.machine.policy, drill_budget_s=0)
    machine = replace(workshop.machine, policy=policy)
    with pytest.raises(DrillFailed, match="the drill of staging failed") as refusal:
        drill.practise(machine, workshop.staging, True, Progress())
    assert refusal.value.exit_code == 42
    assert "of 0 allowed" in refusal.value.why


def test_a_drill_finds_a_target_that_does_not_serve_any_more(
    workshop: Workshop,
) -> None:
    first = workshop.release(b"one")
    rot = workshop.folder.parent / "rot"
    rotting = f"while|{rot}|exit 7 its licence has expired".encode()
    second, third = workshop.release(rotting), workshop.release(b"three")
    for release in (first, second, third):
        workshop.promote(release, workshop.staging)
    rot.touch()
    with pytest.raises(DrillFailed, match="could not roll back to") as refusal:
        drill.practise(workshop.machine, workshop.staging, False, Progress())
    assert refusal.value.state.startswith(f"staging serves {third.version}, as before")
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift
    assert workshop.machine.plan_rollback(workshop.staging, None).record == first


def test_without_a_rollback_target_there_is_no_drill(workshop: Workshop) -> None:
    workshop.promote(workshop.release(), workshop.staging)
    with pytest.raises(NoRollbackTarget):
        drill.practise(workshop.machine, workshop.staging, True, Progress())


def test_43_a_clean_up_keeps_what_some_environment_may_have_to_serve(workshop: Workshop) -> None:
    releases = [workshop.release(model) for model in (b"1", b"2", b"3", b"4", b"5")]
    machine = replace(workshop.machine, policy=replace(workshop.machine.policy, keep=1))
    for release in releases:
        workshop.promote(release, workshop.staging)
    workshop.promote(releases[4], workshop.prod)
    workshop.rollback(workshop.staging)
    workshop.rollback(workshop.staging)
    # Current, last known good and the newest verified stay; 3 and 4 were rolled back from or to.
    unneeded = prune.unneeded(machine)
    assert releases[2].version not in unneeded, "staging serves it"
    assert releases[1].version not in unneeded, "a rollback of staging would go to it"
    assert releases[4].version not in unneeded, "prod serves it"
    assert unneeded == sorted(releases[number].version for number in (0, 3))
    prune.prune(machine, unneeded)
    assert prune.unneeded(machine) == []
    assert workshop.rollback(workshop.staging).release == releases[1].version
