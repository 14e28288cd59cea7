"""What comes of rules, and how a figure is taken from evidence: nothing but a number is one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FAIL, WARN, OK = "fail", "warn", "ok"
NAMED = 5


@dataclass(frozen=True)
class Outcome:
    """What came of one rule.

    Attributes
    ----------
    subject
        What the rule is about: a metric, with its slice or column, or a circumstance.
    rule
        What must hold.
    value
        The figure that was held against it; None where there is none, or it is no number.
    level
        ``ok``, ``warn`` or ``fail``.
    sentence
        What a person would say.
    """

    subject: str
    rule: str
    value: float | None
    level: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What came of all rules."""

    outcomes: tuple[Outcome, ...]

    @property
    def reasons(self) -> list[str]:
        """A sentence for each rule that failed."""
        return [one.sentence for one in self.outcomes if one.level == FAIL]

    @property
    def warnings(self) -> list[str]:
        """A sentence for each rule that only warns, and was broken."""
        return [one.sentence for one in self.outcomes if one.level == WARN]

    @property
    def passed(self) -> bool:
        """Whether every rule was checked and none failed."""
        return bool(self.outcomes) and not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Return what the evidence keeps of it."""
        return {
            "verdict": "passed" if self.passed else "failed",
            "reasons": self.reasons,
            "warnings": self.warnings,
            "rules": [vars(outcome) for outcome in self.outcomes],
        }


def held(
    subject: str, rule: str, value: float | None, kept: bool, sentence: str, level: str = FAIL
) -> Outcome:
    """Return what comes of a rule that was held against a figure."""
    return Outcome(subject, rule, value, OK if kept else level, "" if kept else sentence)


def failed(subject: str, rule: str, sentence: str) -> Outcome:
    """Return what comes of a rule for which there was no figure."""
    return Outcome(subject, rule, None, FAIL, sentence)


def number(evidence: object, *keys: str) -> float | None:
    """Return a finite number from within the evidence; None where there is none."""
    for key in keys:
        evidence = evidence.get(key) if isinstance(evidence, Mapping) else None
    if isinstance(evidence, bool) or not isinstance(evidence, int | float):
        return None
    return float(evidence) if math.isfinite(evidence) else None


def named(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    first = ", ".join(names[:NAMED])
    return f"{first} and {len(names) - NAMED} others" if len(names) > NAMED else first
