"""Which approvals count (failure case 11): real tags, and real signatures by ssh keys."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from toolkit.release.approvals import ALLOWED_SIGNERS, weigh
from toolkit.release.checks import Candidate, check
from toolkit.release.errors import ApprovalMissing, PreconditionFailed
from toolkit.release.policy import MERGED_SINCE, ApprovalPolicy
from toolkit.release.records import Record
from toolkit.tests.ssh_keys import public_key
from toolkit.tests.workshop import Workshop, git

ADA, GRACE = "Ada <ada@example.com>", "Grace <grace@example.com>"
needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is missing")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A repository without a remote, whose user is Ada."""
    return Workshop.open(tmp_path / "clone", None)


def become(workshop: Workshop, name: str) -> None:
    git(workshop.folder, "config", "user.name", name)
    git(workshop.folder, "config", "user.email", f"{name.lower()}@example.com")


def approve(workshop: Workshop, name: str, record: Record, signed: bool = False) -> None:
    become(workshop, name)
    workshop.ledger().add_approval("prod", record, "read the evidence", signed)


def weighed(
    workshop: Workshop, record: Record, policy: ApprovalPolicy, base: str | None = None
) -> tuple[list[str], list[str]]:
    """Return whose approvals count for prod, and why others do not."""
    return weigh(workshop.ledger(), "prod", record, policy, base, MERGED_SINCE)


def refusal(workshop: Workshop, record: Record, policy: ApprovalPolicy) -> str:
    """Return why a promotion to prod lacks approvals."""
    prod = replace(workshop.prod, approval=policy, after=None)
    ledger = workshop.ledger()
    with pytest.raises(ApprovalMissing) as refused:
        check(
            Candidate(
                *(ledger, workshop.machine.policy, prod, record, (), None, True),
                now=datetime.now(UTC),
                observe=None,
            )
        )
    assert refused.value.exit_code == 11
    return f"{refused.value.what}\n{refused.value.why}"


def test_11_nobody_has_approved(workshop: Workshop) -> None:
    record = workshop.release()
    output = refusal(workshop, record, ApprovalPolicy())
    assert "0 of 1 approvals" in output
    assert f"there is no tag approval/prod/{record.version}" in output


def test_11_an_author_s_own_approval_does_not_count(workshop: Workshop) -> None:
    record = workshop.release()
    approve(workshop, "Ada", record)
    assert "the author of the released commit" in refusal(workshop, record, ApprovalPolicy())
    allowed = ApprovalPolicy(author_may_approve=True)
    assert weighed(workshop, record, allowed) == ([ADA], [])


def test_11_a_stranger_s_approval_does_not_count(workshop: Workshop) -> None:
    record = workshop.release()
    approve(workshop, "Mallory", record)
    policy = ApprovalPolicy(by=("Grace@example.com",))
    assert "release.toml does not list them as an approver" in refusal(workshop, record, policy)
    approve(workshop, "Grace", record)
    approvers, complaints = weighed(workshop, record, policy)
    assert approvers == [GRACE]
    assert len(complaints) == 1


def test_11_an_approval_of_another_version_or_digest_does_not_count(workshop: Workshop) -> None:
    first, second = workshop.release(b"one"), workshop.release(b"two")
    approve(workshop, "Grace", first)
    assert "there is no tag" in refusal(workshop, second, ApprovalPolicy())
    approve(workshop, "Grace", replace(second, digest="sha256:another"))
    assert "it is for sha256:another" in refusal(workshop, second, ApprovalPolicy())


def test_11_two_people_are_two_and_one_who_approves_twice_is_one(workshop: Workshop) -> None:
    record = workshop.release()
    policy = ApprovalPolicy(needed=2)
    approve(workshop, "Grace", record)
    with pytest.raises(PreconditionFailed, match="is already there"):
        approve(workshop, "Grace", record)
    assert "1 of 2 approvals" in refusal(workshop, record, policy)
    approve(workshop, "Linus", record)
    assert len(weighed(workshop, record, policy)[0]) == 2


def list_keys(workshop: Workshop, *names: str) -> dict[str, str]:
    """Commit allowed_signers with a new key for each person, or the one that they have."""
    keys = {name: public_key(workshop.folder, name) for name in names}
    lines = [f"{name.lower()}@example.com {key}\n" for name, key in keys.items()]
    (workshop.folder / ALLOWED_SIGNERS).write_text("".join(lines), encoding="utf-8")
    git(workshop.folder, "add", ALLOWED_SIGNERS)
    workshop.commit("keys")
    return keys


def sign(workshop: Workshop, name: str, record: Record, key: str) -> None:
    """Approve in somebody's name with somebody's key."""
    git(workshop.folder, "config", "user.signingkey", str(workshop.folder / key))
    approve(workshop, name, record, signed=True)


@needs_ssh
def test_without_keys_in_the_released_commit_no_signature_counts(workshop: Workshop) -> None:
    record = workshop.release()
    approve(workshop, "Grace", record)
    output = refusal(workshop, record, ApprovalPolicy(signed=True))
    assert f"{ALLOWED_SIGNERS} is missing in {record.commit[:12]}" in output


@needs_ssh
def test_11_a_signature_must_be_there_whole_and_by_the_approver(workshop: Workshop) -> None:
    list_keys(workshop, "Grace")
    public_key(workshop.folder, "Eve")
    record, policy = workshop.release(), ApprovalPolicy(signed=True)
    approve(workshop, "Grace", record)
    assert "not signed by a key that" in refusal(workshop, record, policy)
    delete(workshop, record, "grace@example.com")
    sign(workshop, "Grace", record, key="Eve")
    assert "not signed by a key that" in refusal(workshop, record, policy)
    delete(workshop, record, "grace@example.com")
    sign(workshop, "Grace", record, key="Grace")
    assert weighed(workshop, record, policy) == ([GRACE], [])
    break_signature(workshop, record)
    assert "not signed by a key that" in refusal(workshop, record, policy)


@needs_ssh
def test_a_signature_in_the_name_of_another_is_named(workshop: Workshop) -> None:
    list_keys(workshop, "Grace", "Mallory")
    record, policy = workshop.release(), ApprovalPolicy(signed=True)
    sign(workshop, "Grace", record, key="Mallory")
    assert "signed by mallory@example.com" in refusal(workshop, record, policy)


@needs_ssh
@pytest.mark.parametrize(
    "setting", ["gpg.ssh.program", "gpg.ssh.revocationFile", "gpg.minTrustLevel", "gpg.format"]
)
def test_no_setting_of_git_changes_whose_signature_counts(
    workshop: Workshop, tmp_path: Path, setting: str
) -> None:
    """A program there calls every signature good, as an agent's may; a list has revoked all."""
    keys = list_keys(workshop, "Grace", "Linus")
    public_key(workshop.folder, "Eve")
    record, policy = workshop.release(), ApprovalPolicy(signed=True)
    sign(workshop, "Grace", record, key="Grace")
    sign(workshop, "Linus", record, key="Eve")
    program, revoked = tmp_path / "agent", tmp_path / "revoked"
    answer = 'Good "git" signature for linus@example.com with a key'
    program.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    program.chmod(0o755)
    revoked.write_text("".join(f"{key}\n" for key in keys.values()), encoding="utf-8")
    values = {"program": str(program), "revocationFile": str(revoked), "minTrustLevel": "ultimate"}
    git(workshop.folder, "config", setting, values.get(setting.rpartition(".")[2], "x509"))
    approvers, complaints = weighed(workshop, record, policy)
    assert approvers == [GRACE]
    assert len(complaints) == 1 and "Linus" in complaints[0]


@needs_ssh
def test_a_key_that_was_removed_since_counts_no_more(workshop: Workshop) -> None:
    list_keys(workshop, "Grace", "Linus")
    record, policy = workshop.release(), ApprovalPolicy(signed=True)
    sign(workshop, "Grace", record, key="Grace")
    assert weighed(workshop, record, policy) == ([GRACE], [])
    become(workshop, "Ada")
    list_keys(workshop, "Linus")
    newest = workshop.machine.repository.head()
    assert f"that {newest[:12]} lists in" in refusal(workshop, record, policy)


def test_an_approval_for_staging_does_not_count_for_prod(workshop: Workshop) -> None:
    """The tag object says what it was made for, whatever a reference calls it."""
    record = workshop.release()
    become(workshop, "Grace")
    workshop.ledger().add_approval("staging", record, "", signed=False)
    name = f"{record.version}/grace@example.com"
    staging = git(workshop.folder, "rev-parse", f"refs/tags/approval/staging/{name}")
    git(workshop.folder, "update-ref", f"refs/tags/approval/prod/{name}", staging)
    assert f"made as 'approval/staging/{name}': copied" in refusal(
        workshop, record, ApprovalPolicy()
    )


def test_an_approval_of_another_commit_does_not_count(workshop: Workshop) -> None:
    record = workshop.release()
    become(workshop, "Grace")
    repository, name = workshop.machine.repository, f"approval/prod/{record.version}/grace"
    text = f"approve\n\nDigest: {record.digest}\n"
    tag = repository.write_tag(name, record.commit, text)
    git(workshop.folder, "update-ref", f"refs/tags/{name}", tag)
    assert "not that of the release's tag" in refusal(workshop, record, ApprovalPolicy())


@pytest.mark.parametrize("kind", ["lightweight", "of nobody", "of a file"])
def test_a_stray_tag_is_named_and_passed_over(workshop: Workshop, kind: str) -> None:
    record = workshop.release()
    name = f"approval/prod/{record.version}/stray"
    target = git(workshop.folder, "hash-object", "-w", "--stdin") if "file" in kind else "HEAD"
    if kind == "of nobody":
        text = f"object {record.commit}\ntype commit\ntag {name}\n\nmine\n".encode()
        run = workshop.machine.repository.run
        target = run("hash-object", "-t", "tag", "-w", "--literally", "--stdin", stdin=text)
    git(workshop.folder, "update-ref", f"refs/tags/{name}", target)
    assert f"the tag {name} is no approval" in refusal(workshop, record, ApprovalPolicy())
    approve(workshop, "Grace", record)
    approvers, complaints = weighed(workshop, record, ApprovalPolicy())
    assert (approvers, len(complaints)) == ([GRACE], 1)


def test_an_approval_older_than_its_release_does_not_count(workshop: Workshop) -> None:
    record = workshop.release()
    become(workshop, "Grace")
    release = workshop.ledger().release(record.version)
    name = f"approval/prod/{record.version}/grace"
    person = f"Grace <grace@example.com> {int(release.tagged.timestamp()) - 3600} +0000"
    text = (
        f"object {release.target}\ntype commit\ntag {name}\ntagger {person}\n\n"
        f"approve\n\nDigest: {record.digest}\n"
    )
    tag = workshop.machine.repository.run("mktag", stdin=text.encode())
    git(workshop.folder, "update-ref", f"refs/tags/{name}", tag)
    assert f"the release of {release.tagged:%Y-%m-%d %H:%M}" in refusal(
        workshop, record, ApprovalPolicy()
    )


@needs_ssh
def test_a_key_that_is_not_there_signs_nothing(workshop: Workshop) -> None:
    record = workshop.release()
    git(workshop.folder, "config", "user.signingkey", str(workshop.folder / "missing"))
    with pytest.raises(PreconditionFailed, match="could not be signed") as refused:
        approve(workshop, "Grace", record, signed=True)
    assert "user.signingkey" in refused.value.next_step
    assert workshop.ledger().approvals("prod", record.version) == ([], [])


def delete(workshop: Workshop, record: Record, address: str) -> None:
    git(workshop.folder, "tag", "--delete", f"approval/prod/{record.version}/{address}")


def break_signature(workshop: Workshop, record: Record) -> None:
    """Rewrite Grace's tag with another text under her signature."""
    name = f"approval/prod/{record.version}/grace@example.com"
    tag = git(workshop.folder, "cat-file", "tag", name) + "\n"
    forged = tag.replace("read the evidence", "read none of it")
    assert forged != tag
    written = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin"],
        cwd=workshop.folder,
        input=forged,
        capture_output=True,
        text=True,
        check=True,
    )
    git(workshop.folder, "update-ref", f"refs/tags/{name}", written.stdout.strip())
