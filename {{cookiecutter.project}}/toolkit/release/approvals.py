"""Which approvals of a release count for an environment, by the policy."""

from __future__ import annotations

from collections.abc import Sequence

from .git import GitFailed, Repository
from .ledger import Approval, Ledger, address_of
from .policy import ApprovalPolicy
from .records import Record

# The public keys of approvers in ssh's own format, at the top of the repository.
ALLOWED_SIGNERS = "allowed_signers"


def weigh(
    ledger: Ledger, environment: str, record: Record, policy: ApprovalPolicy
) -> tuple[list[str], list[str]]:
    """Return who has approved a release, and why the other approvals do not count; see `sort`."""
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
    """Sort approvals of a release, whose commit ``author`` wrote, by whether they count.

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
        return "release.toml does not list them as an approver"
    if address == author and not policy.author_may_approve:
        return "the author of the released commit may not approve it"
    if policy.signed:
        try:
            signer = repository.signer(approval.tag, repository.root / ALLOWED_SIGNERS)
        except GitFailed as error:
            return f"not signed by a known key: {str(error).splitlines()[0]}"
        if signer.lower() != address:
            return f"signed by {signer}"
    return ""
