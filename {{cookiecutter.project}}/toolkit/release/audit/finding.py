"""What an audit has found wrong: one event, one rule, one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Finding:
    """One thing that cannot be as it is.

    Parameters
    ----------
    environment : str
    event : str
        The commit of the event that it is about.
    time : str
        When that says it was written, or empty where it cannot be read.
    rule : str
        Which rule was broken, in one word.
    text : str
        How.
    """

    environment: str
    event: str
    time: str
    rule: str
    text: str

    def __str__(self) -> str:
        when = ""
        if self.time:
            when = f"{datetime.fromisoformat(self.time).astimezone(UTC):%Y-%m-%d %H:%M:%S}Z  "
        return f"{self.event[:12]}  {when}{self.rule}: {self.text}"
