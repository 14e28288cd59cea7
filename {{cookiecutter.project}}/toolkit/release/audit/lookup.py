"""What the rules of the audit need: chains, releases and policies, each read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..approvals import sort
from ..checks import PASSED
from ..errors import HistoryCorrupt
from ..git import GitFailed
from ..ledger import Ledger, address_of, approval_of
from ..objects import Objects
from ..policy import ApprovalPolicy, Environment, Policy
from ..policy_file import at_commit
from ..records import EVIDENCE_NAME, FILE_NAME, Record, parse
from ..references import RELEASES
from .chain import Chain


@dataclass(frozen=True)
class Release:
    """A release, as its tag holds it.

    Parameters
    ----------
    record : Record or None
        None where it cannot be read.
    damage : str
        How its files differ from those that were released, or empty.
    ungated : str
        Why its evidence is not that of a passed gate, or empty.
    """

    record: Record | None
    damage: str = ""
    ungated: str = ""


@dataclass(frozen=True)
class Lookup:
    """Reads from git, now and at the commits of the releases.

    Parameters
    ----------
    ledger : Ledger
    policy : Policy
        Today's.
    objects : Objects
    chains : mapping of str to Chain
        By environment.
    """

    ledger: Ledger
    policy: Policy
    objects: Objects
    chains: Mapping[str, Chain]
    _releases: dict[str, Release] = field(default_factory=dict)
    _policies: dict[str, Policy] = field(default_factory=dict)
    _approvals: dict[tuple[str, str, ApprovalPolicy], tuple[list[str], list[str]]] = field(
        default_factory=dict
    )

    def release(self, version: str) -> Release:
        """Return a release as its tag holds it, read and checked once."""
        if version not in self._releases:
            self._releases[version] = self._read_release(version)
        return self._releases[version]

    def _read_release(self, version: str) -> Release:
        name = RELEASES + version
        here, there = self.ledger.local.get(name), (self.ledger.remote or {}).get(name)
        tag = here or there
        if tag is None:
            return Release(None, f"there is no tag release/{version}")
        if self.ledger.remote is not None and here and here != there:
            other = f"another one, {there[:12]}" if there else "none"
            return Release(None, f"the tag release/{version} is {tag[:12]}, origin has {other}")
        try:
            commit = self.objects.commit(self.objects.commit(tag).named("object")[0])
            blobs = self.objects.tree(commit.named("tree")[0])
            files = {file: self.objects.read(blob)[1] for file, blob in blobs.items()}
            record = parse(files.get(FILE_NAME, b""), f"the tag release/{version}")
        except GitFailed as error:
            return Release(None, f"its bundle cannot be read: {error}")
        except HistoryCorrupt as error:
            return Release(None, f"{error.what}: {error.why}")
        except IndexError:
            return Release(None, f"the tag release/{version} is not that of a release")
        damage = record.damage(files) or ""
        if record.version != version:
            damage = f"the tag release/{version} holds release {record.version}"
        elif commit.named("parent") != (record.commit,):
            damage = "the parent of the release's commit is not the commit that it was built from"
        return Release(record, damage, _ungated(record, files))

    def policy_of(self, record: Record) -> Policy:
        """Return the policy at a release's own commit; today's where that cannot be read.

        So a policy that was relaxed only for one release's way to production is found.
        """
        commit = record.commit
        if commit not in self._policies:
            read = self.objects.read
            self._policies[commit] = at_commit(lambda name: read(name)[1], commit, self.policy)
        return self._policies[commit]

    def environment(self, name: str, record: Record) -> Environment | None:
        """Return an environment of the policy at a release's commit, or of today's policy."""
        for policy in (self.policy_of(record), self.policy):
            for environment in policy.environments:
                if environment.name == name:
                    return environment
        return None

    def approvals(
        self, environment: str, record: Record, policy: ApprovalPolicy
    ) -> tuple[list[str], list[str]]:
        """Return who has approved a release, by today's tags, and why others do not count."""
        key = (environment, record.version, policy)
        if key not in self._approvals:
            self._approvals[key] = self._weigh(environment, record, policy)
        return self._approvals[key]

    def _weigh(
        self, environment: str, record: Record, policy: ApprovalPolicy
    ) -> tuple[list[str], list[str]]:
        approvals, unread = [], []
        for tag in self.ledger.approval_tags(environment, record.version):
            try:
                text = self.objects.read(tag)[1].decode("utf-8", "replace")
                approvals.append(approval_of(tag, text))
            except (GitFailed, LookupError, ValueError):
                unread.append(f"{tag[:12]} cannot be read as an approval")
        try:
            person = self.objects.commit(record.commit).named("author")[0].rsplit(" ", 2)[0]
        except (GitFailed, LookupError) as error:
            return [], [f"the released commit cannot be read: {error}"]
        author = address_of(person)
        approvers, others = sort(self.ledger.repository, approvals, record, policy, author)
        return approvers, others + unread

    @cached_property
    def ids(self) -> dict[str, str]:
        """Return ``{event id: commit}``, with the first event of each id."""
        found: dict[str, str] = {}
        for chain in self.chains.values():
            for link in chain.links:
                if link.event:
                    found.setdefault(link.event.id, link.sha)
        return found


def _ungated(record: Record, files: Mapping[str, bytes]) -> str:
    """Return why a bundle's evidence is not that of this model's passed gate, or an empty text."""
    if record.gate != PASSED:
        return f"its gate's verdict is {record.gate!r}"
    if EVIDENCE_NAME not in record.evidence:
        return f"its record names no {EVIDENCE_NAME}"
    try:
        evidence = json.loads(files.get(EVIDENCE_NAME, b""))
        verdict, model = evidence["verdict"], evidence["model_sha256"]
    except (ValueError, TypeError, KeyError) as error:
        return f"its {EVIDENCE_NAME} cannot be read: {error!r}"
    if verdict != PASSED:
        return f"the verdict in its {EVIDENCE_NAME} is {verdict!r}"
    if model != record.model_sha256:
        return f"its {EVIDENCE_NAME} is about another model, {str(model)[:12]}"
    return ""
