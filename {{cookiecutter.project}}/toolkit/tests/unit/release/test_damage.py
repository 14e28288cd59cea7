"""Truncated, edited and lost records: each is named, and a rollback uses older good ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from toolkit.release.errors import ArtifactGone, HistoryCorrupt, NotServing, RollbackFailed
from toolkit.release.objects import Objects
from toolkit.release.progress import Progress
from toolkit.release.records import FILE_NAME, Record
from toolkit.release.status import look
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop, git

Files = Mapping[str, bytes]


def cut(files: Files) -> Files:
    return {**files, FILE_NAME: files[FILE_NAME][:100]}


def edit(files: Files) -> Files:
    return {**files, FILE_NAME: files[FILE_NAME].replace(b'"passed"', b'"failed"')}


def redirect(files: Files) -> Files:
    record = files[FILE_NAME]
    at = record.index(b'"digest": "sha256:') + len(b'"digest": "sha256:')
    return {**files, FILE_NAME: record[:at] + b"0000" + record[at + 4 :]}


def lose(files: Files) -> Files:
    return {name: content for name, content in files.items() if name != FILE_NAME}


def amend(shop: Workshop, reference: str, change: Callable[[Files], Files]) -> str:
    """Replace files of a commit, and keep its message."""
    repository = shop.machine.repository
    with Objects(repository) as objects:
        files = objects.files(git(shop.folder, "rev-parse", reference + "^{tree}"))
    message = git(shop.folder, "log", "-1", "--format=%B", reference)
    parents = git(shop.folder, "log", "-1", "--format=%P", reference).split()
    return repository.write_commit(repository.write_tree(change(files)), parents, message)


@pytest.fixture
def releases(workshop: Workshop) -> list[Record]:
    """Three releases that staging has served, the last of which serves."""
    releases = [workshop.release(model) for model in (b"one", b"two", b"three")]
    for release in releases:
        workshop.promote(release, workshop.staging)
    return releases


@pytest.mark.parametrize("damage", [cut, redirect, lose])
def test_33_a_damaged_release_is_named_and_a_rollback_skips_it(
    workshop: Workshop, releases: list[Record], damage: Callable[[Files], Files]
) -> None:
    version = releases[1].version
    commit = amend(workshop, f"release/{version}", damage)
    git(workshop.folder, "tag", "--force", "--annotate", f"release/{version}", commit, "-m", "x")
    with pytest.raises(HistoryCorrupt) as refusal:
        workshop.machine.plan_promotion(workshop.staging, version)
    assert refusal.value.exit_code == 50
    assert version in str(refusal.value)
    plan = workshop.machine.plan_rollback(workshop.staging, None)
    assert f"warning   {version} is not available: " in str(plan)
    assert workshop.rollback(workshop.staging).release == releases[0].version


@pytest.mark.parametrize("damage", [cut, redirect, lose])
def test_33_a_damaged_state_of_what_serves_is_named_and_a_rollback_goes_on(
    workshop: Workshop, releases: list[Record], damage: Callable[[Files], Files]
) -> None:
    head = amend(workshop, "env/staging", damage)
    git(workshop.folder, "update-ref", "refs/heads/env/staging", head)
    with pytest.raises(HistoryCorrupt, match=f"the release record in the event {head}"):
        look(workshop.machine, workshop.ledger(), workshop.staging)
    with pytest.raises(HistoryCorrupt, match=head):
        workshop.machine.plan_promotion(workshop.staging, releases[0].version)
    event = workshop.rollback(workshop.staging)
    assert (event.release, event.previous) == (releases[1].version, releases[2].version)
    seen = look(workshop.machine, workshop.ledger(), workshop.staging)
    assert (seen.release, seen.drift) == (releases[1].version, "")
    assert workshop.rollback(workshop.staging).release == releases[0].version


def test_33_a_verified_state_that_was_edited_is_skipped(
    workshop: Workshop, releases: list[Record]
) -> None:
    second = next(
        event
        for event in workshop.ledger().history("staging")
        if event.release == releases[1].version
    )
    edited = amend(workshop, second.sha, edit)
    head = git(workshop.folder, "rev-parse", "env/staging")
    for later in git(workshop.folder, "rev-list", "--reverse", f"{second.sha}..{head}").split():
        message = git(workshop.folder, "log", "-1", "--format=%B", later)
        tree = git(workshop.folder, "rev-parse", later + "^{tree}")
        edited = workshop.machine.repository.write_commit(tree, [edited], message)
    git(workshop.folder, "update-ref", "refs/heads/env/staging", edited)
    assert workshop.rollback(workshop.staging).release == releases[0].version


def test_33_a_release_with_a_damaged_record_cannot_be_restored(
    workshop: Workshop, releases: list[Record], platform: InMemoryPlatform
) -> None:
    git(
        workshop.folder, "update-ref", "refs/heads/env/staging", amend(workshop, "env/staging", cut)
    )

    def refuse_the_second(record: Record) -> None:
        if record == releases[1]:
            raise NotServing("its feature store is gone")

    platform.before_apply = refuse_the_second
    with pytest.raises(RollbackFailed) as refusal:
        workshop.rollback(workshop.staging)
    assert f"the record of {releases[2].version} is damaged" in refusal.value.why
    assert platform.release == releases[2], "nothing was stopped"
    assert workshop.rollback(workshop.staging).release == releases[0].version


def test_33_a_stranger_s_commit_is_named_and_a_rollback_goes_on(
    workshop: Workshop, releases: list[Record]
) -> None:
    tree = git(workshop.folder, "rev-parse", "env/staging^{tree}")
    stranger = workshop.machine.repository.write_commit(
        tree, [git(workshop.folder, "rev-parse", "env/staging")], "a quick fix\n"
    )
    git(workshop.folder, "update-ref", "refs/heads/env/staging", stranger)
    named = f"the commit {stranger[:12]} is not a release event"
    for ask in (
        lambda: workshop.ledger().history("staging"),
        lambda: workshop.machine.plan_promotion(workshop.staging, releases[0].version),
        lambda: workshop.machine.recover(workshop.staging, Progress()),
    ):
        with pytest.raises(HistoryCorrupt, match=named):
            ask()
    plan = workshop.machine.plan_rollback(workshop.staging, None)
    assert f"warning   {named}" in str(plan)
    assert workshop.rollback(workshop.staging).release == releases[1].version


def test_26_a_release_that_is_gone_is_skipped_and_without_another_nothing_is_touched(
    workshop: Workshop, releases: list[Record], platform: InMemoryPlatform
) -> None:
    git(workshop.folder, "tag", "--delete", f"release/{releases[1].version}")
    plan = workshop.machine.plan_rollback(workshop.staging, None)
    assert plan.record == releases[0]
    assert f"{releases[1].version} is not available: no tag" in str(plan)
    git(workshop.folder, "tag", "--delete", f"release/{releases[0].version}")
    before = workshop.ledger().head("staging")
    with pytest.raises(ArtifactGone) as refusal:
        workshop.rollback(workshop.staging)
    assert refusal.value.exit_code == 41
    assert releases[0].version in refusal.value.why and releases[1].version in refusal.value.why
    assert (workshop.ledger().head("staging"), platform.release) == (before, releases[2])


def test_33_a_lost_object_is_named(workshop: Workshop, releases: list[Record]) -> None:
    blob = git(workshop.folder, "rev-parse", f"env/staging:{FILE_NAME}")
    path = workshop.folder / ".git" / "objects" / blob[:2] / blob[2:]
    path.unlink()
    with pytest.raises(HistoryCorrupt, match="cannot be read") as refusal:
        look(workshop.machine, workshop.ledger(), workshop.staging)
    assert FILE_NAME in refusal.value.why
