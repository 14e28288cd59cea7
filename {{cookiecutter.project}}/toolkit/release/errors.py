"""What can go wrong in a release, one class an exit code.

Every error says what happened, why, in what state things are, and what to type next. They are
raised where they are known and printed in one place, ``tasks.py``.
"""

from __future__ import annotations

import re

# What the system says when a machine, and not a release or a remote, is at fault.
MACHINE_TROUBLE = re.compile("No space left on device|Read-only file system|Disk quota exceeded")


class ReleaseError(Exception):
    """A release command that cannot do what was asked.

    Parameters
    ----------
    what : str
        What happened, in one sentence.
    why : str
        The cause, as far as it is known.
    state : str
        What the world looks like now, such as "prod unchanged".
    next_step : str
        The command or the edit that gets the reader further.
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
    """No forge keeps this repository, or no token to speak with it was given."""


class GateRefused(ReleaseError):
    """Gate evidence is missing, failed, stale, or for something else."""

    exit_code = 10


class ApprovalMissing(ReleaseError):
    """The environment wants an approval of exactly this release, and there is none."""

    exit_code = 11


class Held(ReleaseError):
    """A freeze window or a hold keeps releases out of this environment."""

    exit_code = 12


class Locked(ReleaseError):
    """Somebody else is changing this environment."""

    exit_code = 13


class PreconditionFailed(ReleaseError):
    """A dirty tree, a skipped environment, a digest that is not the one expected."""

    exit_code = 14


class BuildFailed(ReleaseError):
    """The bundle could not be made."""

    exit_code = 20


class PushFailed(ReleaseError):
    """The git remote did not take what was pushed."""

    exit_code = 21


class RegistryDiffers(ReleaseError):
    """The registry holds another image than the one that was pushed."""

    exit_code = 22


class RolledBack(ReleaseError):
    """The new release failed; what served before serves again and was verified."""

    exit_code = 30


class RollbackFailed(ReleaseError):
    """The new release failed, and so did the way back."""

    exit_code = 31


class OutcomeUnknown(ReleaseError):
    """The platform fell silent in the middle of a change: what serves now is not known."""

    exit_code = 32


class CanaryInconclusive(ReleaseError):
    """The canary could not show that the release is sound; what served before serves again."""

    exit_code = 33


class NoRollbackTarget(ReleaseError):
    """There is no earlier release that was verified here."""

    exit_code = 40


class ArtifactGone(ReleaseError):
    """A release is named by the history, and its bytes are not to be had."""

    exit_code = 41


class NotVerified(ReleaseError):
    """The rollback's target does not answer as it should."""

    exit_code = 42


class DrillFailed(ReleaseError):
    """A practised rollback failed, lost requests, or took longer than its budget."""

    exit_code = 42


class HistoryCorrupt(ReleaseError):
    """A record or an event cannot be read, or two histories have parted."""

    exit_code = 50


class CrashResidue(ReleaseError):
    """A command died half-way and left its lock behind."""

    exit_code = 51


class Interrupted(ReleaseError):
    """Ctrl-C or SIGTERM during a change; the change was undone."""

    exit_code = 130


class Undecided(Exception):
    """A canary has come to its end without a verdict: that is not a pass."""


class HeadMoved(Exception):
    """An environment's branch is no longer where it was read: the caller reads again."""


class NotServing(Exception):
    """A platform or a smoke test found that a release does not serve as it must."""


class Unreachable(Exception):
    """A platform did not answer until a deadline: nothing is known of what it runs."""


class MachineFailed(NotServing):
    """The machine that serves is at fault, a full disk say: nothing is known of the release."""
