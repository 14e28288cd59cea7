"""Decay: the issue about a release that ranks customers worse than it did when it was released."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .errors import PreconditionFailed

NIGHTLY = Path("reports", "nightly.json")
FELL = "fell"


@dataclass(frozen=True)
class Watched:
    """What the nightly training has found about the release that serves.

    Parameters
    ----------
    environment, release : str
        Empty where nothing serves yet.
    state, sentence : str
        Empty where nobody says when labels become known.
    issue : str
        The address of the issue about it, or empty.
    """

    environment: str
    release: str
    state: str
    sentence: str
    issue: str = ""

    @property
    def title(self) -> str:
        """The title of its issue: one for each release."""
        return f"{self.release} ranks the customers of {self.environment} worse than it did"

    @property
    def text(self) -> str:
        """The text of its issue, in Markdown."""
        return (
            f"{self.sentence}\n\nTrain on what is new and look at `reports/data.html` for what has "
            "changed: docs/model.md, the release that serves, watched."
        )


def read(root: Path, environment: str) -> Watched:
    """Read what the nightly training has left in reports/.

    Raises
    ------
    PreconditionFailed
        There is no such report, or it is about another environment.
    """
    try:
        found = json.loads((root / NIGHTLY).read_bytes())["decay"]
        if found is None:
            return Watched(environment, "", "", "")
        fields = ("environment", "release", "state", "sentence")
        watched = Watched(*(str(found[name] or "") for name in fields))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(f"it cannot be read: {error!r}") from None
    if watched.environment not in ("", environment):
        raise _unreadable(f"it is about {watched.environment}, not {environment}")
    return watched


def _unreadable(why: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"no decay can be told from {NIGHTLY}",
        why=why,
        state="no issue was opened",
        next_step="invoke champion --env prod, then nox -s nightly",
    )
