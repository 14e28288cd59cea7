"""The audit: checks every environment's whole history, and every release that it ever served.

It trusts neither this clone nor the release machine: it reads git's objects, checks each against
its hash, and follows each chain from its first event. It writes nothing.

- `chain` reads a branch as it is stored;
- `branch` compares this clone's branch with the remote's;
- `sequence` has the rules for every event, by its place in the chain;
- `permission` has the rules for every release that was deployed, or was to be;
- `tags` finds tags that look like a release's or an approval's, and are none;
- `lookup` reads what the rules need.

A rewrite by force of a whole history, with everything that refers to it in every clone, leaves no
trace: protected branches and signed approvals prevent it, an audit cannot find it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from .. import snapshots
from ..errors import HistoryCorrupt, PreconditionFailed, PushFailed, ReleaseError
from ..git import REMOTE, GitFailed
from ..ledger import Ledger
from ..objects import Objects
from ..policy import Policy
from . import permission, sequence
from .branch import Branch, branches
from .chain import Chain, read
from .finding import Finding
from .lookup import Lookup
from .tags import strays


# Returns why the state of an event must not be served again.
Doubts = Callable[[str], list[str]]

# The rules that say whether a release may serve at all, and not when.
DECIDING = (
    *("object", "record", "bundle", "gate", "data", "merged", "signature", "order", "approval"),
    *("manifest", "cause", "release", "state"),
)


@dataclass(frozen=True)
class Proof:
    """The result of the audit of one environment.

    Parameters
    ----------
    environment : str
    events, releases : int
        How many events there are, and how many releases were verified.
    compared : str
        What the branch here was compared with.
    findings : tuple of Finding
        In the order of the chain.
    """

    environment: str
    events: int
    releases: int
    compared: str
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        counts = f"{_many(self.events, 'event')}, {_many(self.releases, 'release')}"
        if not self.findings:
            return f"{self.environment}: {counts}, no finding; {self.compared}"
        first = f"first bad event {self.findings[0].event[:12]}"
        found = f"{_many(len(self.findings), 'finding')}, {first}; {self.compared}"
        return "\n  ".join([f"{self.environment}: {counts}, {found}", *map(str, self.findings)])


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Parameters
    ----------
    proofs : tuple of Proof
        In the order of ``release.toml``; branches that it does not name come last.
    chains : mapping of str to Chain
        The history of each environment.
    strays : tuple of Finding
        Tags of releases and approvals that are none. They count for nothing, and who made them
        may have meant them to.
    unreachable : str
        Why the remote could not be reached, or empty.
    erased : tuple of str
        A sentence for each release whose customers were erased since: its training cannot be
        repeated, and that is no finding.
    """

    proofs: tuple[Proof, ...]
    chains: Mapping[str, Chain]
    strays: tuple[Finding, ...]
    unreachable: str
    erased: tuple[str, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        """Every finding, environment by environment, and then the stray tags."""
        found = [finding for proof in self.proofs for finding in proof.findings]
        return [*found, *self.strays]

    @property
    def trouble(self) -> ReleaseError | None:
        """The error of an audit that did not pass, or None."""
        if self.findings:
            first = self.findings[0]
            rest = f"; {_many(len(self.findings), 'finding')} in all"
            where = f"the history of {first.environment}" if first.environment else "a tag"
            return HistoryCorrupt(
                f"{where} breaks the rules of the audit",
                why=f"first bad {'event' if first.environment else 'tag'} {first}{rest}",
                state="nothing was changed",
                next_step=f"git show {first.event[:12]}; invoke audit --html shows all of it",
            )
        if self.unreachable:
            return PushFailed(
                f"this clone has no finding, but {REMOTE} could not be compared with it",
                why=self.unreachable,
                state="nothing was changed",
                next_step="try again when it is back",
            )
        return None


def audit(ledger: Ledger, policy: Policy) -> Audit:
    """Audit everything; a finding does not end the audit.

    Raises
    ------
    PreconditionFailed
        This clone has only a part of the history.
    """
    if ledger.repository.cut_off():
        raise PreconditionFailed(
            "this clone is shallow: it has only a part of the history",
            state="nothing was changed",
            next_step="git fetch --unshallow",
        )
    with Objects(ledger.repository) as objects:
        known = branches(ledger, policy)
        lookup, unreadable = _lookup(ledger, policy, objects, known)
        proofs = []
        for branch in known:
            name = branch.environment
            if name in unreadable:
                proofs.append(Proof(name, 0, 0, "not compared", (unreadable[name],)))
            else:
                proofs.append(_audit(lookup, branch, lookup.chains[name]))
        found, erased = strays(lookup), tuple(_erased(lookup))
    return Audit(tuple(proofs), lookup.chains, found, ledger.unreachable, erased)


def _erased(lookup: Lookup) -> Iterator[str]:
    """Yield which releases were trained on a snapshot that the default branch says is erased."""
    ledger = lookup.ledger
    known = snapshots.erasures(ledger.repository, ledger.anchor or ledger.repository.head())
    for version in sorted({one for chain in lookup.chains.values() for one in chain.deployments}):
        record = lookup.release(version).record
        if record and record.data_sha256 in known:
            yield f"{version}: its customers were erased on {known[record.data_sha256]}"


@contextmanager
def doubting(ledger: Ledger, policy: Policy, environment: str) -> Iterator[Doubts]:
    """Yield a function that returns why a state must not be served again in an environment.

    It is given the commit of an event with the state, which says that it was verified. Whoever may
    push can write such an event by hand. What counts is the promotion that has brought the state:
    its release, and who has permitted it. All histories are read once, for the first question.
    """
    with Objects(ledger.repository) as objects:

        @cache
        def histories() -> tuple[Lookup, dict[str, Finding]]:
            return _lookup(ledger, policy, objects, branches(ledger, policy))

        def doubts(event: str) -> list[str]:
            lookup, unreadable = histories()
            if environment in unreadable:
                return [str(unreadable[environment])]
            return _doubts(lookup, lookup.chains[environment], event)

        yield doubts


def _doubts(lookup: Lookup, chain: Chain, event: str) -> list[str]:
    place = next((at for at, link in enumerate(chain.links) if link.sha == event), None)
    wanted = None if place is None else chain.links[place]
    if place is None or wanted is None or wanted.record is None:
        return [f"the event {event[:12]} has no release that can be read"]
    unsigned = lookup.unsigned(chain)
    places = chain.deployments.get(wanted.serves, [])
    places = [at for at in places if chain.links[at].sha not in unsigned]
    at = next((at for at in places if chain.links[at].state == wanted.state), None)
    if at is None:
        return [f"{wanted.serves} was never verified in {chain.environment} in this state"]
    found = [one for each in (chain.cause(at), at) for one in _complaints(lookup, chain, each)]
    # Verified once, and brought back since by an event that counts for nothing.
    if brought := unsigned.get(chain.links[chain.begin(place)].sha):
        found.append(("signature", brought))
    return list(dict.fromkeys(text for rule, text in found if rule in DECIDING))


def _lookup(
    ledger: Ledger, policy: Policy, objects: Objects, known: Sequence[Branch]
) -> tuple[Lookup, dict[str, Finding]]:
    """Read every environment's history, and return what names those that cannot be read."""
    chains, unreadable = {}, {}
    for branch in known:
        name = branch.environment
        try:
            chains[name] = read(objects, name, branch.head)
        except GitFailed as error:
            text = f"the history cannot be read: {error}"
            unreadable[name] = Finding(name, branch.head, "", "object", text)
    return Lookup(ledger, policy, objects, chains), unreadable


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _audit(lookup: Lookup, branch: Branch, chain: Chain) -> Proof:
    first, diverged = branch.complaint(chain)
    findings = []
    for at, link in enumerate(chain.links):
        complaints = list(_complaints(lookup, chain, at))
        if diverged and at == first:
            complaints.insert(0, ("tail", diverged))
        time = link.event.time if link.event else ""
        for rule, text in complaints:
            findings.append(Finding(chain.environment, link.sha, time, rule, text))
    counts = (len(chain.links), len(chain.deployments))
    return Proof(chain.environment, *counts, branch.comparison(), tuple(findings))


def _complaints(lookup: Lookup, chain: Chain, at: int) -> Iterator[tuple[str, str]]:
    yield from sequence.complaints(chain, at)
    link = chain.links[at]
    if unsigned := lookup.unsigned(chain).get(link.sha):
        yield "signature", unsigned
    if link.event and lookup.ids.get(link.event.id) != link.sha:
        yield "id", f"{lookup.ids[link.event.id][:12]} has the same id: an event was copied"
    if link.event and not link.event.id:
        yield "id", "it has no id, which the release machine gives to every event"
    released = lookup.release(link.serves).record if link.serves else None
    if released and released != link.record:
        yield "record", f"its record differs from that of the tag release/{link.serves}"
    yield from permission.complaints(lookup, chain, at)
