"""Which approvals of a release count for an environment, by the policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from . import authors
from .git import GitFailed, Repository
from .ledger import Approval, Ledger, address_of
from .objects import Objects
from .policy import MERGED_SINCE, ApprovalPolicy
from .records import Record
from .releases import CLOCKS, Release

# The public keys of all who sign, in ssh's own format, at the top of the repository.
ALLOWED_SIGNERS = "allowed_signers"


@dataclass(frozen=True)
class Case:
    """What the approvals of a release are held against.

    Parameters
    ----------
    release : Release
    policy : ApprovalPolicy
    authors : authors.Authors
        Who has written what the release brings.
    signers : tuple of (str, bytes)
        The commits whose ``allowed_signers`` must list an approver's key, each with that file,
        empty where there is none. A key that was removed since counts no more, whatever date its
        owner gives a signature.
    """

    release: Release
    policy: ApprovalPolicy
    authors: authors.Authors
    signers: tuple[tuple[str, bytes], ...]


def weigh(
    ledger: Ledger,
    environment: str,
    record: Record,
    policy: ApprovalPolicy,
    base: str | None,
    schema: int,
) -> tuple[list[str], list[str]]:
    """Return who has approved a release, and why the other approvals do not count; see `sort`.

    Parameters
    ----------
    base : str or None
        The commit of the release that the environment serves.
    schema : int
        Of the release.toml that counts.
    """
    release = ledger.release(record.version)
    approvals, strays = ledger.approvals(environment, record.version)
    with Objects(ledger.repository) as objects:
        commits = (record.commit, ledger.anchor or record.commit)
        case = case_of(ledger.repository, objects, release, policy, base, schema, commits)
    approvers, complaints = sort(ledger.repository, approvals, case)
    return approvers, complaints + strays


def case_of(
    repository: Repository,
    objects: Objects,
    release: Release,
    policy: ApprovalPolicy,
    base: str | None,
    schema: int,
    commits: Iterable[str],
) -> Case:
    """Read what approvals of a release are held against.

    Parameters
    ----------
    base : str or None
        The commit of the release that is replaced.
    schema : int
        Of the release.toml that counts: by an older one, only the commit's own author is asked.
    commits : iterable of str
        Those whose ``allowed_signers`` count: the release's, and the newest of the default branch.
    """
    commit = release.record.commit
    if schema < MERGED_SINCE:
        wrote = authors.of_one(objects, commit)
    else:
        wrote = authors.read(repository, objects, base, commit)
    signers = {commit: _signers(objects, commit) for commit in commits} if policy.signed else {}
    return Case(release, policy, wrote, tuple(signers.items()))


def _signers(objects: Objects, commit: str) -> bytes:
    try:
        return objects.read(f"{commit}:{ALLOWED_SIGNERS}")[1]
    except GitFailed:
        return b""


def sort(
    repository: Repository, approvals: Sequence[Approval], case: Case
) -> tuple[list[str], list[str]]:
    """Sort approvals of a release by whether they count.

    Returns
    -------
    approvers : list of str
        ``Name <email>`` of each whose approval counts, once.
    complaints : list of str
        Why the others' do not.
    """
    approvers: dict[str, str] = {}
    complaints = []
    for approval in approvals:
        complaint = _complaint(repository, approval, case)
        if complaint:
            complaints.append(f"{approval.by}: {complaint}")
        else:
            approvers.setdefault(case.authors.person(address_of(approval.by)), approval.by)
    return list(approvers.values()), complaints


def _complaint(repository: Repository, approval: Approval, case: Case) -> str:
    address, record = address_of(approval.by), case.release.record
    if approval.digest != record.digest:
        return f"it is for {approval.digest or 'no digest'}, the release has {record.digest}"
    if approval.target != case.release.target:
        return f"it names the commit {approval.target[:12]}, not that of the release's tag"
    if case.policy.by and address not in {one.lower() for one in case.policy.by}:
        return "release.toml does not list them as an approver"
    if not case.policy.author_may_approve and (complaint := case.authors.complaint(address)):
        return complaint
    if approval.time < case.release.tagged - CLOCKS:
        return f"it is of {_minute(approval.time)}, the release of {_minute(case.release.tagged)}"
    return _unsigned(repository, approval, case) if case.policy.signed else ""


def _minute(time: datetime) -> str:
    return time.isoformat(sep=" ", timespec="minutes")


def _unsigned(repository: Repository, approval: Approval, case: Case) -> str:
    """Return why an approval has no signature that counts, or an empty text."""
    for commit, signers in case.signers:
        if not signers:
            return f"{ALLOWED_SIGNERS} is missing in {commit[:12]}: it lists the approvers' keys"
        try:
            signer = repository.signer(approval.tag, signers)
        except GitFailed as error:
            why = str(error).splitlines()[0]
            return f"not signed by a key that {commit[:12]} lists in {ALLOWED_SIGNERS}: {why}"
        if signer.lower() != address_of(approval.by):
            return f"signed by {signer}"
    return ""
