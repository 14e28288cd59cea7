"""The rules for every release that was deployed: its files, its gate, its permission."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..checks import hold_of
from ..event import Event
from ..policy import Environment
from ..records import Record
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
    record = chain.links[at].deployed
    if record is None:
        return
    requested_at = chain.request(at)
    request = chain.links[requested_at].event or chain.links[at].event
    assert request, "an event has deployed it"
    deployment = Deployment(lookup, chain, at, record, requested_at, request)
    # A damaged release is named once in each environment: at its first deployment.
    rules = OF_THE_RELEASE if chain.deployments[record.version][0] == at else ()
    if request.kind == "promote":
        rules += OF_A_PROMOTION
    for rule, check in rules:
        complaint = check(deployment)
        if complaint:
            yield rule, f"{request.kind} of {record.version}: {complaint}"


def _bundle(deployment: Deployment) -> str:
    return deployment.lookup.release(deployment.record.version).damage


def _gate(deployment: Deployment) -> str:
    return deployment.lookup.release(deployment.record.version).ungated


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
    return ""


def _approval(deployment: Deployment) -> str:
    policy = deployment.environment.approval if deployment.environment else None
    if policy is None:
        return ""
    if not deployment.request.approved_by:
        return "it names no approver"
    approvers, why = deployment.lookup.approvals(
        deployment.chain.environment, deployment.record, policy
    )
    if len(approvers) < policy.needed:
        short = f"{len(approvers)} of {policy.needed} approvals exist now"
        return "; ".join([f"{short}, it names {deployment.request.approved_by}", *why])
    return ""


def _hold(deployment: Deployment) -> str:
    hold = hold_of(deployment.chain.events(deployment.requested_at))
    return f"the environment was on hold since a {hold.kind} at {hold.time}" if hold else ""


def _freeze(deployment: Deployment) -> str:
    for freeze in deployment.lookup.policy_of(deployment.record).freezes:
        if deployment.chain.environment in freeze.environments and freeze.end(deployment.time):
            return f"it started at {deployment.request.time}, in the freeze {freeze.name}"
    return ""


Rules = tuple[tuple[str, Callable[[Deployment], str]], ...]
OF_THE_RELEASE: Rules = (("bundle", _bundle), ("gate", _gate))
OF_A_PROMOTION: Rules = (
    ("order", _order),
    ("approval", _approval),
    ("hold", _hold),
    ("freeze", _freeze),
)
