"""Decides whether a release is to blame for a server that did not start, or its machine is.

Only what a server did by itself, on a machine that lets another release start, counts against its
release.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import NotServing, ReleaseFailed
from . import supervisor

# A server's own fault raises these; any other signal somebody has sent, or the kernel for want of
# memory or disk, or of an instruction of the processor.
OWN_SIGNALS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE)
# Shells and engines report a signal by this and its number; from COMMAND_LOST on, that they could
# not start the command.
SIGNALLED = 128
COMMAND_LOST = 125
# Of a server that lives and has not answered in time. A time limit measures the machine, too, so
# nobody is condemned by it.
SILENT = "it has not answered at all: the machine is too busy, or the release hangs at its start"
# What libraries and Python say when the system has refused something. No list is complete: the
# other release, which must start, is the better witness.
SYSTEM = re.compile(
    "No space left on device|Read-only file system|Disk quota exceeded|Too many open files"
    r"|Cannot allocate memory|MemoryError|bad_alloc|\bKilled\b|Permission denied|Input/output error"
    "|Operation not permitted|Resource temporarily unavailable|can't start new thread"
    "|Address already in use|Cannot assign requested address|Address family not supported"
    "|cannot open shared object file|version `GLIBC|No module named 'encodings'"
    "|Temporary failure in name resolution|Name or service not known|Stale file handle"
)


@contextmanager
def of_the_machine() -> Iterator[None]:
    """Turn a failure of the release that serves, as a canary's control, into `NotServing`."""
    try:
        yield
    except ReleaseFailed as error:
        raise NotServing(f"the canary's control does not start: {error}") from None


def ended_by_itself(code: int, log: str) -> bool:
    """Return whether a server's exit code and log say that it ended for a reason of its own.

    Parameters
    ----------
    code : int
        Minus a signal's number, or 128 and that, where it ended by a signal. 0 is the answer to a
        SIGTERM, and no failure.
    log : str
        The end of its log.
    """
    number = -code if code < 0 else code - SIGNALLED
    if code < 0 or code > SIGNALLED:
        is_its_own = number in OWN_SIGNALS
    else:
        is_its_own = 0 < code < COMMAND_LOST
    return is_its_own and not SYSTEM.search(log)


def neither_starts(serves: str) -> str:
    """Return what is wrong where no server of the release that serves starts any more."""
    return f"no server of {serves}, which serves, starts either: the machine is at fault"


def start_failed(
    trouble: str, failure: Mapping[str, Any] | None, folder: Path
) -> NotServing | ReleaseFailed:
    """Return the error for a trouble that a supervisor reports.

    Parameters
    ----------
    trouble : str
    failure : mapping or None
        What the supervisor saw of a server that did not become ready: its exit ``code``, or that
        it ``refused`` to call itself ready, and the specification of the server that goes on
        ``beside`` it. None where it could start none, and from one of an earlier version.
    folder : pathlib.Path
        For the log of the control.
    """
    if failure is None:
        return NotServing(trouble)
    code, beside = failure["code"], failure["beside"]
    if code is None and not failure["refused"]:
        return NotServing(f"{trouble}\n{SILENT}")
    is_its_own = code is None or ended_by_itself(code, trouble)
    if not is_its_own:
        return NotServing(trouble)
    if beside is not None and not _starts(beside, folder):
        return NotServing(f"{trouble}\n{neither_starts(beside['release'])}")
    return ReleaseFailed(trouble)


def _starts(spec: dict[str, Any], folder: Path) -> bool:
    """Return whether another server of a release that serves becomes ready, and end it."""
    try:
        with supervisor.listen("127.0.0.1", 0) as listener:
            control = supervisor.Worker.start(spec, listener, folder / "control.log")
    except OSError:
        return False
    try:
        while control.is_alive() and time.monotonic() < control.deadline:
            if control.is_ready():
                return True
            time.sleep(supervisor.TICK_S)
        return False
    finally:
        control.process.kill()
        control.process.wait()
