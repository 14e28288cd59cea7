"""The right to push, without force, brings no model into production: each way is tried.

An attacker may push any object, and any reference that is not there yet, and may add commits to
``env/*``. Each attack is refused by the release machine, or named by the audit of a fresh clone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toolkit.release import releases
from toolkit.release.audit import audit, chain
from toolkit.release.audit.chain import Chain
from toolkit.release.engine import Machine
from toolkit.release.errors import (
    GateRefused,
    HistoryCorrupt,
    NoRollbackTarget,
    PreconditionFailed,
    ReleaseError,
)
from toolkit.release.event import FAILED, NOTED, PENDING, VERIFIED, Event
from toolkit.release.git import Repository
from toolkit.release.images.record import ImageRecord
from toolkit.release.objects import Objects
from toolkit.release.policy import ApprovalPolicy, ImagePolicy, Policy
from toolkit.release.progress import Progress
from toolkit.release.records import FILE_NAME, Record
from toolkit.release.status import look
from toolkit.tests.command_line import write_policy
from toolkit.tests.history import History, good_week
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.workshop import Workshop, git


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Two releases that reached prod, and a third that staging has verified."""
    with good_week(tmp_path_factory.mktemp("original")) as history:
        yield history


@pytest.fixture
def history(original: History, tmp_path: Path) -> History:
    """A copy of it, to attack."""
    return original.copy(tmp_path / "copy")


@dataclass(frozen=True)
class Attacker:
    """Somebody with the right to push, and a clone."""

    history: History

    @property
    def repository(self) -> Repository:
        return self.history.shop.machine.repository

    def push(self, reference: str, target: str) -> None:
        """Push an object under a reference, without force."""
        git(self.history.shop.folder, "push", "--quiet", "origin", f"{target}:{reference}")

    def tree(self, entries: Mapping[str, tuple[str, str]]) -> str:
        """Store a folder with any names and modes: ``{name: (mode, object)}``."""
        content = b"".join(
            f"{mode} {name}".encode() + b"\0" + bytes.fromhex(sha)
            for name, (mode, sha) in sorted(entries.items())
        )
        command = ("hash-object", "-t", "tree", "-w", "--literally", "--stdin")
        return self.repository.run(*command, stdin=content)

    def blob(self, content: bytes) -> str:
        return self.repository.run("hash-object", "-w", "--stdin", stdin=content)

    def append(
        self, environment: str, *events: Event, files: Mapping[str, bytes] | None = None
    ) -> None:
        """Write events by hand, each caused by the one before it where that is pending."""
        for event in events:
            ledger = self.history.shop.ledger()
            newest = ledger.newest(environment)
            state = ledger.desired(newest.sha) if files is None and newest else dict(files or {})
            if newest and newest.is_pending and not event.is_pending:
                event = replace(event, caused_by=newest.sha)
            ledger.append(environment, event, state)


@pytest.fixture
def attacker(history: History) -> Attacker:
    return Attacker(history)


def audited(history: History, tmp_path: Path) -> list[str]:
    """Audit a fresh clone; return each finding's rule and text."""
    folder = tmp_path / "fresh"
    git(tmp_path, "clone", "--quiet", str(history.remote), str(folder))
    machine = Machine(Repository(folder), history.shop.machine.policy)
    found = audit(Workshop(folder, machine).ledger(), machine.policy)
    return [f"{one.rule}: {one.text}" for one in found.findings]


def promotion(record: Record, outcome: str, **fields: str) -> Event:
    """Return an event of a promotion as somebody would write it by hand."""
    return Event("promote", record.version, record.digest, outcome, actor="Eve", **fields)


def rendered(record: Record) -> dict[str, bytes]:
    """Return the state in which a release is desired, as the platform of these tests has it."""
    return {FILE_NAME: record.to_json()} | InMemoryPlatform.render(record)


@pytest.mark.parametrize(
    ("name", "mode", "why"),
    [
        ("evil-1-py3-none-any.whl", "100644", "does not name: evil-1-py3-none-any.whl"),
        ("../../../evil.pth", "100644", "is no plain file name"),
        ("/tmp/evil", "100644", "is no plain file name"),
        ("..", "100644", "is no plain file name"),
        ("-rf", "100644", "is no plain file name"),
        ("evil", "120000", "is no regular file, its mode is 120000"),
        ("evil", "100755", "is no regular file, its mode is 100755"),
    ],
)
def test_a_release_holds_what_its_record_names_and_nothing_else(
    attacker: Attacker, tmp_path: Path, name: str, mode: str, why: str
) -> None:
    """The tag was pushed before the build made its own, and says so of itself."""
    history = attacker.history
    record = history.shop.release(b"in a hurry")
    reference = f"refs/tags/release/{record.version}"
    listed = git(history.shop.folder, "ls-tree", f"{reference}^{{tree}}").splitlines()
    entries = {line.split("\t")[1]: (line.split()[0], line.split()[2]) for line in listed} | {
        name: (mode, attacker.blob(b"evil"))
    }
    commit = attacker.repository.write_commit(attacker.tree(entries), [record.commit], "release")
    history.untag(f"release/{record.version}")
    tag = attacker.repository.write_tag(f"release/{record.version}", commit, "release\n")
    attacker.push(reference, tag)
    with pytest.raises(HistoryCorrupt) as refusal:
        history.shop.promote(record, history.shop.staging)
    assert why in refusal.value.why
    assert any(one.startswith("tag: ") and why in one for one in audited(history, tmp_path))
    assert history.shop.promote(history.releases[2], history.shop.staging).outcome == VERIFIED


def test_an_approval_for_staging_is_none_for_prod(attacker: Attacker, tmp_path: Path) -> None:
    shop, record = attacker.history.shop, attacker.history.releases[2]
    shop.unhold(shop.prod)
    shop.ledger().add_approval("staging", record, "looks fine", signed=False)
    name = f"{record.version}/ada@example.com"
    copied = git(shop.folder, "rev-parse", f"refs/tags/approval/staging/{name}")
    attacker.push(f"refs/tags/approval/prod/{name}", copied)
    with pytest.raises(ReleaseError, match="is not approved for prod: 0 of 1"):
        shop.machine.plan_promotion(shop.prod, record.version)
    assert f"made as 'approval/staging/{name}'" in audited(attacker.history, tmp_path)[0]


@pytest.mark.parametrize("outcome", [FAILED, VERIFIED])
def test_events_written_by_hand_are_never_deployed(
    attacker: Attacker, tmp_path: Path, outcome: str
) -> None:
    """Of a release that nobody has approved: the platform still serves another one."""
    history, record = attacker.history, attacker.history.releases[2]
    shop = history.shop
    serves = shop.ledger().history("prod")[0].release
    begun = promotion(record, PENDING, previous=serves)
    state = rendered(record)
    attacker.append("prod", begun, replace(begun, outcome=outcome), files=state)
    with pytest.raises(HistoryCorrupt) as refusal:
        shop.machine.deploy(shop.prod, Progress())
    assert "invoke rollback --env prod" in refusal.value.next_step
    assert any("it names no approver" in one for one in audited(history, tmp_path))
    if outcome == FAILED:
        seen = str(look(shop.machine, shop.ledger(), shop.prod))
        assert "next: invoke rollback --env prod" in seen and "invoke deploy" not in seen


def test_a_rollback_does_not_choose_what_was_called_verified_by_hand(
    attacker: Attacker, tmp_path: Path
) -> None:
    """It lies before the release that serves: without the audit's rules it would be the target."""
    shop, record = attacker.history.shop, attacker.history.releases[2]
    good = attacker.history.releases[0]
    events = [promotion(record, PENDING, previous=good.version)]
    events.append(replace(events[0], outcome=VERIFIED))
    attacker.append("prod", *events, files=rendered(record))
    back = [promotion(good, PENDING, previous=record.version)]
    back.append(replace(back[0], outcome=VERIFIED))
    attacker.append("prod", *back, files=rendered(good))
    with pytest.raises(ReleaseError) as refusal:
        shop.machine.plan_rollback(shop.prod, None)
    assert f"{record.version} is not to be trusted" in refusal.value.why
    named = shop.machine.plan_rollback(shop.prod, record.version)
    assert any("is not to be trusted" in warning for warning in named.warnings)


def test_a_rollback_that_passes_over_many_reads_each_history_once(
    attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, good = attacker.history.shop, attacker.history.releases[0]
    by_hand = [shop.release(model) for model in (b"by hand", b"by hand as well")]
    for record in (*by_hand, good):
        begun = promotion(record, PENDING)
        attacker.append("prod", begun, replace(begun, outcome=VERIFIED), files=rendered(record))
    read: list[str] = []

    def counting(objects: Objects, environment: str, head: str) -> Chain:
        read.append(environment)
        return chain.read(objects, environment, head)

    monkeypatch.setattr("toolkit.release.audit.read", counting)
    with pytest.raises(ReleaseError) as refusal:
        shop.machine.plan_rollback(shop.prod, None)
    for record in by_hand:
        assert f"{record.version} is not to be trusted" in refusal.value.why
    assert sorted(read) == ["prod", "staging"]


def test_a_killed_rollback_by_hand_is_not_completed(attacker: Attacker) -> None:
    shop, record = attacker.history.shop, attacker.history.releases[2]
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    killed = Event("rollback", record.version, record.digest, PENDING, lease_until=long_ago)
    attacker.append("prod", killed, files=rendered(record))
    with pytest.raises(HistoryCorrupt, match="was never verified in prod"):
        shop.machine.recover(shop.prod, Progress())


@pytest.mark.parametrize("where", ["on no branch", "on a branch"])
def test_a_commit_that_was_not_merged_is_not_released(
    attacker: Attacker, tmp_path: Path, where: str
) -> None:
    """With a policy of its own, which asks for nothing."""
    history, shop = attacker.history, attacker.history.shop
    git(shop.folder, "switch", "--quiet", "--detach")
    environments = tuple(
        replace(one, approval=None, after=None) for one in shop.machine.policy.environments
    )
    write_policy(shop.folder, replace(shop.machine.policy, environments=environments))
    git(shop.folder, "add", "release.toml")
    if where == "on a branch":
        git(shop.folder, "push", "--quiet", "origin", "HEAD:refs/heads/topic")
    record = unmerged(shop)
    with pytest.raises(PreconditionFailed, match="is not on the default branch"):
        shop.machine.plan_promotion(shop.staging, record.version)
    attacker.history.forge("staging", record)
    assert any(one.startswith("merged: ") for one in audited(history, tmp_path))


def unmerged(shop: Workshop) -> Record:
    """Make a release of a commit that is not pushed to main."""
    url = git(shop.folder, "remote", "get-url", "origin")
    git(shop.folder, "remote", "remove", "origin")
    shop.machine.repository.__dict__.pop("has_remote", None)
    record = shop.release(b"unmerged")
    git(shop.folder, "remote", "add", "origin", url)
    shop.machine.repository.__dict__.pop("has_remote", None)
    reference = f"refs/tags/release/{record.version}"
    git(shop.folder, "push", "--quiet", "origin", f"{reference}:{reference}")
    return record


def test_a_first_environment_may_permit_what_is_not_merged_and_the_next_may_not(
    history: History, tmp_path: Path
) -> None:
    shop = history.shop
    first, last = shop.machine.policy.environments
    policy = replace(shop.machine.policy, environments=(replace(first, unmerged=True), last))
    machine = replace(shop.machine, policy=policy)
    relaxed = replace(shop, machine=machine)
    git(shop.folder, "switch", "--quiet", "--detach")
    record = unmerged(relaxed)
    relaxed.promote(record, relaxed.staging)
    relaxed.unhold(relaxed.prod)
    with pytest.raises(PreconditionFailed, match="is not on the default branch"):
        relaxed.promote(record, relaxed.prod)


@pytest.mark.parametrize(
    ("scanned", "why"),
    [
        (None, "it was not scanned for vulnerabilities"),
        ("failed", "its verdict is 'failed', not 'passed'"),
        ("passed", "its image is in evil.example/models, release.toml names registry.example"),
    ],
)
def test_a_release_by_hand_has_no_scan_and_no_image_of_its_own(
    history: History, tmp_path: Path, scanned: str | None, why: str
) -> None:
    """Of a merged commit, and with a bundle that is right: its digest covers nothing else."""
    shop = history.shop
    image = ImagePolicy("registry.example/models", 600)
    write_policy(shop.folder, replace(shop.machine.policy, scan=True, image=image))
    record = shop.release(b"by hand")
    files = shop.ledger().bundle(record.version)
    about = {"schema": 2, "digest": record.digest, "verdict": scanned, "tree_clean": True}
    about |= {"image_id": "sha256:1"}
    other = ImageRecord(
        "evil.example/models", *("v", "sha256:0", "sha256:1", "", record.digest, 1, 1)
    )
    files |= {"image.json": other.to_json()}
    files |= {"scanned.json": json.dumps(about).encode()} if scanned else {}
    history.untag(f"release/{record.version}")
    shop.ledger().add_release(record, files, "a release\n")
    with pytest.raises(GateRefused, match="was not released by invoke build") as refusal:
        shop.promote(record, shop.staging)
    assert why in refusal.value.why
    history.forge("staging", record)
    assert any(one.startswith("bundle: ") and why in one for one in audited(history, tmp_path))


def soaking(policy: Policy) -> Policy:
    first, last = policy.environments
    return replace(policy, environments=(first, replace(last, soak_minutes=60)))


def test_no_variable_of_git_dates_an_event(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hours back at the promotion to staging, and the soak time would be over at once."""
    shop = replace(
        history.shop,
        machine=replace(history.shop.machine, policy=soaking(history.shop.machine.policy)),
    )
    shop.unhold(shop.prod)
    record = shop.release(b"in a hurry")
    back = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    for name in ("GIT_COMMITTER_DATE", "GIT_AUTHOR_DATE"):
        monkeypatch.setenv(name, back)
    shop.promote(record, shop.staging)
    with pytest.raises(PreconditionFailed, match="has not served long enough in staging"):
        shop.promote(record, shop.prod)


def test_an_event_that_is_older_than_its_release_is_named(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release's tag was made an hour later, by its own date."""
    later = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    with monkeypatch.context() as patch:
        ada = f"Ada <ada@example.com> {later} +0000"
        patch.setattr(Repository, "identity", lambda repository: ada)
        record = history.shop.release(b"in a hurry")
    history.forge("staging", record)
    [finding] = audited(history, tmp_path)
    assert finding.startswith("time: ") and finding.endswith("before the release was built")


def test_an_event_that_is_older_than_the_one_before_is_named(
    attacker: Attacker, tmp_path: Path
) -> None:
    """Written by hand, with a date of the writer's choice."""
    history = attacker.history
    tip = git(history.shop.folder, "rev-parse", "env/staging")
    tree = git(history.shop.folder, "rev-parse", "env/staging^{tree}")
    back = datetime.now(UTC) - timedelta(hours=2)
    newest = history.shop.ledger().history("staging")[0]
    message = f"hold {newest.release} in staging: noted\n\nEvent: hold\n"
    message += f"Release: {newest.release}\nDigest: {newest.digest}\nOutcome: noted\nEvent-id: x\n"
    commit = attacker.repository.write_commit(tree, [tip], message, back)
    attacker.push("refs/heads/env/staging", commit)
    [finding] = audited(history, tmp_path)
    assert finding.startswith("time: it is dated")


def test_the_audit_has_a_soak_rule(history: History) -> None:
    shop = history.shop
    record = shop.release(b"in a hurry")
    shop.unhold(shop.prod)
    shop.promote(record, shop.staging)
    shop.promote(record, shop.prod)
    found = audit(shop.ledger(), soaking(shop.machine.policy)).findings
    assert {one.rule for one in found} == {"soak"}
    assert "of 60 minutes in staging" in found[-1].text


def test_the_default_branch_is_asked_at_origin_and_not_here(history: History) -> None:
    """A commit on a main of this clone alone has been merged by nobody."""
    shop = history.shop
    record = unmerged(shop)
    with pytest.raises(PreconditionFailed, match="is not on the default branch"):
        shop.promote(record, shop.staging)
    git(shop.folder, "push", "--quiet", "origin", "main")
    assert shop.promote(record, shop.staging).outcome == VERIFIED


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("refs/tags/release/newest", "HEAD"),
        ("refs/tags/release/0123456789ab-01234567", "HEAD"),
        ("refs/tags/approval/evil", "HEAD"),
        ("refs/tags/approval/prod/0123456789ab-01234567/eve@example.com", "HEAD"),
        ("refs/heads/env/evil", "HEAD"),
        ("refs/heads/env/evil", "env/staging"),
    ],
)
def test_a_stray_reference_is_named_and_ends_no_command(
    attacker: Attacker, tmp_path: Path, reference: str, target: str
) -> None:
    history, shop = attacker.history, attacker.history.shop
    attacker.push(reference, git(shop.folder, "rev-parse", target))
    assert audited(history, tmp_path)
    record = shop.release(b"as always")
    assert shop.promote(record, shop.staging).outcome == VERIFIED
    assert shop.rollback(shop.staging).outcome == VERIFIED


def from_elsewhere(attacker: Attacker, content: Mapping[str, bytes]) -> str:
    """Push a commit that the attacked clone does not have, under a name of the ledger; return it.

    Some file's name in it may be one that git itself would not take.
    """
    other = attacker.history.shop.folder.parent / "elsewhere"
    git(other.parent, "clone", "--quiet", str(attacker.history.remote), str(other))
    git(other, "config", "user.name", "Eve")
    git(other, "config", "user.email", "eve@example.com")
    shop = attacker.history.shop
    hers = replace(shop, folder=other, machine=replace(shop.machine, repository=Repository(other)))
    eve = Attacker(replace(attacker.history, shop=hers))
    tree = eve.tree({name: ("100644", eve.blob(one)) for name, one in content.items()})
    commit = eve.repository.write_commit(tree, [], "mine")
    eve.push("refs/tags/release/evil", commit)
    return commit


@pytest.mark.parametrize("setting", ["transfer.fsckObjects", "fetch.fsckObjects"])
def test_an_object_that_git_would_not_take_ends_no_command_of_who_is_strict(
    attacker: Attacker, tmp_path: Path, setting: str
) -> None:
    shop = attacker.history.shop
    from_elsewhere(attacker, {"../../evil": b"evil"})
    git(shop.folder, "config", setting, "true")
    record = shop.release(b"as always")
    assert shop.promote(record, shop.staging).outcome == VERIFIED
    assert any(
        "release/evil: that is no version" in one for one in audited(attacker.history, tmp_path)
    )


def test_names_that_are_no_text_or_too_many_for_one_command_end_no_command(
    attacker: Attacker, tmp_path: Path
) -> None:
    shop, packed = attacker.history.shop, attacker.history.remote / "packed-refs"
    commit = from_elsewhere(attacker, {"evil": b"evil"})
    names = [f"approval/evil/{number:05}{'x' * 190}".encode() for number in range(12_000)]
    lines = [commit.encode() + b" refs/tags/" + name for name in (*names, b"approval/\xff")]
    stored = packed.read_bytes().rstrip(b"\n").split(b"\n")
    pairs = [line for line in stored if not line.startswith((b"#", b"^"))] + lines
    packed.write_bytes(b"".join(line + b"\n" for line in sorted(pairs, key=lambda one: one[41:])))
    record = shop.release(b"as always")
    assert shop.promote(record, shop.staging).outcome == VERIFIED


SETTINGS = (
    "log.showSignature=true",
    "trailer.separators=%",
    "i18n.logOutputEncoding=UTF-16",
    "i18n.commitEncoding=ISO-8859-1",
    "log.mailmap=false",
    "core.quotePath=true",
    "color.ui=always",
    "core.abbrev=4",
    "push.followTags=true",
    "push.gpgSign=true",
    "push.pushOption=ci.skip",
    "fetch.prune=true",
    "fetch.pruneTags=true",
    "tag.gpgSign=true",
    "commit.gpgSign=true",
    "gpg.format=openpgp",
    "core.autocrlf=true",
    "core.hooksPath=hooks",
)


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_of_git_changes_what_is_read_or_written(
    history: History, tmp_path: Path, setting: str
) -> None:
    """A hook there would refuse everything."""
    shop = history.shop
    for hook in ("pre-push", "reference-transaction", "pre-commit"):
        path = tmp_path / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        path.chmod(0o755)
    record = shop.release(b"as always")
    key, value = setting.split("=")
    git(shop.folder, "config", key, str(tmp_path / value) if value == "hooks" else value)
    shop.promote(record, shop.staging)
    shop.hold(shop.staging, "ein Grund: größer als 50 %")
    newest = shop.ledger().history("staging")[0]
    assert (newest.outcome, newest.reason) == (NOTED, "ein Grund: größer als 50 %")
    git(shop.folder, "config", "--unset", key)
    assert audited(history, tmp_path) == []


@pytest.mark.parametrize("way", ["replacement", "grafts", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE"])
def test_nothing_in_a_clone_changes_which_commit_comes_after_which(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """What was not merged would be an ancestor of the default branch, or what was merged none."""
    shop = history.shop
    newest = git(shop.folder, "rev-parse", "origin/main")
    record = unmerged(shop)
    if way == "replacement":
        git(shop.folder, "replace", "--graft", newest, record.commit)
    else:
        file = shop.folder / ".git/info/grafts" if way == "grafts" else tmp_path / "parents"
        file.write_text(newest + f" {record.commit}" * (way != "GIT_SHALLOW_FILE") + "\n")
        monkeypatch.setenv(way, str(file)) if way.startswith("GIT_") else None
    with pytest.raises(PreconditionFailed, match="is not on the default branch"):
        shop.promote(record, shop.staging)
    shop.rollback(shop.staging)
    shop.unhold(shop.staging)
    assert shop.promote(history.releases[2], shop.staging).outcome == VERIFIED


@pytest.mark.usefixtures("platforms")
def test_a_repository_with_sha_256_objects_is_a_ledger_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DEFAULT_HASH", "sha256")
    shop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    first, second = shop.release(b"one"), shop.release(b"two")
    assert len(first.commit) == 64
    for record in (first, second):
        shop.promote(record, shop.staging)
        shop.promote(record, shop.prod)
    assert shop.rollback(shop.prod).release == first.version
    found = audit(shop.ledger(), shop.machine.policy).findings
    assert [str(one) for one in found] == []


@pytest.mark.parametrize("kind", ["a worktree", "a clone that borrows its objects"])
def test_a_repository_whose_objects_are_elsewhere_is_a_ledger_too(
    history: History, tmp_path: Path, kind: str
) -> None:
    main, folder = history.shop, tmp_path / "other"
    if kind == "a worktree":
        git(main.folder, "worktree", "add", "--quiet", "--detach", str(folder))
    else:
        reference = f"--reference={main.folder}"
        git(tmp_path, "clone", "--quiet", reference, str(history.remote), str(folder))
        git(folder, "config", "user.name", "Ada")
        git(folder, "config", "user.email", "ada@example.com")
    shop = replace(
        main, folder=folder, machine=replace(main.machine, repository=Repository(folder))
    )
    record = shop.release(b"from there")
    shop.promote(record, shop.staging)
    assert shop.rollback(shop.staging).outcome == VERIFIED
    assert audited(history, tmp_path) == []


def test_nobody_who_may_only_push_can_end_a_rollback(attacker: Attacker) -> None:
    """Whatever lies about: a rollback needs no tag but that of its target."""
    shop, bad = attacker.history.shop, attacker.history.releases[2]
    for name in (f"release/{'0' * 12}-{'0' * 8}", f"approval/staging/{bad.version}/eve"):
        attacker.push(f"refs/tags/{name}", "HEAD")
    assert shop.rollback(shop.staging).release == attacker.history.releases[1].version
    assert shop.rollback(shop.staging).release == attacker.history.releases[0].version
    with pytest.raises(NoRollbackTarget):
        shop.rollback(shop.staging)


@pytest.mark.usefixtures("platforms")
def test_an_older_history_is_read_audited_and_rolled_back_in_by_the_rules_of_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tags cover no list of files, and its approvals are by people who wrote some of it."""
    shop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    policy = replace(shop.machine.policy, schema=1)
    first_policy, last = policy.environments
    last = replace(last, approval=ApprovalPolicy(author_may_approve=False))
    old = replace(policy, environments=(first_policy, last))
    shop = replace(shop, machine=replace(shop.machine, policy=old))
    git(shop.folder, "config", "user.email", "grace@example.com")
    shop.commit("by somebody else")
    git(shop.folder, "config", "user.email", "ada@example.com")
    with monkeypatch.context() as patch:
        patch.setattr(releases, "trailer", lambda files: "")
        records = [unmerged(shop), unmerged(shop)]
    git(shop.folder, "config", "user.email", "grace@example.com")
    for record in records:
        shop.promote(record, shop.staging)
        shop.promote(record, shop.prod)
    assert [str(one) for one in audit(shop.ledger(), old).findings] == []
    assert shop.rollback(shop.prod).release == records[0].version
    newer = replace(old, schema=2)
    found = {one.rule for one in audit(shop.ledger(), newer).findings}
    assert found == {"merged", "bundle"}, "by today's rules it would not have been released"
