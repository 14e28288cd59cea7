"""The ledger: releases, environments and approvals as git objects.

- a release is the annotated tag ``release/<version>`` on a commit whose tree is the bundle;
- an environment is the branch ``env/<name>``: one commit an event, its tree the desired state;
- an approval is the annotated tag ``approval/<environment>/<version>``.

Reading writes no reference. With an ``origin`` the remote is asked first, and on writing it
decides.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from .errors import ArtifactGone, HeadMoved, HistoryCorrupt, PreconditionFailed, PushFailed
from .git import REMOTE, GitFailed, Repository
from .records import FILE_NAME, Record, parse

BRANCHES = "refs/heads/env/"
RELEASES = "refs/tags/release/"
APPROVALS = "refs/tags/approval/"
PREFIXES = (BRANCHES, RELEASES, APPROVALS)

PENDING, VERIFIED, FAILED, ROLLED_BACK, ABORTED = (
    "pending",
    "verified",
    "failed",
    "rolled-back",
    "aborted",
)

# git prints these between fields, trailers and commits; no name or reason may hold one of them.
FIELD, TRAILER, COMMIT = "\x1f", "\x1e", "\x1d"


@dataclass(frozen=True)
class Event:
    """One entry of an environment's history, a commit on its branch.

    Parameters
    ----------
    kind : str
        promote, rollback or recover.
    release, digest : str
        What the event is about.
    outcome : str
        pending, verified, failed, rolled-back or aborted.
    previous : str
        The release that served before, or empty.
    id : str
        What tells this event from another one like it: without it two commands of one person in one
        second would write the same commit, and both would believe that they hold the lock.
    """

    kind: str
    release: str
    digest: str
    outcome: str
    previous: str = ""
    actor: str = ""
    approved_by: str = ""
    gate: str = ""
    reason: str = ""
    lease_until: str = ""
    duration_s: str = ""
    caused_by: str = ""
    id: str = ""
    time: str = ""
    sha: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether this event still waits for its outcome: then it is the environment's lock."""
        return self.outcome == PENDING

    def lease_has_run_out(self) -> bool:
        """Whether whoever wrote this pending event counts as dead."""
        return datetime.fromisoformat(self.lease_until) < datetime.now(UTC)


TRAILERS = {
    "Event": "kind",
    "Release": "release",
    "Digest": "digest",
    "Outcome": "outcome",
    "From": "previous",
    "Actor": "actor",
    "Approved-by": "approved_by",
    "Gate-verdict": "gate",
    "Reason": "reason",
    "Lease-until": "lease_until",
    "Duration-s": "duration_s",
    "Caused-by": "caused_by",
    "Event-id": "id",
}


def lease(seconds: int) -> str:
    """Return the time until which a pending event beginning now is believed, in UTC."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Ledger:
    """What git says now, merged from this repository and its remote.

    Parameters
    ----------
    repository : Repository
    local, remote : mapping of str to str
        ``{reference: object}``; ``remote`` is None where there is none or it does not answer.
    unreachable : str
        Why the remote does not answer, or empty.
    """

    repository: Repository
    local: Mapping[str, str]
    remote: Mapping[str, str] | None
    unreachable: str = ""

    @classmethod
    def open(cls, repository: Repository) -> Ledger:
        """Read every reference of the ledger, here and at the remote."""
        local = repository.local_references(*PREFIXES)
        if not repository.has_remote:
            return cls(repository, local, None)
        try:
            remote = repository.remote_references(*(prefix + "*" for prefix in PREFIXES))
            repository.fetch_objects(remote)
        except GitFailed as error:
            return cls(repository, local, None, unreachable=str(error))
        return cls(repository, local, remote)

    def require_remote(self, state: str) -> None:
        """Refuse to go on while the remote that decides cannot be asked."""
        if self.unreachable:
            raise PushFailed(
                f"the git remote {REMOTE} does not answer",
                why=self.unreachable,
                state=state,
                next_step="try again when it is back; only a rollback goes on without it",
            )

    def _lookup(self, reference: str) -> str | None:
        """Find a reference; of a branch that both know, the one that contains the other."""
        here = self.local.get(reference)
        there = (self.remote or {}).get(reference)
        if here is None or there is None or here == there:
            return there or here
        if not reference.startswith(BRANCHES) or self.repository.is_ancestor(here, there):
            return there
        if self.repository.is_ancestor(there, here):
            return here
        name = reference.removeprefix("refs/heads/")
        raise HistoryCorrupt(
            f"two histories of {name}",
            why=f"{name} here ({here[:12]}) and at {REMOTE} ({there[:12]}) have parted",
            state="nothing was changed",
            next_step=f"git log --oneline --graph {name} {REMOTE}/{name}; keep the true one",
        )

    # Releases

    def versions(self) -> list[str]:
        """Return every version that was ever built, in no order."""
        known = {**self.local, **(self.remote or {})}
        return [name.removeprefix(RELEASES) for name in known if name.startswith(RELEASES)]

    def versions_of(self, commit: str) -> list[str]:
        """Return the releases built from a commit."""
        return [version for version in self.versions() if version.startswith(commit[:12] + "-")]

    def record(self, version: str) -> Record:
        """Read a release's record; `ArtifactGone` without a tag, `HistoryCorrupt` if damaged."""
        files = self._release_files(version, (FILE_NAME,))
        return self._parse(version, files)

    def bundle(self, version: str) -> dict[str, bytes]:
        """Return all files of a release, each proved against the record."""
        files = self._release_files(version, None)
        damage = self._parse(version, files).damage(files)
        if damage:
            raise HistoryCorrupt(
                f"the bundle of release {version} is damaged",
                why=damage,
                state="nothing was changed",
                next_step="build it again from its commit, or choose another release",
            )
        return files

    def _parse(self, version: str, files: Mapping[str, bytes]) -> Record:
        record = parse(files.get(FILE_NAME, b""), f"the tag release/{version}")
        if record.version != version:
            raise HistoryCorrupt(
                f"the tag release/{version} holds release {record.version}",
                state="nothing was changed",
                next_step="delete the tag and build the release again from its commit",
            )
        return record

    def _release_files(self, version: str, names: Sequence[str] | None) -> dict[str, bytes]:
        tag = self._lookup(RELEASES + version)
        if tag is None:
            raise ArtifactGone(
                f"there is no release {version}",
                why=f"no tag release/{version} here or at {REMOTE}",
                state="nothing was changed",
                next_step="invoke history, or git tag --list 'release/*'",
            )
        try:
            if names is None:
                return self.repository.read_tree(tag + "^{tree}")
            return {
                name: self.repository.read("cat-file", "blob", f"{tag}:{name}") for name in names
            }
        except GitFailed as error:
            raise HistoryCorrupt(
                f"release {version} cannot be read",
                why=str(error),
                state="nothing was changed",
                next_step="git fsck; git fetch --tags",
            ) from None

    def add_release(self, record: Record, files: Mapping[str, bytes], message: str) -> None:
        """Write a release: its commit, the push, its tag; `PushFailed` leaves no tag."""
        tree = self.repository.write_tree(files)
        commit = self.repository.write_commit(tree, [record.commit], message)
        self._add_tag(RELEASES + record.version, commit, message)

    def _add_tag(self, reference: str, commit: str, message: str) -> None:
        name = reference.removeprefix("refs/tags/")
        tag = self.repository.write_tag(name, commit, message)
        self.require_remote("nothing was tagged")
        try:
            if self.remote is not None:
                self.repository.push({reference: tag})
            self.repository.swap_reference(reference, tag, self.local.get(reference))
        except HeadMoved as error:
            raise PreconditionFailed(
                f"the tag {name} is already there",
                why=str(error),
                state="nothing was changed",
                next_step="run the command again: it reads what is there now",
            ) from None
        except GitFailed as error:
            raise PushFailed(
                f"the tag {name} could not be pushed",
                why=str(error),
                state="nothing was tagged",
                next_step="see that you may push tags, and run the command again",
            ) from None

    # Approvals

    def approval(self, environment: str, record: Record) -> str | None:
        """Return who approved exactly this release for this environment, or None."""
        tag = self._lookup(f"{APPROVALS}{environment}/{record.version}")
        if tag is None:
            return None
        text = self.repository.run("cat-file", "tag", tag)
        header, _, message = text.partition("\n\n")
        if f"Digest: {record.digest}" not in message.splitlines():
            return None
        tagger = next(line for line in header.splitlines() if line.startswith("tagger "))
        return tagger.removeprefix("tagger ").rsplit(" ", 2)[0]

    def add_approval(self, environment: str, record: Record, reason: str) -> None:
        """Write and push an approval that names the release's digest."""
        tag = self._lookup(RELEASES + record.version)
        commit = self.repository.run("rev-parse", f"{tag}" + "^{commit}")
        subject = f"approve {record.version} for {environment}"
        message = f"{subject}\n\n{_one_line(reason)}\n\nDigest: {record.digest}\n"
        self._add_tag(f"{APPROVALS}{environment}/{record.version}", commit, message)

    # Environments

    def head(self, environment: str) -> str | None:
        """Return the newest event commit of an environment, or None."""
        return self._lookup(BRANCHES + environment)

    def history(self, environment: str) -> list[Event]:
        """Return an environment's events, newest first, as the chain orders them, not clocks."""
        head = self.head(environment)
        if head is None:
            return []
        layout = FIELD.join(("%H", "%cI", f"%(trailers:only,unfold,separator={TRAILER})"))
        listed = self.repository.read("log", "--first-parent", f"--format={layout}{COMMIT}", head)
        # No plain strip: Python counts the separators themselves as white space.
        entries = (entry.strip("\n") for entry in listed.decode("utf-8", "replace").split(COMMIT))
        return [_event(entry) for entry in entries if entry]

    def desired(self, commit: str) -> dict[str, bytes]:
        """Return the desired state that an event holds: the record and the manifests."""
        return self.repository.read_tree(commit)

    def append(self, environment: str, event: Event, files: Mapping[str, bytes]) -> str:
        """Write one event on top of what was read, push it, and return the new head.

        Raises
        ------
        HeadMoved
            When somebody else wrote first: nothing was written.
        PushFailed
            When the remote is silent or refuses: nothing was written.
        """
        self.require_remote(f"{environment} unchanged by this command")
        sha = self._write(environment, event, files)
        reference = BRANCHES + environment
        if self.remote is None:
            self.repository.swap_reference(reference, sha, self.local.get(reference))
            return sha
        try:
            self.repository.push({reference: sha})
        except GitFailed as error:
            raise PushFailed(
                f"the remote did not take the event on env/{environment}",
                why=str(error),
                state=f"{environment} unchanged by this command",
                next_step=f"see that you may push to env/{environment}, and run the command again",
            ) from None
        # The remote has decided; the branch here is only its copy now.
        self.repository.set_reference(reference, sha)
        return sha

    def append_owing(
        self, environment: str, event: Event, files: Mapping[str, bytes]
    ) -> tuple[str, str]:
        """Write one event as `append` does, here alone if the remote does not take it.

        A rollback must not wait for a remote, and what has happened must be written down.

        Returns
        -------
        sha : str
            The new head.
        owed : str
            Why the push is still owed, or empty.
        """
        try:
            return self.append(environment, event, files), ""
        except PushFailed as error:
            sha = self._write(environment, event, files)
            reference = BRANCHES + environment
            self.repository.swap_reference(reference, sha, self.local.get(reference))
            return sha, error.why

    def _write(self, environment: str, event: Event, files: Mapping[str, bytes]) -> str:
        """Store an event's commit; no reference points at it yet."""
        parent = self.head(environment)
        tree = self.repository.write_tree(files)
        message = _message(environment, replace(event, id=uuid.uuid4().hex))
        return self.repository.write_commit(tree, [parent] if parent else [], message)


def _one_line(text: str) -> str:
    """Fold a text so that it cannot end a trailer or forge another one."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _message(environment: str, event: Event) -> str:
    lines = [f"{event.kind} {event.release or 'nothing'} in {environment}: {event.outcome}", ""]
    for trailer, attribute in TRAILERS.items():
        value = _one_line(getattr(event, attribute))
        if value:
            lines.append(f"{trailer}: {value}")
    return "\n".join(lines) + "\n"


def _event(entry: str) -> Event:
    sha, when, trailers = entry.split(FIELD)
    values = {}
    for trailer in trailers.split(TRAILER):
        key, _, value = trailer.partition(": ")
        if key in TRAILERS:
            values[TRAILERS[key]] = value.strip()
    try:
        return Event(**values, time=when, sha=sha)
    except TypeError as error:
        raise HistoryCorrupt(
            f"the commit {sha[:12]} is not a release event",
            why=str(error),
            state="nothing was changed",
            next_step=f"git show {sha[:12]}; only the release machine writes to env/ branches",
        ) from None
