"""Removes the bytes of snapshots: those that nothing needs any more, or those that must be erased.

What git pins stays: the pointer of every branch, and that of the commit of every release.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ...errors import ConfigurationError
from ...reports import files as reports
from ..origin import Origin
from ..progress import say
from . import erasure, store
from . import pointer as pointers
from .pointer import Pointer

RELEASES = "refs/tags/release/"
REFS = ("refs/heads", "refs/remotes", RELEASES)
SHORTEST = 12


def prune(file: Path, origin: Origin, keep_days: int, is_meant: bool) -> None:
    """Remove the snapshots of this repository that are old and that nothing pins.

    Those of other repositories lie in the same cache, and are left alone.

    Parameters
    ----------
    file
        The pointer, data/snapshot.json.
    is_meant
        Whether to remove; else they are only listed.
    """
    known = _history(file)
    pinned = {one.sha256 for one in _pinned(file)}
    until = time.time() - keep_days * store.DAY_S
    remote = store.Remote(origin) if origin.remote else None
    old = set()
    for sha256, pointer in known.items():
        if sha256 in pinned:
            continue
        for place in (store.Cache(), remote):
            if place is not None and (written := place.written(sha256)) and written < until:
                old.add(sha256)
                say(f"{pointer.as_of}: {pointer.short}, {pointer.rows} customers: {place}")
                if is_meant:
                    place.remove(sha256)
    done = "removed" if is_meant else "would be removed: add --yes"
    say(f"{len(old)} of {len(known)} snapshots {done}; {len(pinned)} are pinned")


def erase(file: Path, origin: Origin, content: str, reason: str) -> None:
    """Remove a snapshot everywhere, pinned or not, and write down that it was erased."""
    if len(content) < SHORTEST or not reason.strip():
        raise ConfigurationError(
            f"--forget {content}: twelve or more characters of a content, and --reason, are needed",
            "take the content from data/snapshot.json or a release's record",
        )
    meant = [one for one in _history(file).values() if one.content_sha256.startswith(content)]
    if len({one.content_sha256 for one in meant}) != 1:
        raise ConfigurationError(
            f"--forget {content}: {len(meant)} snapshots in git's history have such a content",
            f"give the whole content, as git log -p {file} shows it",
        )
    remote = store.Remote(origin) if origin.remote else None
    for one in meant:
        store.Cache().remove(one.sha256)
        if remote is not None:
            remote.remove(one.sha256)
    done = erasure.Erasure(meant[0].content_sha256, datetime.now(UTC).date().isoformat(), reason)
    entries = [*erasure.load(file), done]
    place = file.with_name(erasure.FILE)
    text = json.dumps([asdict(one) for one in entries], indent=2, ensure_ascii=False)
    reports.write_bytes(place, f"{text}\n".encode())
    say(f"{place}: {done.content_sha256[:12]} is erased here and at the remote: commit this file")
    say("other machines may have it in their caches: let them run nox -s snapshot -- --forget too")


def _history(file: Path) -> dict[str, Pointer]:
    """Return every pointer that this repository's history has had, by the digest of its bytes."""
    if _git("rev-parse", "--is-shallow-repository").strip() != "false":
        raise ConfigurationError(
            "this clone is shallow: what its history pins cannot be seen",
            "git fetch --unshallow --tags",
        )
    commits = _git("log", "--all", "--format=%H", "--", str(file)).split()
    found = [_shown(commit, file) for commit in commits]
    return {one.sha256: one for one in (*found, *_here(file)) if one}


def _pinned(file: Path) -> Iterator[Pointer]:
    """Yield the pointers of all branches, of the commits of all releases, and of this folder."""
    for ref in _git("for-each-ref", "--format=%(refname)", *REFS).split():
        # A release stands on the commit that it was built from.
        if one := _shown(f"{ref}^" if ref.startswith(RELEASES) else ref, file):
            yield one
    yield from _here(file)


def _here(file: Path) -> list[Pointer]:
    return [pointers.load(file)] if file.exists() else []


def _shown(revision: str, file: Path) -> Pointer | None:
    """Return the pointer of a commit; None where it has none, or one of another time."""
    try:
        content = _git("show", f"{revision}:./{file}")
        return TypeAdapter(Pointer).validate_json(content, strict=True)
    except (subprocess.CalledProcessError, ValidationError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout
