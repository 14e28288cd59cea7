"""A trick that was tried once, and what the checks of a repository said."""

from __future__ import annotations

import math
from dataclasses import dataclass

FAILED, WARNED, SILENT = "failed", "warned", "silent"
VERDICTS = (FAILED, WARNED, SILENT)


@dataclass(frozen=True)
class Attempt:
    """A trick, and its outcome.

    Attributes
    ----------
    trick, size
        What was done, and how much of it.
    verdict
        One of `VERDICTS`.
    gain
        By how much the ROC AUC of the holdout is higher than without the trick; NaN where nothing
        was trained.
    """

    trick: str
    size: str
    verdict: str
    gain: float = math.nan
