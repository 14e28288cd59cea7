"""Finds tags that look like those of releases and approvals, and are none."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import HistoryCorrupt
from ..git import GitFailed
from ..ledger import approval_of
from ..records import VERSION
from ..references import APPROVALS, RELEASES
from .finding import Finding
from .lookup import Lookup


def strays(lookup: Lookup) -> tuple[Finding, ...]:
    """Return each tag that the release machine has not made, and how it shows.

    A release that was deployed is left out: its tag, and all files, are checked there.
    """
    known = {**lookup.ledger.local, **(lookup.ledger.remote or {})}
    return tuple(
        Finding("", sha, "", "tag", f"{name.removeprefix('refs/tags/')}: {complaint}")
        for name, sha in sorted(known.items())
        for complaint in _complaints(lookup, name, sha)
    )


def _complaints(lookup: Lookup, name: str, sha: str) -> Iterator[str]:
    if name.startswith(RELEASES):
        version = name.removeprefix(RELEASES)
        if not VERSION.fullmatch(version):
            yield "that is no version"
        elif not any(version in chain.deployments for chain in lookup.chains.values()):
            release, damage = lookup.tagged(version)
            if damage:
                yield damage
            elif release and (unsigned := lookup.signing.complaint(sha, release.tagged)):
                yield f"it counts for nothing: {unsigned}"
    elif name.startswith(APPROVALS):
        try:
            approval = approval_of(lookup.objects, name, sha)
            environment, version = name.removeprefix(APPROVALS).split("/")[:2]
            release, _ = lookup.tagged(version)
            if release and approval.digest != release.record.digest:
                digest = release.record.digest
                yield f"it approves {approval.digest or 'no digest'}, the release has {digest}"
        except (GitFailed, HistoryCorrupt, ValueError) as error:
            yield str(error)
