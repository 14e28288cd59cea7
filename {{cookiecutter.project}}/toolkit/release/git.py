"""Git as a store of objects and references; the working tree and the index stay untouched."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from . import signing_key
from .errors import HeadMoved, PreconditionFailed
from .login import HIDDEN_LOGIN, by_rule, login_in, without_credentials

REMOTE = "origin"
ANSWER_TIMEOUT_S = 15
NETWORK_TIMEOUT_S = 60
# A remote that has failed after as long is asked nothing more by the same command.
LONG_S = 5
# Git compares each name of a fetch with each of the remote.
FETCHED_AT_ONCE = 1000
# Whose fetch can leave FETCH_HEAD alone; and which takes settings from variables.
OLDEST, WITH_LOGIN = (2, 29), (2, 31)

# Git's messages when the remote's reference is not the one that this push builds on.
MOVED_ON = re.compile(
    "non-fast-forward|fetch first|already exists|failed to update ref|cannot lock ref"
)

# Git's message when another git moves the same reference at the same moment.
LOCK_IS_TAKEN = "File exists"

# Git's message where the repository's files belong to somebody else.
ANOTHER_OWNER = "dubious ownership"

# What a person or a CI machine has set for other uses must not change what is read or written, nor
# may a hook for commits and pushes of code decide about an event.
PINNED = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "log.showSignature=false",
    "push.followTags=false",
    "push.gpgSign=false",
    "push.pushOption=",
    "push.recurseSubmodules=no",
    "fetch.prune=false",
    "fetch.recurseSubmodules=no",
    # Every object is checked where it is read. Here one that somebody has pushed would end the
    # whole fetch, and with it every command.
    "fetch.fsckObjects=false",
)
SETTINGS = tuple(part for setting in PINNED for part in ("-c", setting))
# A trace could print the remote's login.
DROPPED = re.compile(
    "GIT_(AUTHOR_DATE|COMMITTER_DATE|DIR|WORK_TREE|COMMON_DIR|INDEX_FILE|NAMESPACE|OBJECT_DIRECTORY"
    "|ALTERNATE_OBJECT_DIRECTORIES|CONFIG|SHALLOW_FILE|CURL_VERBOSE|TRACE(?!2).*)$"
)
# In a text for what is no UTF-8: such a name cannot be given back to git.
UNREADABLE = "\ufffd"

# Whatever else the user signs, and with what: events and tags are signed by ssh keys.
BY_SSH = ("-c", "gpg.format=ssh")
# And they are verified by ssh's own program, whatever signs for the user, and by the keys that are
# given to it alone.
VERIFIED = (
    *("-c", "gpg.ssh.program=ssh-keygen", "-c", "gpg.minTrustLevel=undefined"),
    *("-c", f"gpg.ssh.revocationFile={os.devnull}"),
)
SIGNATURE = b"-----BEGIN SSH SIGNATURE-----"
GOOD_SIGNATURE = re.compile(r'^Good "git" signature for (\S+) with ', re.MULTILINE)


class GitFailed(Exception):
    """A git command did not exit with 0; the text is its message."""


def _environment() -> dict[str, str]:
    """Return git's environment: no prompts, English messages, no replaced objects or parents.

    Neither the dates of an event nor the place of the repository are taken from variables.
    """
    own = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    own |= {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}
    return {name: value for name, value in os.environ.items() if not DROPPED.match(name)} | own


@dataclass
class Repository:
    """A git repository on this machine.

    Parameters
    ----------
    root : pathlib.Path
        The top of its working tree.
    silence : str
        Why the remote did not answer, or empty. It is not asked again: a rollback waits for a dead
        remote once, not at every step.
    is_lost : bool
        Whether that silence took long: then the end of the command does not ask again either.
    completed : mapping of str to str
        The references of which a partial clone has everything that a rollback may need.
    signs : bool
        Whether commits and release tags are signed.
    key : str
        The key to sign with, as `signing_key.written` takes it. Empty: that of
        ``user.signingkey``.
    """

    root: Path
    silence: str = field(default="", compare=False)
    is_lost: bool = field(default=False, compare=False)
    completed: Mapping[str, str] = field(default_factory=dict, compare=False)
    signs: bool = False
    key: str = field(default="", repr=False)

    @classmethod
    def containing(cls, directory: Path) -> Repository:
        """Find the repository around ``directory``; `PreconditionFailed` where there is none."""
        try:
            top = Repository(directory).run("rev-parse", "--show-toplevel")
        except GitFailed as error:
            next_step = "git init -b main, commit, and try again: git is the release ledger"
            what = f"{directory} is not in a git repository"
            if ANOTHER_OWNER in str(error):
                what = f"git does not read the repository of {directory}: another user owns it"
                next_step = f"git config --global --add safe.directory {directory}"
            raise PreconditionFailed(
                what, why=str(error), state="nothing was changed", next_step=next_step
            ) from None
        repository = cls(Path(top))
        if repository.version < OLDEST:
            raise PreconditionFailed(
                f"git {_dotted(repository.version)} is too old for the release ledger",
                why=f"it needs git {_dotted(OLDEST)} or newer: options of its fetch",
                state="nothing was changed",
                next_step="install a newer git, and make sure that git --version shows it",
            )
        return repository

    @cached_property
    def version(self) -> tuple[int, ...]:
        """The version of git, as (2, 39)."""
        found = re.search(r"(\d+)\.(\d+)", self.run("version"))
        return tuple(int(part) for part in found.groups()) if found else OLDEST

    def run(self, *arguments: str, stdin: bytes = b"", timeout_s: float | None = None) -> str:
        """Run one git command and return what it printed, stripped; `GitFailed` if it fails."""
        return (
            self.read(*arguments, stdin=stdin, timeout_s=timeout_s)
            .decode("utf-8", "replace")
            .strip()
        )

    def read(self, *arguments: str, stdin: bytes = b"", timeout_s: float | None = None) -> bytes:
        """Run one git command and return its bytes; `GitFailed` if it fails."""
        return self._done(arguments, stdin, timeout_s).stdout

    def _done(
        self,
        arguments: Sequence[str],
        stdin: bytes = b"",
        timeout_s: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            done = subprocess.run(
                ["git", *SETTINGS, *arguments],
                cwd=self.root,
                env=_environment() | self._login_for(arguments) | dict(environment or {}),
                input=stdin,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GitFailed(f"git {arguments[0]} did not answer within {timeout_s:.0f} s") from None
        except FileNotFoundError as error:
            raise GitFailed(f"git or the folder {self.root} is missing: {error}") from None
        if done.returncode:
            message = done.stderr.decode("utf-8", "replace").strip()
            raise GitFailed(
                without_credentials(message) or f"git {arguments[0]} exited {done.returncode}"
            )
        return done

    def _login_for(self, arguments: Sequence[str]) -> dict[str, str]:
        # Before the command there may be a setting.
        return self._login if {"fetch", "ls-remote", "push"}.intersection(arguments[:3]) else {}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a git command that reads questions on its input and answers on its output."""
        return subprocess.Popen(
            ["git", *SETTINGS, *arguments],
            cwd=self.root,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def identity(self) -> str:
        """Return the committer, as ``Name <email> seconds zone``; `PreconditionFailed` if unset."""
        try:
            return self.run("var", "GIT_COMMITTER_IDENT")
        except GitFailed:
            raise PreconditionFailed(
                "git has no name and e-mail address for you",
                why="every release event names its actor, and user.name or user.email is not set",
                state="nothing was changed",
                next_step='git config user.name "Your Name"; git config user.email you@example.com',
            ) from None

    def require_writing(self) -> None:
        """Raise `PreconditionFailed` where no event could be written; nothing is touched."""
        self.identity()
        store = self._inside("objects")
        if not os.access(store, os.W_OK):
            raise PreconditionFailed(
                "the repository cannot be written",
                why=f"{store} is read-only for this user",
                state="nothing was changed",
                next_step="run the command where .git can be written: git is the release ledger",
            )

    def actor(self) -> str:
        """Return the committer, as ``Name <email>``."""
        return self.identity().rsplit(" ", 2)[0]

    def head(self) -> str:
        """Return the commit that is checked out; `PreconditionFailed` before the first one."""
        try:
            return self.run("rev-parse", "--verify", "HEAD^{commit}")
        except GitFailed:
            raise PreconditionFailed(
                "this repository has no commit yet",
                state="nothing was changed",
                next_step="git add --all; git commit",
            ) from None

    def changes(self) -> list[str]:
        """Return the paths that differ from HEAD, including untracked files."""
        status = self.run("status", "--porcelain", "--untracked-files=normal")
        return [line.strip().split(maxsplit=1)[-1] for line in status.splitlines()]

    def commit_time(self, commit: str) -> int:
        """Return a commit's time in seconds since 1970."""
        return int(self.run("rev-list", "--max-count=1", "--timestamp", commit).split()[0])

    @cached_property
    def has_remote(self) -> bool:
        """Whether there is an ``origin``."""
        return REMOTE in self.run("remote").split()

    @cached_property
    def _login(self) -> dict[str, str]:
        """The variables by which git logs in at the remote, where its address has a login."""
        written, for_pushes = self._addresses("url"), self._addresses("pushurl")
        fetched, pushed = self._used(), self._used("--push")
        try:
            addresses = by_rule("insteadOf", written, fetched)
            if for_pushes:
                addresses |= by_rule("insteadOf", for_pushes, pushed)
            elif pushed != fetched:
                addresses |= by_rule("pushInsteadOf", written, pushed)
            login = login_in(addresses)
        except ValueError as error:
            raise GitFailed(str(error)) from None
        if login and self.version < WITH_LOGIN:
            if not any(name.startswith(HIDDEN_LOGIN) for name in login):
                return {}
            raise GitFailed(
                f"git {_dotted(self.version)} takes no login from the remote's address unseen: "
                f"install git {_dotted(WITH_LOGIN)} or newer, or use a credential helper"
            )
        return login

    def _addresses(self, setting: str) -> list[str]:
        """Return the remote's addresses of one kind, as the settings have them."""
        try:
            return self.run("config", "--get-all", f"remote.{REMOTE}.{setting}").splitlines()
        except GitFailed:  # It is not set.
            return []

    def _used(self, *kind: str) -> list[str]:
        """Return the remote's addresses as git uses them; without an address there is no remote."""
        try:
            return self.run("remote", "get-url", "--all", *kind, REMOTE).splitlines()
        except GitFailed:
            return []

    def _inside(self, name: str) -> Path:
        """Return the path of something in ``.git``, wherever that is."""
        return self.root / self.run("rev-parse", "--git-path", name)

    @cached_property
    def _shallow_file(self) -> Path:
        return self._inside("shallow")

    def cut_off(self) -> frozenset[str]:
        """Return the commits whose parents are missing here, as after a clone with ``--depth``."""
        try:
            return frozenset(self._shallow_file.read_text(encoding="ascii").split())
        except FileNotFoundError:
            return frozenset()

    def local_references(self, *prefixes: str) -> dict[str, str]:
        """Return ``{reference: object}`` of this repository."""
        listed = self.run("for-each-ref", "--format=%(refname) %(objectname)", *prefixes)
        return {name: target for name, target in (line.split() for line in listed.splitlines())}

    def reach(self, *arguments: str, timeout_s: float, stdin: bytes = b"") -> str:
        """Run a command that asks the remote, unless an earlier one has waited long in vain."""
        if self.silence:
            raise GitFailed(self.silence)
        began = time.monotonic()
        try:
            return self.run(*arguments, timeout_s=timeout_s, stdin=stdin)
        except GitFailed as error:
            if time.monotonic() - began >= LONG_S:
                self.silence, self.is_lost = str(error), True
            raise

    def listen_again(self) -> None:
        """Let the remote be asked again after a failure, but for one that took long."""
        if not self.is_lost:
            self.silence = ""

    def remote_references(self, *patterns: str) -> dict[str, str]:
        """Return ``{reference: object}`` of the remote; `GitFailed` when it does not answer."""
        try:
            listed = self.reach("ls-remote", REMOTE, *patterns, timeout_s=ANSWER_TIMEOUT_S)
        except GitFailed as error:
            self.silence = str(error)
            raise
        pairs = (line.split("\t") for line in listed.splitlines())
        return {name: target for target, name in pairs if not name.endswith("^{}")}

    def fetch_objects(self, references: Mapping[str, str]) -> None:
        """Fetch the objects of the remote's references, without writing a reference here.

        A shallow clone is completed: with the newest event alone there is no rollback target.
        A name that is no UTF-8 was given by no command of ours, and is passed over.
        """
        known = self._known(references.values())
        complete = ("--unshallow",) if self.cut_off() else ()
        # One name of each object: anybody may give one thousands of names.
        wanted = {
            target: name
            for name, target in references.items()
            if UNREADABLE not in name and (complete or target not in known)
        }
        names = list(wanted.values())
        for at in range(0, len(names), FETCHED_AT_ONCE):
            self.reach(
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--refmap=",
                *(complete if not at else ()),
                # Some names are longer than the arguments of a command may be.
                "--stdin",
                REMOTE,
                timeout_s=NETWORK_TIMEOUT_S,
                stdin="".join(f"{name}\n" for name in names[at : at + FETCHED_AT_ONCE]).encode(),
            )

    def _known(self, objects: Iterable[str]) -> set[str]:
        """Return those of the objects that are in this repository."""
        names = "".join(name + "\n" for name in objects).encode()
        answers = self.run("cat-file", "--batch-check", stdin=names).splitlines()
        return {answer.split()[0] for answer in answers if not answer.endswith(" missing")}

    def commit_of(self, name: str) -> str | None:
        """Return the commit that a name stands for, or None."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", name + "^{commit}")
        except GitFailed:
            return None

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Return whether ``newer`` contains ``older``."""
        try:
            self.run("merge-base", "--is-ancestor", older, newer)
        except GitFailed:
            return False
        return True

    def write_tree(self, files: Mapping[str, bytes]) -> str:
        """Store a flat folder of files and return the tree's name."""
        names = sorted(files)
        with tempfile.TemporaryDirectory() as scratch:
            # Git stores many contents in one run only from files.
            paths = [Path(scratch, str(number)) for number in range(len(names))]
            for path, name in zip(paths, names, strict=True):
                path.write_bytes(files[name])
            listed = "".join(f"{path}\n" for path in paths).encode()
            blobs = self.run("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=listed)
        entries = zip(blobs.split(), names, strict=True)
        tree = "".join(f"100644 blob {blob}\t{name}\n" for blob, name in entries)
        return self.run("mktree", stdin=tree.encode())

    def write_commit(
        self, tree: str, parents: Sequence[str], message: str, time: datetime | None = None
    ) -> str:
        """Store a commit and return its name; without a time it is of now.

        `GitFailed` where it cannot be signed, and must be.
        """
        options = [option for parent in parents for option in ("-p", parent)]
        date = f"{int(time.timestamp())} +0000" if time else ""
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date} if time else {}
        command = ("commit-tree", *(["-S"] * self.signs), tree, *options, "-F", "-")
        with self._signing() as by_ssh:
            done = self._done((*by_ssh, *command), message.encode(), environment=dates)
        return done.stdout.decode().strip()

    def signed_nothing(self) -> bytes:
        """Return a signed commit that is stored nowhere; `GitFailed` where git cannot sign."""
        with tempfile.TemporaryDirectory() as scratch:
            elsewhere = {"GIT_OBJECT_DIRECTORY": scratch}
            tree = self._done(["mktree"], environment=elsewhere).stdout.decode().strip()
            command = ("commit-tree", "-S", "-m", "a test of the key", tree)
            with self._signing() as by_ssh:
                done = self._done((*by_ssh, *command), environment=elsewhere)
            commit = done.stdout.decode().strip()
            return self._done(["cat-file", "commit", commit], environment=elsewhere).stdout

    def write_tag(self, name: str, commit: str, message: str) -> str:
        """Store an annotated tag object and return its name; no reference points at it yet."""
        header = f"object {commit}\ntype commit\ntag {name}\ntagger {self.identity()}\n\n"
        return self.run("mktag", stdin=(header + message).encode())

    def write_signed_tag(self, name: str, commit: str, message: str) -> str:
        """Store an annotated tag signed with the user's ssh key; no reference points at it yet."""
        # Git cannot sign a tag object without making its reference.
        with self._signing() as by_ssh:
            command = (*by_ssh, "tag", "--sign", "--file", "-", name, commit)
            self.run(*command, stdin=message.encode())
        tag = self.run("rev-parse", f"refs/tags/{name}")
        self.run("update-ref", "-d", f"refs/tags/{name}", tag)
        # Git 2.39 makes an unsigned tag, and exits with 0, where the key is missing.
        if SIGNATURE not in self.read("cat-file", "tag", tag):
            raise GitFailed("git did not sign: the key of user.signingkey cannot be used")
        return tag

    @contextmanager
    def _signing(self) -> Iterator[tuple[str, ...]]:
        """Yield git's options for a signature, while the key's file is there."""
        if not self.key:
            yield BY_SSH
            return
        with signing_key.written(self.key) as path:
            yield (*BY_SSH, "-c", f"user.signingkey={path}")

    def signer(self, tag: str, allowed_signers: bytes) -> str:
        """Return the owner of the key that has signed a tag, by an ``allowed_signers`` file.

        `GitFailed` when it is not signed, the signature is broken, or the key is not listed.
        """
        with tempfile.NamedTemporaryFile() as file:
            file.write(allowed_signers)
            file.flush()
            known = f"gpg.ssh.allowedSignersFile={file.name}"
            done = self._done([*BY_SSH, *VERIFIED, "-c", known, "verify-tag", tag])
        output = done.stderr.decode("utf-8", "replace")
        found = GOOD_SIGNATURE.search(output)
        if found is None:
            raise GitFailed(f"the signature is not by an ssh key: {output.strip()}")
        return found[1]

    def swap_reference(self, reference: str, new: str, old: str | None) -> None:
        """Move a reference from ``old`` (None: create it); `HeadMoved` if it is elsewhere."""
        try:
            # Without an old object the reference must not be there yet.
            self.run("update-ref", reference, new, old or "")
        except GitFailed as error:
            # A full disk refuses too, and then no other command was faster.
            is_there = self.local_references(reference).get(reference)
            if is_there != old or LOCK_IS_TAKEN in str(error):
                raise HeadMoved(str(error)) from None
            raise

    def set_reference(self, reference: str, new: str) -> None:
        """Move a reference, wherever it points now."""
        self.run("update-ref", reference, new)

    def push(self, objects: Mapping[str, str]) -> None:
        """Push ``{reference: object}``, all or nothing, never forced.

        `HeadMoved` when the remote refuses because it has moved on, `GitFailed` for any other
        reason.
        """
        pairs = [f"{target}:{reference}" for reference, target in objects.items()]
        try:
            command = ("push", "--quiet", "--atomic", REMOTE, *pairs)
            self.reach(*command, timeout_s=NETWORK_TIMEOUT_S)
        except GitFailed as error:
            if MOVED_ON.search(str(error)):
                raise HeadMoved(str(error)) from None
            raise


class Push:
    """A push that goes on while its command does, for as long as any push may take."""

    def __init__(self, repository: Repository, objects: Mapping[str, str]) -> None:
        self._refusal: HeadMoved | GitFailed | None = None
        # A command that ends leaves it behind, and does not wait for it.
        self._thread = threading.Thread(target=self._run, args=(repository, objects), daemon=True)
        self._thread.start()

    def _run(self, repository: Repository, objects: Mapping[str, str]) -> None:
        try:
            repository.push(objects)
        except (HeadMoved, GitFailed) as error:
            self._refusal = error

    def has_ended(self, within_s: float) -> bool:
        """Wait so long; raises as `Repository.push` where it was refused."""
        self._thread.join(within_s)
        if self._thread.is_alive():
            return False
        if self._refusal:
            raise self._refusal
        return True


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
