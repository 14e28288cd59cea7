"""The ledger: releases, environments and approvals as git objects.

- a release is the annotated tag ``release/<version>`` on a commit whose tree is the bundle;
- an environment is the branch ``env/<name>``: one commit an event, its tree the desired state;
- an approval is the annotated tag ``approval/<environment>/<version>/<e-mail address>``.

Reading writes no reference. With an ``origin`` the remote is asked first, and on writing it
decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from .errors import ArtifactGone, HeadMoved, HistoryCorrupt, PreconditionFailed, PushFailed
from .event import LAYOUT, Event, event_of, message_of, new_id, one_line
from .git import REMOTE, GitFailed, Repository
from .records import FILE_NAME, Record, parse

BRANCHES = "refs/heads/env/"
RELEASES = "refs/tags/release/"
APPROVALS = "refs/tags/approval/"
PREFIXES = (BRANCHES, RELEASES, APPROVALS)

# What an event keeps beside the desired state: it tells how it went, and serves nothing.
CANARY = "canary.json"
NOT_DESIRED = (CANARY,)


@dataclass(frozen=True)
class Approval:
    """One person's word for one release in one environment, a tag.

    Parameters
    ----------
    by : str
        ``Name <email>``, as the tag says; only a signature proves it.
    digest : str
        The digest of the release that was meant, or empty.
    tag : str
        The tag object.
    """

    by: str
    digest: str
    tag: str


def approval_of(tag: str, text: str) -> Approval:
    """Read an approval from the text of its tag."""
    header, _, message = text.partition("\n\n")
    told = dict(line.split(" ", 1) for line in header.splitlines())
    digests = [line for line in message.splitlines() if line.startswith("Digest: ")]
    return Approval(
        by=told["tagger"].rsplit(" ", 2)[0],
        digest=digests[0].removeprefix("Digest: ") if digests else "",
        tag=tag,
    )


def address_of(person: str) -> str:
    """Return the e-mail address in ``Name <email>``, in small letters."""
    return person.rpartition("<")[2].rstrip(">").lower()


def _slug(person: str) -> str:
    """Return somebody's e-mail address as a reference's name may hold it."""
    fit = re.sub(r"[^a-z0-9@._+-]", "-", address_of(person))
    return ".".join(part for part in fit.split(".") if part)


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
        self._publish(reference, self.repository.write_tag(name, commit, message))

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

    def approvals(self, environment: str, version: str) -> list[Approval]:
        """Return every approval of a release for an environment, whether it counts or not."""
        tags = self.approval_tags(environment, version)
        return [approval_of(tag, self.repository.run("cat-file", "tag", tag)) for tag in tags]

    def approval_tags(self, environment: str, version: str) -> list[str]:
        """Return the tag of each of them."""
        prefix = f"{APPROVALS}{environment}/{version}/"
        names = {name for name in {**self.local, **(self.remote or {})} if name.startswith(prefix)}
        tags = [self._lookup(name) for name in sorted(names)]
        return [tag for tag in tags if tag]

    def add_approval(self, environment: str, record: Record, reason: str, signed: bool) -> None:
        """Write and push an approval that names the release's digest, in the user's name."""
        release = self._lookup(RELEASES + record.version)
        commit = self.repository.run("rev-parse", f"{release}" + "^{commit}")
        subject = f"approve {record.version} for {environment}"
        message = f"{subject}\n\n{one_line(reason)}\n\nDigest: {record.digest}\n"
        reference = f"{APPROVALS}{environment}/{record.version}/{_slug(self.repository.actor())}"
        if not signed:
            self._add_tag(reference, commit, message)
            return
        name = reference.removeprefix("refs/tags/")
        try:
            tag = self.repository.write_signed_tag(name, commit, message)
        except GitFailed as error:
            raise PreconditionFailed(
                "the approval could not be signed",
                why=str(error),
                state="nothing was tagged",
                next_step="git config user.signingkey ~/.ssh/id_ed25519.pub, or where your key is",
            ) from None
        self._publish(reference, tag)

    # Environments

    def head(self, environment: str) -> str | None:
        """Return the newest event commit of an environment, or None."""
        return self._lookup(BRANCHES + environment)

    def history(self, environment: str) -> list[Event]:
        """Return an environment's events, newest first, as the chain orders them, not clocks."""
        head = self.head(environment)
        if head is None:
            return []
        return [event_of(entry) for entry in self.entries(head)]

    def entries(self, head: str) -> list[str]:
        """Return what git tells of each commit up to ``head``, newest first, for `event_of`."""
        listed = self.repository.read("log", "-z", "--first-parent", f"--format={LAYOUT}", head)
        return listed.decode("utf-8", "replace").split("\0")[:-1]

    def desired(self, commit: str) -> dict[str, bytes]:
        """Return the desired state that an event holds: the record and the manifests."""
        files = self.repository.read_tree(commit)
        return {name: content for name, content in files.items() if name not in NOT_DESIRED}

    def trial(self, commit: str) -> dict[str, Any]:
        """Return what the canary of an event measured, or nothing where there was none."""
        content = self.repository.read_tree(commit).get(CANARY)
        return json.loads(content) if content else {}

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
            if self._took(reference, sha):
                self._follow(reference, sha)
                return sha
            raise PushFailed(
                f"the remote did not take the event on env/{environment}",
                why=str(error),
                state=f"{environment} unchanged by this command",
                next_step=f"see that you may push to env/{environment}, and run the command again",
            ) from None
        self._follow(reference, sha)
        return sha

    def _follow(self, reference: str, sha: str) -> None:
        """Move the branch here after the remote has decided: it is only its copy then."""
        with suppress(GitFailed):  # another command of this clone may hold the reference's lock
            self.repository.set_reference(reference, sha)

    def _took(self, reference: str, sha: str) -> bool:
        """Tell whether the remote has what a push that failed sent: its answer may be lost."""
        try:
            return self.repository.remote_references(reference).get(reference) == sha
        except GitFailed:
            return False

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
        message = message_of(environment, replace(event, id=event.id or new_id()))
        return self.repository.write_commit(tree, [parent] if parent else [], message)
