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
from toolkit.release.policy import ApprovalPolicy
from toolkit.release.records import Record
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


def refusal(workshop: Workshop, record: Record, policy: ApprovalPolicy) -> str:
    """Return why a promotion to prod lacks approvals."""
    prod = replace(workshop.prod, approval=policy, after=None)
    ledger = workshop.ledger()
    with pytest.raises(ApprovalMissing) as refused:
        check(Candidate(ledger, workshop.machine.policy, prod, record, (), True, datetime.now(UTC)))
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
    assert weigh(workshop.ledger(), "prod", record, allowed) == ([ADA], [])


def test_11_a_stranger_s_approval_does_not_count(workshop: Workshop) -> None:
    record = workshop.release()
    approve(workshop, "Mallory", record)
    policy = ApprovalPolicy(by=("Grace@example.com",))
    assert "release.toml does not list them as an approver" in refusal(workshop, record, policy)
    approve(workshop, "Grace", record)
    approvers, complaints = weigh(workshop.ledger(), "prod", record, policy)
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
    assert len(weigh(workshop.ledger(), "prod", record, policy)[0]) == 2


@needs_ssh
def test_11_a_signature_must_be_there_whole_and_by_the_approver(workshop: Workshop) -> None:
    record, policy = workshop.release(), ApprovalPolicy(signed=True)
    signers = workshop.folder / ALLOWED_SIGNERS
    keys = {name: new_key(workshop.folder, name) for name in ("Grace", "Mallory")}
    approve(workshop, "Grace", record)
    assert f"{ALLOWED_SIGNERS} is missing" in refusal(workshop, record, policy)
    signers.write_text(f"grace@example.com {keys['Grace']}\n", encoding="utf-8")
    assert "not signed by a known key" in refusal(workshop, record, policy)

    delete(workshop, record, "grace@example.com")
    git(workshop.folder, "config", "user.signingkey", str(workshop.folder / "Mallory"))
    approve(workshop, "Grace", record, signed=True)
    assert "not signed by a known key" in refusal(workshop, record, policy)
    signers.write_text(
        f"grace@example.com {keys['Grace']}\nmallory@example.com {keys['Mallory']}\n",
        encoding="utf-8",
    )
    assert "signed by mallory@example.com" in refusal(workshop, record, policy)

    delete(workshop, record, "grace@example.com")
    git(workshop.folder, "config", "user.signingkey", str(workshop.folder / "Grace"))
    approve(workshop, "Grace", record, signed=True)
    assert weigh(workshop.ledger(), "prod", record, policy) == ([GRACE], [])
    break_signature(workshop, record)
    assert "not signed by a known key" in refusal(workshop, record, policy)


@needs_ssh
def test_a_key_that_is_not_there_signs_nothing(workshop: Workshop) -> None:
    record = workshop.release()
    git(workshop.folder, "config", "user.signingkey", str(workshop.folder / "missing"))
    with pytest.raises(PreconditionFailed, match="could not be signed") as refused:
        approve(workshop, "Grace", record, signed=True)
    assert "user.signingkey" in refused.value.next_step
    assert workshop.ledger().approvals("prod", record.version) == []


def new_key(folder: Path, name: str) -> str:
    """Make a key pair and return the public key."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
    subprocess.run(command, check=True)
    return (folder / f"{name}.pub").read_text(encoding="utf-8").strip()


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
