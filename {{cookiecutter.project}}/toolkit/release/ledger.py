"""The ledger: releases, environments and approvals as git objects.

- a release is the annotated tag ``release/<version>`` on a commit whose tree is the bundle;
- an environment is the branch ``env/<name>``: each commit is an event, its tree the desired state;
- an approval is the annotated tag ``approval/<environment>/<version>/<e-mail address>``.

Reading writes no reference. On writing, the remote decides, where there is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from . import releases
from .errors import ArtifactGone, HeadMoved, HistoryCorrupt, PreconditionFailed, PushFailed
from .event import Event, event_of, message_of, new_id, now, one_line
from .git import LOCK_IS_TAKEN, REMOTE, GitFailed, Push
from .objects import Commit, Invalid, Objects
from .records import VERSION, Record
from .references import APPROVALS, BRANCHES, RELEASES, References
from .releases import Release

# Kept by an event beside the desired state, for its reader only.
CANARY = "canary.json"
NOT_DESIRED = (CANARY,)
# So long a rollback waits for the remote to take its lock, before it changes what serves.
PATIENCE_S = 2


@dataclass(frozen=True)
class Approval:
    """One person's approval of one release for one environment, a tag.

    Parameters
    ----------
    by : str
        ``Name <email>``, by the tag; only a signature proves it.
    digest : str
        The digest of the approved release, or empty.
    tag : str
        The tag object.
    target : str
        The commit that the tag names: the release's.
    time : datetime.datetime
        By the approver's clock.
    """

    by: str
    digest: str
    tag: str
    target: str
    time: datetime


def approval_of(objects: Objects, reference: str, sha: str) -> Approval:
    """Read an approval from its tag; `GitFailed` where that is not one."""
    tag = objects.tag(sha, reference)
    digests = [line for line in tag.message.split("\n") if line.startswith("Digest: ")]
    return Approval(
        by=tag.tagger.who,
        digest=digests[0].removeprefix("Digest: ") if len(digests) == 1 else "",
        tag=sha,
        target=tag.target,
        time=tag.tagger.time,
    )


def read_approvals(
    objects: Objects, tags: Iterable[tuple[str, str]]
) -> tuple[list[Approval], list[str]]:
    """Read approvals from references and their objects; return them, and which tags are none."""
    found, strays = [], []
    for name, sha in tags:
        try:
            found.append(approval_of(objects, name, sha))
        except GitFailed as error:
            tag = name.removeprefix("refs/tags/")
            strays.append(f"the tag {tag} is no approval: {error}")
    return found, strays


def address_of(person: str) -> str:
    """Return the e-mail address in ``Name <email>``, in lower case."""
    return person.rpartition("<")[2].rstrip(">").lower()


def _slug(person: str) -> str:
    """Return a person's e-mail address as part of a reference's name."""
    fit = re.sub(r"[^a-z0-9@._+-]", "-", address_of(person))
    return ".".join(part for part in fit.split(".") if part)


@dataclass(frozen=True)
class Ledger(References):
    """Releases, environments and approvals."""

    # Releases

    def versions(self) -> list[str]:
        """Return every version that was ever built, in no particular order."""
        known = {**self.local, **(self.remote or {})}
        named = [name.removeprefix(RELEASES) for name in known if name.startswith(RELEASES)]
        return [name for name in named if VERSION.fullmatch(name)]

    def versions_of(self, commit: str) -> list[str]:
        """Return the releases built from a commit."""
        return [version for version in self.versions() if version.startswith(commit[:12] + "-")]

    def record(self, version: str) -> Record:
        """Read a release's record; raises as `release`."""
        return self.release(version).record

    def release(self, version: str) -> Release:
        """Read a release; `ArtifactGone` without a tag, `HistoryCorrupt` if it is damaged."""
        return self._read(version, whole=False)[0]

    def bundle(self, version: str) -> dict[str, bytes]:
        """Return all files of a release, each checked against the record; raises as `release`."""
        return self._read(version, whole=True)[1]

    def _read(self, version: str, whole: bool) -> tuple[Release, dict[str, bytes]]:
        """Return a release, and where the whole of it is wanted its files."""
        tag = self._lookup(RELEASES + version)
        if tag is None:
            raise ArtifactGone(
                f"there is no release {version}",
                why=f"no tag release/{version} here or at {REMOTE}",
                state="nothing was changed",
                next_step="invoke history, or git tag --list 'release/*'",
            )
        try:
            with Objects(self.repository) as objects:
                release = releases.read(objects, version, tag)
                return release, releases.files_of(objects, release) if whole else {}
        except Invalid as error:
            raise HistoryCorrupt(
                f"the tag release/{version} is damaged, or was not made by invoke build",
                why=str(error),
                state="nothing was changed",
                next_step="commit, and build a new release; or choose another one",
            ) from None
        except GitFailed as error:
            raise HistoryCorrupt(
                f"release {version} cannot be read",
                why=str(error),
                state="nothing was changed",
                next_step=self._completing() or "git fsck; git fetch --tags",
            ) from None

    def add_release(self, record: Record, files: Mapping[str, bytes], message: str) -> None:
        """Write a release: its commit, the push, its tag; `PushFailed` leaves no tag.

        Both are signed where the repository signs.
        """
        tree = self.repository.write_tree(files)
        commit = self.repository.write_commit(tree, [record.commit], message)
        message += releases.trailer(files)
        self._add_tag(RELEASES + record.version, commit, message, self.repository.signs)

    def _add_tag(self, reference: str, commit: str, message: str, signed: bool) -> None:
        name = reference.removeprefix("refs/tags/")
        if not signed:
            self._publish(reference, self.repository.write_tag(name, commit, message))
            return
        try:
            tag = self.repository.write_signed_tag(name, commit, message)
        except GitFailed as error:
            kind = name.partition("/")[0]
            raise PreconditionFailed(
                f"the {kind} could not be signed",
                why=str(error),
                state="nothing was tagged",
                next_step="git config user.signingkey ~/.ssh/id_ed25519.pub, or your key's path",
            ) from None
        self._publish(reference, tag)

    def _publish(self, reference: str, tag: str) -> None:
        name = reference.removeprefix("refs/tags/")
        self.require_remote("nothing was tagged")
        try:
            if reference in self.local:
                raise HeadMoved(f"{name} is {self.local[reference]}")
            if self.remote is not None:
                self.repository.push({reference: tag})
            self.repository.swap_reference(reference, tag, None)
        except HeadMoved as error:
            raise PreconditionFailed(
                f"the tag {name} is already there",
                why=str(error),
                state="nothing was changed",
                next_step="run the command again, which reads the tag first",
            ) from None
        except GitFailed as error:
            raise PushFailed(
                f"the tag {name} could not be pushed",
                why=str(error),
                state="nothing was tagged",
                next_step="make sure that you may push tags, and run the command again",
            ) from None

    # Approvals

    def approvals(self, environment: str, version: str) -> tuple[list[Approval], list[str]]:
        """Return every approval of a release for an environment, and which tags are none."""
        prefix = f"{APPROVALS}{environment}/{version}/"
        names = {name for name in {**self.local, **(self.remote or {})} if name.startswith(prefix)}
        tags = ((name, self._lookup(name)) for name in sorted(names))
        with Objects(self.repository) as objects:
            return read_approvals(objects, ((name, sha) for name, sha in tags if sha))

    def add_approval(self, environment: str, record: Record, reason: str, signed: bool) -> None:
        """Write and push an approval of the release's digest, in the user's name."""
        commit = self.release(record.version).target
        subject = f"approve {record.version} for {environment}"
        message = f"{subject}\n\n{one_line(reason)}\n\nDigest: {record.digest}\n"
        reference = f"{APPROVALS}{environment}/{record.version}/{_slug(self.repository.actor())}"
        self._add_tag(reference, commit, message, signed)

    # Environments

    def head(self, environment: str) -> str | None:
        """Return the newest event commit of an environment, or None."""
        return self._lookup(BRANCHES + environment)

    def history(self, environment: str) -> list[Event]:
        """Return an environment's events, newest first, in the order of the commits."""
        return [event_of(sha, commit) for sha, commit in self._commits(environment)]

    def readable_history(self, environment: str) -> tuple[list[Event], list[str]]:
        """Return the events that can be read, and what is wrong with the others."""
        events, unreadable = [], []
        for sha, commit in self._commits(environment):
            try:
                events.append(event_of(sha, commit))
            except HistoryCorrupt as error:
                unreadable.append(error.what)
        return events, unreadable

    def newest(self, environment: str) -> Event | None:
        """Return an environment's newest event."""
        newest = self.newest_commit(environment)
        return event_of(*newest) if newest else None

    def newest_commit(self, environment: str) -> tuple[str, Commit] | None:
        """Return the newest commit of an environment, an event or not."""
        head = self.head(environment)
        if head is None:
            return None
        with self._reading(f"the history of env/{environment}") as objects:
            return head, objects.commit(head)

    def _commits(self, environment: str) -> list[tuple[str, Commit]]:
        """Return the commits of an environment; a history that is cut short is refused."""
        head = self.head(environment)
        if head is None:
            return []
        with self._reading(f"the history of env/{environment}") as objects:
            commits = objects.ancestry(head, self.cut_off)
        if commits[-1][0] in self.cut_off:
            raise self._incomplete(f"env/{environment}")
        return commits

    @contextmanager
    def _reading(self, what: str) -> Iterator[Objects]:
        """Read objects; one that is missing, damaged or strange raises `HistoryCorrupt`."""
        try:
            with Objects(self.repository) as objects:
                yield objects
        except GitFailed as error:
            raise HistoryCorrupt(
                f"{what} cannot be read",
                why=str(error),
                state="nothing was changed",
                next_step=self._completing() or "git fsck; or a fresh clone, if that is complete",
            ) from None

    def desired(self, commit: str) -> dict[str, bytes]:
        """Return the desired state of an event: the record and the manifests."""
        files = self._files(commit)
        return {name: content for name, content in files.items() if name not in NOT_DESIRED}

    def analysis(self, commit: str) -> dict[str, Any]:
        """Return the measurements of an event's canary, empty where there was none."""
        content = self._files(commit).get(CANARY)
        return json.loads(content) if content else {}

    def _files(self, commit: str) -> dict[str, bytes]:
        with self._reading(f"the state of event {commit[:12]}") as objects:
            return objects.files(objects.commit(commit).one("tree"))

    def append(self, environment: str, event: Event, files: Mapping[str, bytes]) -> str:
        """Write one event after those that were read, push it, and return the new head.

        Raises
        ------
        HeadMoved
            Another command was faster: nothing was written.
        PushFailed
            The remote does not answer or refuses: nothing was written.
        """
        self.require_remote(f"{environment} unchanged by this command")
        sha = self._write(environment, event, files)
        reference = BRANCHES + environment
        if self.remote is None:
            self.repository.swap_reference(reference, sha, self.local.get(reference))
            return sha
        self._push(environment, sha)
        self._follow(reference, sha)
        return sha

    def pay(self, environment: str) -> None:
        """Push the events that the remote lacks; `HeadMoved` and `PushFailed` as `append`."""
        self.require_remote(f"{environment} unchanged, and the push is still owed")
        self._push(environment, self.local[BRANCHES + environment])

    def _push(self, environment: str, sha: str) -> None:
        """Push a head of an environment, and all events before it."""
        reference = BRANCHES + environment
        try:
            self.repository.push({reference: sha})
        except GitFailed as error:
            if self._took(reference, sha):
                return
            raise PushFailed(
                f"the remote did not accept the event on env/{environment}",
                why=str(error),
                state=f"{environment} unchanged by this command",
                next_step=f"make sure that you may push to env/{environment}, and try again",
            ) from None

    def _follow(self, reference: str, sha: str) -> None:
        """Move the branch here after the remote has accepted it."""
        try:
            self.repository.set_reference(reference, sha)
        except GitFailed as error:
            # Another command of this clone may be moving it; a full disk is another matter.
            if LOCK_IS_TAKEN not in str(error):
                raise

    def _took(self, reference: str, sha: str) -> bool:
        """Return whether the remote has the object of a failed push: its answer may be lost."""
        try:
            return self.repository.remote_references(reference).get(reference) == sha
        except GitFailed:
            return False

    def append_owing(
        self, environment: str, event: Event, files: Mapping[str, bytes]
    ) -> tuple[str, str]:
        """Write one event as `append` does, or only here if the remote does not accept it.

        A rollback must not wait for a remote, and an outcome must be recorded.

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

    def append_going_on(
        self, environment: str, event: Event, files: Mapping[str, bytes]
    ) -> tuple[str, str, Push | None]:
        """Write one event as `append_owing` does, and wait for the remote only a moment.

        Returns
        -------
        sha, owed : str
            As `append_owing`.
        push : Push or None
            The push that is still under way: until it ends, the remote is not asked.
        """
        if self.remote is None:
            return *self.append_owing(environment, event, files), None
        sha, reference = self._write(environment, event, files), BRANCHES + environment
        push, owed = Push(self.repository, {reference: sha}), ""
        try:
            is_there = push.has_ended(PATIENCE_S)
        except GitFailed as error:
            is_there, owed = self._took(reference, sha), str(error)
        if is_there:
            self._follow(reference, sha)
            return sha, "", None
        self.repository.swap_reference(reference, sha, self.local.get(reference))
        if owed:
            return sha, owed, None
        self.repository.silence = f"{REMOTE} has not accepted a push within {PATIENCE_S} s"
        return sha, "", push

    def _write(self, environment: str, event: Event, files: Mapping[str, bytes]) -> str:
        """Store an event's commit; no reference points at it yet."""
        newest = self.newest_commit(environment)
        tree = self.repository.write_tree(files)
        message = message_of(environment, replace(event, id=event.id or new_id()))
        if newest is None:
            return self.repository.write_commit(tree, [], message, now())
        # No event is older than the one before it, whose clock may have been ahead.
        sha, commit = newest
        time = max(now(), commit.signed("committer").time)
        return self.repository.write_commit(tree, [sha], message, time)
