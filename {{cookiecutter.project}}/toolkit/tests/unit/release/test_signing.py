"""Events and release tags count only with the release job's signature, where that is asked."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from invoke.collection import Collection
from invoke.program import Program

from toolkit.release import signing_key, tasks
from toolkit.release.audit import audit
from toolkit.release.build import Options, build
from toolkit.release.champion import serving_release
from toolkit.release.engine import Machine
from toolkit.release.errors import (
    Held,
    HistoryCorrupt,
    NoRollbackTarget,
    PreconditionFailed,
    ReleaseError,
)
from toolkit.release.event import ABORTED, NOTED, PENDING, VERIFIED, Event, message_of, new_id
from toolkit.release.git import Repository
from toolkit.release.ledger import Ledger
from toolkit.release.policy import SigningPolicy
from toolkit.release.progress import Progress
from toolkit.release.records import FILE_NAME, Record, parse
from toolkit.tests.command_line import CommandLine, write_policy
from toolkit.tests.history import History, good_week
from toolkit.tests.in_memory import InMemoryPlatform
from toolkit.tests.ssh_keys import list_signers, public_key
from toolkit.tests.workshop import Workshop, git

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is missing")

JOB, ADA, EVE = "release@example.com", "ada@example.com", "eve@example.com"
SIGNED = SigningPolicy(events=True, by=(JOB,))


def use_key(shop: Workshop, name: str) -> None:
    """Let git sign with a key, made where there is none."""
    public_key(shop.folder.parent, name)
    git(shop.folder, "config", "user.signingkey", str(shop.folder.parent / name))


def signing(shop: Workshop, policy: SigningPolicy | None = SIGNED) -> Workshop:
    """Let a workshop sign, from now on, with the key of the release job."""
    listed = {JOB: "job", EVE: "eve", ADA: "ada"}
    keys = {who: public_key(shop.folder.parent, name) for who, name in listed.items()}
    list_signers(shop, keys)
    use_key(shop, "job")
    rules = replace(shop.machine.policy, signing=policy)
    write_policy(shop.folder, rules)
    repository = replace(shop.machine.repository, signs=bool(rules.signers))
    return replace(shop, machine=Machine(repository, rules))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Two releases that reached prod, and a third that staging has verified, all signed."""
    with good_week(tmp_path_factory.mktemp("original"), signing) as history:
        yield history


@pytest.fixture
def history(original: History, tmp_path: Path) -> History:
    return original.copy(tmp_path / "copy")


@dataclass(frozen=True)
class Hand:
    """Somebody who may push, and writes events by hand: without a key, or with one of theirs."""

    shop: Workshop
    key: str

    @property
    def repository(self) -> Repository:
        if self.key:
            use_key(self.shop, self.key)
        return replace(self.shop.machine.repository, signs=bool(self.key))

    def write(self, environment: str, *events: Event, files: Mapping[str, bytes]) -> None:
        """Append events as the release machine would, each caused by a pending one before it."""
        for event in events:
            ledger = Ledger.open(self.repository)
            newest = ledger.newest(environment)
            if newest and newest.is_pending and not event.is_pending:
                event = replace(event, caused_by=newest.sha)
            ledger.append(environment, event, files)
        use_key(self.shop, "job")

    def note(self, environment: str, kind: str) -> None:
        newest = self.shop.ledger().newest(environment)
        assert newest
        state = self.shop.ledger().desired(newest.sha)
        release = self.shop.ledger().record(_served(state))
        noted = Event(kind, release.version, release.digest, NOTED, actor="Eve")
        self.write(environment, noted, files=state)

    def promote(self, environment: str, record: Record, approved_by: str = "") -> None:
        newest = self.shop.ledger().newest(environment)
        served = _served(self.shop.ledger().desired(newest.sha)) if newest else ""
        begun = Event(
            *("promote", record.version, record.digest, PENDING, served),
            actor="Eve",
            approved_by=approved_by,
            gate="passed",
        )
        self.write(environment, begun, replace(begun, outcome=VERIFIED), files=rendered(record))


def _served(state: Mapping[str, bytes]) -> str:
    return parse(state[FILE_NAME], "a state").version


def rendered(record: Record) -> dict[str, bytes]:
    """Return the state in which a release is desired, as the platform of these tests has it."""
    return {FILE_NAME: record.to_json()} | InMemoryPlatform.render(record)


HANDS = pytest.mark.parametrize("key", ["", "eve", "nobody"], ids=["unsigned", "eve", "nobody"])


def audited(history: History, tmp_path: Path) -> list[str]:
    """Audit a fresh clone; return each finding's rule and text."""
    folder = tmp_path / "fresh"
    git(tmp_path, "clone", "--quiet", str(history.remote), str(folder))
    machine = replace(history.shop.machine, repository=Repository(folder))
    found = audit(Workshop(folder, machine).ledger(), machine.policy)
    return [f"{one.rule}: {one.text}" for one in found.findings]


def test_all_that_the_release_job_writes_is_signed_and_a_fresh_clone_proves_it(
    history: History, tmp_path: Path
) -> None:
    shop = history.shop
    shop.unhold(shop.prod)
    shop.promote(history.releases[2], shop.prod)
    names = [sha for name in ("staging", "prod") for sha in history.commits(name)]
    names += git(shop.folder, "for-each-ref", "--format=%(objectname)", "refs/tags/release").split()
    assert len(names) > 15
    for name in names:
        assert "BEGIN SSH SIGNATURE" in git(shop.folder, "cat-file", "-p", name)
    assert audited(history, tmp_path) == []


@HANDS
def test_an_event_by_hand_is_named_and_neither_holds_nor_lets_in(
    history: History, tmp_path: Path, key: str
) -> None:
    shop, record = history.shop, history.releases[2]
    hand = Hand(shop, key)
    hand.note("prod", "unhold")
    with pytest.raises(Held):
        shop.promote(record, shop.prod)
    shop.unhold(shop.prod)
    hand.note("prod", "hold")
    assert shop.promote(record, shop.prod).outcome == VERIFIED
    found = audited(history, tmp_path)
    assert [one.partition(":")[0] for one in found] == ["signature"] * 2
    why = "lists its key for nobody" if key else "it has no signature"
    assert all(why in one for one in found)


@HANDS
def test_a_release_that_was_verified_by_hand_was_not_verified(
    history: History, tmp_path: Path, key: str
) -> None:
    """Built by the release job, but never promoted to staging."""
    shop, record = history.shop, history.shop.release(b"in a hurry")
    shop.unhold(shop.prod)
    Hand(shop, key).promote("staging", record)
    with pytest.raises(PreconditionFailed, match="was not verified in staging"):
        shop.promote(record, shop.prod)
    assert any(one.startswith("signature: ") for one in audited(history, tmp_path))
    assert shop.promote(record, shop.staging).outcome == VERIFIED, "it is promoted all the same"
    assert shop.promote(record, shop.prod).outcome == VERIFIED


@HANDS
def test_what_is_written_by_hand_is_neither_deployed_nor_rolled_back_to(
    history: History, tmp_path: Path, key: str
) -> None:
    """Approved, merged, gated and verified in staging: only the release job has not done it."""
    shop, record, good = history.shop, history.releases[2], history.releases[0]
    shop.ledger().add_approval("prod", record, "fine", signed=False)
    hand = Hand(shop, key)
    hand.promote("prod", record, "Ada <ada@example.com>")
    with pytest.raises(HistoryCorrupt, match="was never verified in prod"):
        shop.machine.deploy(shop.prod, Progress())
    assert any(one.startswith("signature: ") for one in audited(history, tmp_path))
    plan = shop.machine.plan_rollback(shop.prod, None)
    assert plan.record == good, "what the release job has verified last"
    assert shop.machine.rollback(plan, Progress(), "").outcome == VERIFIED
    with pytest.raises(ReleaseError, match="was never verified in prod"):
        shop.machine.plan_rollback(shop.prod, record.version)


@pytest.mark.parametrize("kind", ["promote", "rollback"])
def test_a_killed_command_by_hand_is_undone(history: History, tmp_path: Path, kind: str) -> None:
    """Of the release that serves: a recovery would find it running, and sign that it is fine."""
    shop, serves = history.shop, history.releases[0]
    before = shop.ledger().desired(history.commits("prod")[-1])
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    killed = Event(kind, serves.version, serves.digest, PENDING, serves.version)
    killed = replace(killed, actor="Eve", lease_until=long_ago)
    Hand(shop, "").write("prod", killed, files=before | {"more.txt": b"evil"})
    assert shop.machine.recover(shop.prod, Progress()).outcome == ABORTED
    assert shop.ledger().desired(git(shop.folder, "rev-parse", "env/prod")) == before
    assert any(one.startswith("signature: ") for one in audited(history, tmp_path))


def test_a_champion_by_hand_is_none(history: History) -> None:
    """A model that is easily beaten, for the gate to compare with."""
    shop = history.shop
    Hand(shop, "").promote("prod", history.releases[1], "Ada <ada@example.com>")
    serves = serving_release(shop.ledger(), shop.machine.policy, "prod")
    assert serves == history.releases[0].version


def test_a_state_of_long_ago_is_not_brought_back_by_hand(history: History) -> None:
    """The second release was verified in prod, and rolled back from."""
    shop, bad = history.shop, history.releases[1]
    Hand(shop, "").promote("prod", bad, "Ada <ada@example.com>")
    with pytest.raises(HistoryCorrupt, match="is not to be trusted") as refusal:
        shop.machine.deploy(shop.prod, Progress())
    assert "counts for nothing" in refusal.value.why


def test_a_tag_that_is_named_like_the_default_branch_is_not_asked_for_the_rules(
    history: History, tmp_path: Path
) -> None:
    """Git takes a tag before a branch: while origin is away it would say that nothing is signed."""
    shop, folder = history.shop, tmp_path / "fresh"
    for record in (history.releases[2], history.releases[0]):
        Hand(shop, "").promote("prod", record, "Ada <ada@example.com>")
    run = shop.machine.repository.run
    rules = git(shop.folder, "show", "main:release.toml").replace("events = true", "events = false")
    blob = run("hash-object", "-w", "--stdin", stdin=rules.encode())
    tree = run("mktree", stdin=f"100644 blob {blob}\trelease.toml\n".encode())
    commit = shop.machine.repository.write_commit(tree, [], "no rules")
    git(shop.folder, "push", "--quiet", "origin", f"{commit}:refs/tags/origin/HEAD")
    ada = ("--config=user.name=Ada", f"--config=user.email={ADA}")
    git(tmp_path, "clone", "--quiet", *ada, str(history.remote), str(folder))
    history.remote.rename(tmp_path / "away")
    git(folder, "config", "user.signingkey", str(shop.folder.parent / "job"))
    machine = replace(shop.machine, repository=Repository(folder, signs=True))
    with pytest.raises(NoRollbackTarget):
        machine.plan_rollback(shop.prod, None)


def test_a_signature_of_another_event_signs_nothing(history: History, tmp_path: Path) -> None:
    shop, newest = history.shop, history.commits("staging")[-1]
    stored = shop.machine.repository.run("cat-file", "commit", newest) + "\n"
    old = shop.ledger().newest("staging")
    assert old
    copied = Event("hold", old.release, old.digest, NOTED, actor="Eve", id=new_id())
    header = stored.partition("\n\n")[0].splitlines()
    parents = [f"parent {newest}" if one.startswith("parent ") else one for one in header]
    content = "\n".join(parents) + "\n\n" + message_of("staging", copied)
    command = ("hash-object", "-t", "commit", "-w", "--stdin")
    commit = shop.machine.repository.run(*command, stdin=content.encode())
    git(shop.folder, "push", "--quiet", "origin", f"{commit}:refs/heads/env/staging")
    [finding] = audited(history, tmp_path)
    assert finding.startswith("signature: ") and "of another text" in finding


@HANDS
@pytest.mark.parametrize("days_ago", [0, 365])
def test_a_release_by_hand_is_named_and_not_promoted(
    history: History, tmp_path: Path, key: str, days_ago: int
) -> None:
    """Its tag may have any date, and be promoted by the release job itself."""
    shop = history.shop
    by_hand = replace(shop, machine=replace(shop.machine, repository=Hand(shop, key).repository))
    record = by_hand.release(b"never measured")
    use_key(shop, "job")
    if days_ago:
        backdate(history, record, timedelta(days=days_ago))
    with pytest.raises(ReleaseError) as refusal:
        shop.promote(record, shop.staging)
    assert record.version in str(refusal.value)
    [finding] = audited(history, tmp_path)
    assert finding.startswith(f"tag: release/{record.version}: ")
    history.forge("staging", record)
    (tmp_path / "again").mkdir()
    found = audited(history, tmp_path / "again")
    assert any("counts for nothing" in one or "older than" in one for one in found)


def backdate(history: History, record: Record, by: timedelta) -> None:
    """Write a release's tag anew, without a signature, and with an earlier date."""
    shop, name = history.shop, f"release/{record.version}"
    stored = shop.machine.repository.run("cat-file", "tag", name).partition("-----BEGIN")[0]
    seconds = int((datetime.now(UTC) - by).timestamp())
    lines = stored.splitlines()
    lines[3] = f"tagger Eve <eve@example.com> {seconds} +0000"
    tag = shop.machine.repository.run("mktag", stdin=("\n".join(lines) + "\n").encode())
    history.untag(name)
    git(shop.folder, "update-ref", f"refs/tags/{name}", tag)
    git(shop.folder, "push", "--quiet", "origin", f"refs/tags/{name}")


def everything(shop: Workshop) -> str:
    return git(shop.folder, "for-each-ref") + git(shop.folder, "ls-remote", "origin")


@pytest.mark.parametrize("key", ["missing", "none"])
def test_without_a_key_nothing_is_begun(history: History, key: str) -> None:
    """A rollback neither: what it records would not be believed."""
    shop, before = history.shop, everything(history.shop)
    git(shop.folder, "config", "user.signingkey", str(shop.folder / "missing"))
    if key == "none":
        git(shop.folder, "config", "--unset", "user.signingkey")
    commands: tuple[Callable[[], object], ...] = (
        lambda: shop.promote(history.releases[0], shop.staging),
        lambda: shop.rollback(shop.prod),
        lambda: shop.hold(shop.staging, "a reason"),
        lambda: shop.machine.unhold(shop.prod, "a reason", Progress()),
    )
    for command in commands:
        with pytest.raises(PreconditionFailed, match="git has no key that can be used") as refusal:
            command()
        assert "git config user.signingkey" in refusal.value.next_step
    assert everything(shop) == before


def test_with_a_key_that_is_not_listed_nothing_is_begun(history: History) -> None:
    shop, before = history.shop, everything(history.shop)
    use_key(shop, "eve")
    with pytest.raises(PreconditionFailed, match="by a key that is listed"):
        shop.rollback(shop.prod)
    assert everything(shop) == before


def test_a_clone_whose_policy_is_older_writes_nothing_unsigned(history: History) -> None:
    machine = history.shop.machine
    policy = replace(machine.policy, signing=None)
    older = Machine(replace(machine.repository, signs=False), policy)
    with pytest.raises(PreconditionFailed, match="events must be signed") as refusal:
        older.hold(history.shop.staging, "a reason", Progress())
    assert refusal.value.next_step == "git pull"


def test_a_person_who_is_listed_rolls_back_with_a_key_of_their_own(
    history: History, tmp_path: Path
) -> None:
    both = signing(history.shop, replace(SIGNED, by=(JOB, ADA)))
    use_key(both, "ada")
    assert both.rollback(both.staging).outcome == VERIFIED
    assert audited(history, tmp_path) == []


def test_a_key_that_was_removed_counts_for_what_it_signed_before_and_for_nothing_since(
    history: History, tmp_path: Path
) -> None:
    """A date of long ago does not help: no event is older than the one before it."""
    shop = history.shop
    newer = {JOB: public_key(shop.folder.parent, "newer")}
    wait_for_the_next_second()
    list_signers(shop, newer)
    use_key(shop, "newer")
    shop.hold(shop.staging, "keys were changed")
    assert audited(history, tmp_path) == []
    tip, newest = git(shop.folder, "rev-parse", "env/staging"), shop.ledger().newest("staging")
    assert newest
    event = Event("unhold", newest.release, newest.digest, NOTED, actor="Eve", id=new_id())
    thief = Hand(shop, "job").repository
    tree = git(shop.folder, "rev-parse", "env/staging^{tree}")
    back = datetime.now(UTC) - timedelta(days=1)
    commit = thief.write_commit(tree, [tip], message_of("staging", event), back)
    git(shop.folder, "push", "--quiet", "origin", f"{commit}:refs/heads/env/staging")
    (tmp_path / "later").mkdir()
    found = audited(history, tmp_path / "later")
    assert any(one.startswith("signature: ") and "for nobody" in one for one in found)
    use_key(shop, "newer")
    assert shop.machine.is_held(shop.staging)


def wait_for_the_next_second() -> None:
    """Commits have whole seconds: what is signed in the same one is signed by the newer rules."""
    second = int(datetime.now(UTC).timestamp())
    while int(datetime.now(UTC).timestamp()) == second:
        pass


def test_what_was_written_before_signatures_were_asked_is_as_it_was(
    tmp_path: Path, platform: InMemoryPlatform
) -> None:
    assert platform.release is None
    shop = Workshop.open(tmp_path / "clone", tmp_path / "remote.git")
    write_policy(shop.folder, shop.machine.policy)
    first, second = shop.release(b"one"), shop.release(b"two")
    for record in (first, second):
        shop.promote(record, shop.staging)
    wait_for_the_next_second()
    signed = signing(shop)
    history = History(signed, (first, second))
    assert audited(history, tmp_path) == []
    assert signed.machine.deploy(signed.staging, Progress()) == second
    with pytest.raises(PreconditionFailed, match="was not signed by the release job"):
        signed.promote(second, signed.prod)
    assert signed.rollback(signed.staging).release == first.version
    signed.unhold(signed.staging)
    assert signed.promote(signed.release(b"three"), signed.staging).outcome == VERIFIED
    (tmp_path / "again").mkdir()
    assert audited(history, tmp_path / "again") == []


def test_events_that_need_no_signature_are_not_signed(history: History, tmp_path: Path) -> None:
    """Signatures are asked by the default branch of the time, also where they no longer are."""
    wait_for_the_next_second()
    shop = signing(history.shop, replace(SIGNED, events=False))
    shop.hold(shop.staging, "a reason")
    assert "gpgsig" not in git(shop.folder, "cat-file", "-p", "env/staging")
    assert audited(replace(history, shop=shop), tmp_path) == []


def test_the_command_line_signs_as_release_toml_says(history: History, tmp_path: Path) -> None:
    shop, line = history.shop, CommandLine(history.shop.folder)
    assert line.run("hold", "--env", "staging", "--reason", "a look").returncode == 0
    assert "gpgsig" in git(shop.folder, "cat-file", "-p", "env/staging")
    assert audited(history, tmp_path) == []
    git(shop.folder, "config", "--unset", "user.signingkey")
    for command in (("unhold", "--env", "staging"), ("rollback", "--env", "staging")):
        refused = line.run(*command)
        assert refused.returncode == 14, refused.stderr
        assert "events must be signed, and git has no key that can be used" in refused.stderr


def test_without_a_key_a_release_is_built_and_not_tagged(tmp_path: Path) -> None:
    shop = signing(Workshop.open(tmp_path / "clone", tmp_path / "remote.git"))
    shop.pack()
    shop.train(b"model")
    use_key(shop, "eve")
    ledger, policy = shop.ledger(), shop.machine.policy
    assert not build(ledger, policy, Progress()).is_released
    with pytest.raises(PreconditionFailed, match="by a key that is listed"):
        build(ledger, policy, Progress(), Options(push=True))
    assert "refs/tags" not in everything(shop)
    use_key(shop, "job")
    record = build(ledger, policy, Progress(), Options(push=True)).record
    assert "BEGIN SSH SIGNATURE" in git(shop.folder, "cat-file", "-p", f"release/{record.version}")


@dataclass(frozen=True)
class Job:
    """A job that has the key in a variable and nowhere else, and whose programs are watched."""

    shop: Workshop
    log: Path
    scratch: Path

    def invoke(self, *arguments: str) -> int:
        """Type a command, and return its exit code."""
        namespace = Collection.from_module(tasks)
        try:
            Program(version="1", namespace=namespace).run(["invoke", *arguments], exit=True)
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    @property
    def watched(self) -> str:
        """The arguments and variables of each program that it has started."""
        return self.log.read_text(encoding="utf-8")


# A command sets handlers for these, which a process that runs several keeps.
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WATCH = """\
#!/bin/sh
{{ printf '%s\\n' "$0" "$@"; env; }} >> {log}
for one; do
    test "$before" != -f || stat -c 'mode of the key: %a' "$one" >> {log}
    before=$one
done
exec {program} "$@"
"""


@pytest.fixture
def job(history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    """A job that may promote the newest release to prod."""
    shop, log, scratch = history.shop, tmp_path / "log", tmp_path / "scratch"
    git(shop.folder, "config", "--unset", "user.signingkey")
    programs = tmp_path / "programs"
    for folder in (programs, scratch):
        folder.mkdir()
    for name in ("git", "ssh-keygen"):
        (programs / name).write_text(WATCH.format(log=log, program=shutil.which(name)))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(signing_key, "_taken", "")
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("CI", "true")
    usual = {number: signal.getsignal(number) for number in HANDLED}
    yield Job(shop, log, scratch)
    for number, handler in usual.items():
        signal.signal(number, handler)


def give(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Give the job a value of its variable, as a forge does."""
    monkeypatch.setenv(signing_key.VARIABLE, value)


def private_key(history: History, name: str = "job") -> str:
    return (history.shop.folder.parent / name).read_text(encoding="utf-8")


def lines_of(key: str) -> list[str]:
    """Return the lines of a private key that are secret."""
    return key.splitlines()[1:-1]


def test_a_job_signs_with_the_key_in_its_variable_and_shows_and_leaves_it_nowhere(
    job: Job,
    history: History,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    key, before = private_key(history), git(job.shop.folder, "rev-parse", "env/prod")
    give(monkeypatch, key)
    assert job.invoke("approve", "--env", "prod", "--reason", "looked at it") == 0
    assert job.invoke("unhold", "--env", "prod", "--reason", "a test") == 0
    assert job.invoke("promote", "--env", "prod", "--yes") == 0
    assert job.invoke("rollback", "--env", "prod", "--reason", "a test") == 0
    written = git(job.shop.folder, "rev-list", f"{before}..env/prod").splitlines()
    assert len(written) == 5
    for event in written:
        assert "BEGIN SSH SIGNATURE" in git(job.shop.folder, "cat-file", "-p", event)
    assert audited(history, tmp_path) == []
    output = "".join(capfd.readouterr())
    assert "serves" in output
    assert job.watched.count("mode of the key: 600") >= 4
    assert signing_key.VARIABLE not in job.watched
    assert not list(job.scratch.iterdir())
    for line in lines_of(key):
        assert line not in output and line not in job.watched
    inside = [path for path in job.shop.folder.rglob("*") if path.is_file()]
    assert not [path for path in inside if lines_of(key)[1].encode() in path.read_bytes()]


@pytest.mark.parametrize("form", ["as a file", "without its last line's end", "with CRLF"])
def test_a_key_is_taken_in_each_form_in_which_forges_give_it(
    job: Job, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    key = private_key(history)
    file = tmp_path / "RELEASE_SIGNING_KEY"
    file.write_text(key, encoding="utf-8")
    # GitLab's files have a mode that ssh refuses.
    file.chmod(0o644)
    forms = {"as a file": str(file), "with CRLF": key.replace("\n", "\r\n")}
    give(monkeypatch, forms.get(form, key.rstrip()))
    assert job.invoke("hold", "--env", "staging", "--reason", "a look") == 0
    assert "BEGIN SSH SIGNATURE" in git(job.shop.folder, "cat-file", "-p", "env/staging")
    assert not list(job.scratch.iterdir())


def test_the_key_in_the_variable_counts_before_that_of_the_machine(
    job: Job, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_key(job.shop, "eve")
    give(monkeypatch, private_key(history))
    assert job.invoke("hold", "--env", "staging", "--reason", "a look") == 0
    assert audited(history, tmp_path) == []


def test_a_secret_that_is_no_key_is_refused_and_not_repeated(
    job: Job, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = everything(job.shop)
    cut_off = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"
    for value, code in (
        (cut_off, 2),
        (f"{signing_key.BEGIN}OPENSSH PRIVATE KEY-----\n{cut_off}", 14),
    ):
        give(monkeypatch, value)
        assert job.invoke("rollback", "--env", "prod") == code
    said = capfd.readouterr().err
    assert "the variable RELEASE_SIGNING_KEY holds no key to sign with" in said
    assert "events must be signed, and git has no key that can be used" in said
    assert cut_off not in said and cut_off not in job.watched
    assert everything(job.shop) == before
    assert not list(job.scratch.iterdir())


def test_where_nothing_is_signed_the_variable_does_nothing_and_no_program_sees_it(
    job: Job, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_the_next_second()
    signing(job.shop, replace(SIGNED, events=False))
    git(job.shop.folder, "config", "--unset", "user.signingkey")
    give(monkeypatch, private_key(history))
    assert job.invoke("hold", "--env", "staging", "--reason", "a look") == 0
    assert "gpgsig" not in git(job.shop.folder, "cat-file", "-p", "env/staging")
    give(monkeypatch, "no key at all")
    assert job.invoke("unhold", "--env", "staging", "--reason", "a look") == 0
    assert "no key at all" not in job.watched
