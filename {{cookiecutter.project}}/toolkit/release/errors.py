"""The errors of release commands; each class has its exit code.

Every error says what happened, why, what state things are in, and what to type next. Errors are
raised where they occur and printed in one place, `command_line`.
"""

from __future__ import annotations

import re

# Messages of the system when the disk is at fault, and not a remote.
DISK_TROUBLE = re.compile("No space left on device|Read-only file system|Disk quota exceeded")


class ReleaseError(Exception):
    """A release command that cannot do what was asked.

    Parameters
    ----------
    what : str
        What happened, in one sentence.
    why : str
        The cause, as far as it is known.
    state : str
        The state of things now, such as "prod unchanged".
    next_step : str
        The command to type next, or the edit to make.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", state: str = "", next_step: str = "") -> None:
        super().__init__(what, why, state, next_step)
        self.what = what
        self.why = why
        self.state = state
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        for label, text in (("why", self.why), ("state", self.state), ("next", self.next_step)):
            if text:
                lines.append(f"  {label + ':':<7}" + text.replace("\n", "\n" + " " * 9))
        return "\n".join(lines)


class ConfigurationError(ReleaseError):
    """Bad arguments, or a ``release.toml`` that cannot be read."""

    exit_code = 2


class NoForge(ConfigurationError):
    """This repository is at no known forge, or there is no token for it."""


class GateRefused(ReleaseError):
    """Gate evidence is missing, failed, stale, or for something else."""

    exit_code = 10


class ApprovalMissing(ReleaseError):
    """The environment requires an approval of exactly this release, and there is none."""

    exit_code = 11


class Held(ReleaseError):
    """A freeze window or a hold keeps releases out of this environment."""

    exit_code = 12


class Locked(ReleaseError):
    """Another command is changing this environment."""

    exit_code = 13


class PreconditionFailed(ReleaseError):
    """A dirty tree, a skipped environment, a digest that is not the one expected."""

    exit_code = 14


class ReleaseChanged(ReleaseError):
    """While a batch run scored with one release, its environment began to serve another."""

    exit_code = 15


class NotScored(ReleaseError):
    """A batch run has written no scores: the table is another one than the release is for."""

    exit_code = 16


class BuildFailed(ReleaseError):
    """The bundle could not be made."""

    exit_code = 20


class PushFailed(ReleaseError):
    """The git remote or the registry did not accept a push."""

    exit_code = 21


class RegistryDiffers(ReleaseError):
    """The registry holds another image than the one that was pushed."""

    exit_code = 22


class ReleaseDiffers(ReleaseError):
    """The tag of this version is not what this build of the same commit would have made."""

    exit_code = 22


class RolledBack(ReleaseError):
    """The new release failed; the release before it serves again and was verified."""

    exit_code = 30


class RollbackFailed(ReleaseError):
    """The new release failed, and so did restoring the release before it."""

    exit_code = 31


class OutcomeUnknown(ReleaseError):
    """The platform stopped answering during a change: what serves now is unknown."""

    exit_code = 32


class CanaryInconclusive(ReleaseError):
    """The canary could not show that the release is sound; the one before it serves again."""

    exit_code = 33


class NoRollbackTarget(ReleaseError):
    """No earlier release was verified in this environment."""

    exit_code = 40


class ArtifactGone(ReleaseError):
    """The history names a release whose files no longer exist."""

    exit_code = 41


class NotVerified(ReleaseError):
    """The target of a rollback does not answer as it should."""

    exit_code = 42


class DrillFailed(ReleaseError):
    """A rollback drill failed, lost requests, or took longer than its budget."""

    exit_code = 42


class HistoryCorrupt(ReleaseError):
    """A record or an event cannot be read, or two histories have diverged."""

    exit_code = 50


class CrashResidue(ReleaseError):
    """A command was killed during a change and left its lock behind."""

    exit_code = 51


class Interrupted(ReleaseError):
    """Ctrl-C or SIGTERM during a change; the change was undone."""

    exit_code = 130


class Undecided(Exception):
    """A canary ended without a verdict, which is not a pass."""


class HeadMoved(Exception):
    """An environment's branch has moved since it was read: the caller reads it again."""


class NotServing(Exception):
    """A release does not serve as it must; by itself this is the machine's fault.

    A full disk, a busy port, a silent index, a server that somebody has killed: the release is not
    to blame, and may be promoted again.
    """


class ReleaseFailed(NotServing):
    """What the release's own bytes did: it is bad, and comes back only when somebody names it.

    It does not start although the machine is fine, it answers wrongly, or it is slower.
    """


class Unreachable(Exception):
    """A platform did not answer before a deadline: what it runs is unknown."""
