"""Whose word counts: an environment's approvals of a release, held against the policy."""

from __future__ import annotations

from collections.abc import Sequence

from .git import GitFailed, Repository
from .ledger import Approval, Ledger, address_of
from .policy import ApprovalPolicy
from .records import Record

# Whose key is whose: ssh's own format, at the top of the repository.
ALLOWED_SIGNERS = "allowed_signers"


def weigh(
    ledger: Ledger, environment: str, record: Record, policy: ApprovalPolicy
) -> tuple[list[str], list[str]]:
    """Sort the approvals of a release, as they are now, into those that count and the others."""
    author = ledger.repository.author(record.commit)
    approvals = ledger.approvals(environment, record.version)
    return sort(ledger.repository, approvals, record, policy, author)


def sort(
    repository: Repository,
    approvals: Sequence[Approval],
    record: Record,
    policy: ApprovalPolicy,
    author: str,
) -> tuple[list[str], list[str]]:
    """Sort approvals of a release, whose commit ``author`` wrote, into those that count or not.

    Returns
    -------
    approvers : list of str
        ``Name <email>`` of each whose word counts, once.
    complaints : list of str
        Why the others' does not.
    """
    approvers: dict[str, str] = {}
    complaints = []
    for approval in approvals:
        complaint = _complaint(repository, approval, record, policy, author.lower())
        if complaint:
            complaints.append(f"{approval.by}: {complaint}")
        else:
            approvers.setdefault(address_of(approval.by), approval.by)
    return list(approvers.values()), complaints


def _complaint(
    repository: Repository, approval: Approval, record: Record, policy: ApprovalPolicy, author: str
) -> str:
    address = address_of(approval.by)
    if approval.digest != record.digest:
        return f"it is for {approval.digest or 'no digest'}, the release has {record.digest}"
    if policy.by and address not in {one.lower() for one in policy.by}:
        return "not one of those who may approve, by release.toml"
    if address == author and not policy.author_may_approve:
        return "the author of the released commit, whose own word does not count"
    if policy.signed:
        try:
            signer = repository.signer(approval.tag, repository.root / ALLOWED_SIGNERS)
        except GitFailed as error:
            return f"not signed by a known key: {str(error).splitlines()[0]}"
        if signer.lower() != address:
            return f"signed by {signer}"
    return ""
