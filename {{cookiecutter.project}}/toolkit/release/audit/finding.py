"""A finding of the audit: one event, one rule, one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Finding:
    """A rule that an event breaks.

    Parameters
    ----------
    environment : str
    event : str
        The commit of the event.
    time : str
        Of the event, or empty where it cannot be read.
    rule : str
        The rule, in one word.
    text : str
        How it is broken.
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
