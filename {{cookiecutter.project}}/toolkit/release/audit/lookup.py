"""What the rules of the audit need: chains, releases and policies, each read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from .. import releases
from ..approvals import case_of, sort
from ..checks import PASSED, verdicts
from ..completeness import DOCUMENTS
from ..errors import HistoryCorrupt
from ..git import GitFailed
from ..ledger import Ledger, read_approvals
from ..objects import Invalid, Objects
from ..policy import ApprovalPolicy, Environment, Policy
from ..policy_file import at_commit, deciding_commit
from ..records import EVIDENCE_NAME, Record
from ..references import APPROVALS, RELEASES
from ..releases import Release
from ..signing import Signing
from .chain import Chain


@dataclass(frozen=True)
class Checked:
    """A release, as its tag holds it.

    Parameters
    ----------
    release : Release or None
        None where it cannot be read.
    documents : mapping of str to bytes
        About its image and its scan, those that it has.
    damage : str
        How it differs from what was released, or empty.
    ungated : str
        Why its evidence is not that of a passed gate, or empty.
    """

    release: Release | None
    documents: Mapping[str, bytes]
    damage: str = ""
    ungated: str = ""

    @property
    def record(self) -> Record | None:
        """Its record, None where it cannot be read."""
        return self.release.record if self.release else None


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
    _releases: dict[str, Checked] = field(default_factory=dict)
    _tagged: dict[str, tuple[Release | None, str]] = field(default_factory=dict)
    _policies: dict[str, Policy] = field(default_factory=dict)
    _unsigned: dict[str, dict[str, str]] = field(default_factory=dict)
    _verdicts: dict[str, dict[str, list[tuple[datetime, bool]]]] = field(default_factory=dict)

    def release(self, version: str) -> Checked:
        """Return a release as its tag holds it, with all its files, read and checked once."""
        if version not in self._releases:
            self._releases[version] = self._read_whole(version)
        return self._releases[version]

    def _read_whole(self, version: str) -> Checked:
        release, damage = self.tagged(version)
        if release is None:
            return Checked(None, {}, damage)
        try:
            files = releases.files_of(self.objects, release)
        except GitFailed as error:
            return Checked(release, {}, str(error))
        documents = {name: files[name] for name in DOCUMENTS if name in files}
        return Checked(release, documents, "", _ungated(release.record, files))

    def tagged(self, version: str) -> tuple[Release | None, str]:
        """Return a release but for the content of its files, or how its tag is none."""
        if version not in self._tagged:
            self._tagged[version] = self._read_tag(version)
        return self._tagged[version]

    def _read_tag(self, version: str) -> tuple[Release | None, str]:
        name = RELEASES + version
        here, there = self.ledger.local.get(name), (self.ledger.remote or {}).get(name)
        tag = here or there
        if tag is None:
            return None, f"there is no tag release/{version}"
        if self.ledger.remote is not None and here and here != there:
            other = f"another one, {there[:12]}" if there else "none"
            return None, f"the tag release/{version} is {tag[:12]}, origin has {other}"
        try:
            return releases.read(self.objects, version, tag), ""
        except Invalid as error:
            return None, f"the tag release/{version} is not that of a release: {error}"
        except GitFailed as error:
            return None, f"its bundle cannot be read: {error}"
        except HistoryCorrupt as error:
            return None, f"{error.what}: {error.why}"

    @cached_property
    def merged(self) -> frozenset[str]:
        """Every commit of the default branch."""
        anchor = self.ledger.anchor
        listed = self.ledger.repository.run("rev-list", anchor).split() if anchor else []
        return frozenset(listed)

    def policy_of(self, record: Record) -> Policy:
        """Return the policy that counts for a release; today's where that cannot be read.

        So a policy that was relaxed only for one release's way to production is found.
        """
        commit = deciding_commit(record, self.ledger.anchor, record.commit in self.merged)
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
        self, environment: str, release: Release, policy: ApprovalPolicy, base: str, when: datetime
    ) -> tuple[list[str], list[str]]:
        """Return who has approved a release, by today's tags, and why others do not count.

        Parameters
        ----------
        base : str
            The version that it has replaced, or empty.
        when : datetime.datetime
            When it was promoted: a key must have been listed then.
        """
        tags = self.tags.get(f"{environment}/{release.record.version}", ())
        found, strays = read_approvals(self.objects, tags)
        replaced = self.release(base).record if base else None
        commits = (release.record.commit, self.ledger.anchor_at(when) or release.record.commit)
        try:
            case = case_of(
                *(self.ledger.repository, self.objects, release, policy),
                *(replaced.commit if replaced else None, self.policy_of(release.record).schema),
                commits,
            )
        except GitFailed as error:
            return [], [f"who wrote the release cannot be read: {error}"]
        approvers, others = sort(self.ledger.repository, found, case)
        return approvers, others + strays

    @cached_property
    def tags(self) -> dict[str, list[tuple[str, str]]]:
        """Return ``{environment/version: [(reference, object)]}`` of all tags of approvals."""
        found: dict[str, list[tuple[str, str]]] = {}
        for name, sha in sorted({**self.ledger.local, **(self.ledger.remote or {})}.items()):
            if name.startswith(APPROVALS):
                of = name.removeprefix(APPROVALS).rpartition("/")[0]
                found.setdefault(of, []).append((name, sha))
        return found

    @cached_property
    def signing(self) -> Signing:
        """What is asked of signatures."""
        return Signing(self.ledger, self.policy, self.objects)

    def unsigned(self, chain: Chain) -> dict[str, str]:
        """Return why events of an environment count for nothing, by their commits."""
        name = chain.environment
        if name not in self._unsigned:
            self._unsigned[name] = self.signing.of_events(reversed(chain.events()))
        return self._unsigned[name]

    def was_bad(self, chain: Chain, version: str, when: datetime) -> bool:
        """Return whether an environment's last verdict on a release, at a time, was that."""
        name = chain.environment
        if name not in self._verdicts:
            found = self._verdicts[name] = {}
            for event in reversed(chain.events()):
                if event.sha in self.unsigned(chain):
                    continue
                time = datetime.fromisoformat(event.time)
                for judged, bad in verdicts(event):
                    found.setdefault(judged, []).append((time, bad))
        told = self._verdicts[name].get(version, [])
        return next((bad for time, bad in reversed(told) if time <= when), False)

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
