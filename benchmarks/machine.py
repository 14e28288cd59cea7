"""What a benchmark's figures were measured on."""

from __future__ import annotations

import os
import platform


def machine() -> str:
    """Return this machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {memory:.0f} GiB, Python {platform.python_version()}"
