"""The rules for every release that was deployed: its files, its gate, its permission."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from .. import completeness, snapshots
from ..checks import hold_of
from ..errors import ReleaseError
from ..event import Event
from ..git import GitFailed
from ..platforms import claims
from ..policy import MERGED_SINCE, Environment
from ..records import Record
from ..releases import CLOCKS
from .lookup import Lookup
from .chain import Chain

# The events of two environments have no common order, and clocks may differ by as much.
SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class Deployment:
    """A release that an event has deployed.

    Parameters
    ----------
    lookup : Lookup
    chain : Chain
    at : int
        The place of the event that verified it.
    record : Record
        In that event.
    requested_at : int
        The place of the command that deployed it.
    request : Event
        That command's event.
    """

    lookup: Lookup
    chain: Chain
    at: int
    record: Record
    requested_at: int
    request: Event

    @property
    def environment(self) -> Environment | None:
        """The environment, by the policy that counts."""
        return self.lookup.environment(self.chain.environment, self.record)

    @property
    def time(self) -> datetime:
        """When the command was started."""
        return datetime.fromisoformat(self.request.time)


def complaints(lookup: Lookup, chain: Chain, at: int) -> Iterator[tuple[str, str]]:
    """Yield each rule that the deployment of an event has broken, and how."""
    link = chain.links[at]
    record = link.deployed or (link.record if chain.was_only_begun(at) else None)
    if record is None:
        return
    requested_at = chain.request(at)
    request = chain.links[requested_at].event or link.event
    assert request, "an event has deployed it, or was about to"
    deployment = Deployment(lookup, chain, at, record, requested_at, request)
    # A damaged release is named once in each environment: at its first deployment.
    places = chain.deployments.get(record.version, [])
    rules = OF_THE_RELEASE if not places or places[0] == at else ()
    if request.kind == "promote":
        rules += OF_A_PROMOTION
    for rule, check in rules:
        complaint = check(deployment)
        if complaint:
            yield rule, f"{request.kind} of {record.version}: {complaint}"


def _bundle(deployment: Deployment) -> str:
    checked = deployment.lookup.release(deployment.record.version)
    if checked.damage or checked.release is None:
        return checked.damage
    policy = deployment.lookup.policy_of(deployment.record)
    return completeness.complaint(checked.release, checked.documents, policy)


def _gate(deployment: Deployment) -> str:
    return deployment.lookup.release(deployment.record.version).ungated


def _data(deployment: Deployment) -> str:
    """The customers that a release was trained on must be those that its commit names."""
    record = deployment.record
    try:
        named = snapshots.of_commit(deployment.lookup.ledger.repository, record.commit)
    except (GitFailed, ReleaseError) as error:
        return f"its snapshot cannot be read: {error}"
    if named is None:
        return f"its record has a snapshot of {record.data_as_of}, its commit none" * bool(
            record.data_as_of
        )
    if (named.content, named.as_of) == (record.data_sha256, record.data_as_of):
        return ""
    day = record.data_as_of or "no day"
    return (
        f"it was trained on the snapshot {record.data_sha256[:12]} of {day}, its commit names "
        f"{named.content[:12]} of {named.as_of}"
    )


def _manifest(deployment: Deployment) -> str:
    lookup, record = deployment.lookup, deployment.record
    checked, policy = lookup.release(record.version), lookup.policy_of(record)
    if checked.damage:
        return ""  # That is a rule of its own.
    # Older releases were started with the command of the day.
    serve = policy.serve if policy.schema >= MERGED_SINCE else None
    try:
        state = lookup.objects.contents(dict(deployment.chain.links[deployment.at].state))
    except GitFailed as error:
        return f"its manifests cannot be read: {error}"
    return claims.complaint(state, record, checked.documents, serve)


def _merged(deployment: Deployment) -> str:
    lookup, record, environment = deployment.lookup, deployment.record, deployment.environment
    is_asked = lookup.policy_of(record).schema >= MERGED_SINCE
    is_fine = record.commit in lookup.merged or (environment and environment.unmerged)
    if is_fine or not is_asked:
        return ""
    repository, anchor = lookup.ledger.repository, lookup.ledger.anchor
    is_last = environment in (None, lookup.policy_of(record).environments[-1])
    if not is_last and snapshots.is_pin(repository, record.commit, anchor):
        return ""
    return f"its commit {record.commit[:12]} is not on the default branch"


def _signature(deployment: Deployment) -> str:
    """The tag must be signed by the rules of the promotion's time, whatever date it has itself."""
    return deployment.lookup.signing.of_release(deployment.record.version, deployment.time)


def _time(deployment: Deployment) -> str:
    release = deployment.lookup.release(deployment.record.version).release
    if release is None or deployment.time >= release.tagged - CLOCKS:
        return ""
    return f"it started at {deployment.request.time}, before the release was built"


def _order(deployment: Deployment) -> str:
    before = deployment.environment.after if deployment.environment else None
    if before is None:
        return ""
    chain = deployment.lookup.chains.get(before)
    places = chain.deployments.get(deployment.record.version, []) if chain else []
    times = [
        datetime.fromisoformat(event.time)
        for place in places
        if chain
        and (event := chain.links[place].event)
        and event.digest == deployment.record.digest
    ]
    if not times:
        return f"it was never verified in {before}"
    if min(times) > deployment.time + SKEW:
        return f"it was verified in {before} only at {min(times)}"
    # A verdict within the skew may have come before or after.
    moments = (deployment.time - SKEW, deployment.time, deployment.time + SKEW)
    version = deployment.record.version
    if chain and all(deployment.lookup.was_bad(chain, version, one) for one in moments):
        return f"{before} had found it bad before that, and not verified it again"
    return ""


def _soak(deployment: Deployment) -> str:
    environment = deployment.environment
    if environment is None or environment.soak_minutes is None or environment.after is None:
        return ""
    chain = deployment.lookup.chains.get(environment.after)
    verified = chain.verified_until(deployment.time) if chain else []
    own = [at for at, (_, version) in enumerate(verified) if version == deployment.record.version]
    if not own:
        return ""  # The order is a rule of its own.
    later = [time for time, version in verified[own[-1] :] if version != deployment.record.version]
    soaked = (later[0] if later else deployment.time) - verified[own[-1]][0]
    if soaked >= timedelta(minutes=environment.soak_minutes):
        return ""
    minutes = soaked.total_seconds() / 60
    return (
        f"it had served {minutes:.0f} of {environment.soak_minutes} minutes in {environment.after}"
    )


def _approval(deployment: Deployment) -> str:
    policy = deployment.environment.approval if deployment.environment else None
    if policy is None:
        return ""
    if not deployment.request.approved_by:
        return "it names no approver"
    release = deployment.lookup.release(deployment.record.version).release
    if release is None:
        return ""  # That is a rule of its own.
    approvers, why = deployment.lookup.approvals(
        *(deployment.chain.environment, release, policy),
        *(deployment.chain.served(deployment.requested_at), deployment.time),
    )
    if len(approvers) < policy.needed:
        short = f"{len(approvers)} of {policy.needed} approvals exist now"
        return "; ".join([f"{short}, it names {deployment.request.approved_by}", *why])
    return ""


def _hold(deployment: Deployment) -> str:
    events = deployment.chain.events(deployment.requested_at)
    unsigned = deployment.lookup.unsigned(deployment.chain)
    hold = hold_of([event for event in events if event.sha not in unsigned])
    return f"the environment was on hold since a {hold.kind} at {hold.time}" if hold else ""


def _freeze(deployment: Deployment) -> str:
    for freeze in deployment.lookup.policy_of(deployment.record).freezes:
        if deployment.chain.environment in freeze.environments and freeze.end(deployment.time):
            return f"it started at {deployment.request.time}, in the freeze {freeze.name}"
    return ""


Rules = tuple[tuple[str, Callable[[Deployment], str]], ...]
OF_THE_RELEASE: Rules = (("bundle", _bundle), ("gate", _gate), ("data", _data))
OF_A_PROMOTION: Rules = (
    ("manifest", _manifest),
    ("merged", _merged),
    ("signature", _signature),
    ("time", _time),
    ("order", _order),
    ("soak", _soak),
    ("approval", _approval),
    ("hold", _hold),
    ("freeze", _freeze),
)
