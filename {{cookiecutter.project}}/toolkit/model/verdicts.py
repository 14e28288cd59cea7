"""The outcomes of rules, and how a figure is read from evidence: it must be a finite number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FAIL, WARN, OK = "fail", "warn", "ok"
LISTED = 5


@dataclass(frozen=True)
class Outcome:
    """The outcome of one rule.

    Attributes
    ----------
    subject
        The metric, with its slice or column, or the circumstance that the rule is about.
    rule
        The requirement in words.
    value
        The figure that was checked; None where there is none, or it is no number.
    level
        ``ok``, ``warn`` or ``fail``.
    sentence
        The reason for people; empty where the level is ``ok``.
    """

    subject: str
    rule: str
    value: float | None
    level: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """The outcomes of all rules."""

    outcomes: tuple[Outcome, ...]

    @property
    def reasons(self) -> list[str]:
        """A sentence for each rule that failed."""
        return [one.sentence for one in self.outcomes if one.level == FAIL]

    @property
    def warnings(self) -> list[str]:
        """A sentence for each broken rule that only warns."""
        return [one.sentence for one in self.outcomes if one.level == WARN]

    @property
    def passed(self) -> bool:
        """Whether every rule was checked and none failed."""
        return bool(self.outcomes) and not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as the evidence keeps it."""
        return {
            "verdict": "passed" if self.passed else "failed",
            "reasons": self.reasons,
            "warnings": self.warnings,
            "rules": [vars(outcome) for outcome in self.outcomes],
        }


def checked(
    subject: str, rule: str, value: float | None, passed: bool, sentence: str, level: str = FAIL
) -> Outcome:
    """Return the outcome of a rule whose figure was checked; `level` is that of a broken rule."""
    return Outcome(subject, rule, value, OK if passed else level, "" if passed else sentence)


def not_checked(subject: str, rule: str, sentence: str) -> Outcome:
    """Return the outcome of a rule whose figure is missing: it fails, whatever its level."""
    return Outcome(subject, rule, None, FAIL, sentence)


def number(evidence: object, *keys: str) -> float | None:
    """Return the finite number at a path in the evidence; None where there is none."""
    for key in keys:
        evidence = evidence.get(key) if isinstance(evidence, Mapping) else None
    if isinstance(evidence, bool) or not isinstance(evidence, int | float):
        return None
    return float(evidence) if math.isfinite(evidence) else None


def listed(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    first = ", ".join(names[:LISTED])
    return f"{first} and {len(names) - LISTED} others" if len(names) > LISTED else first
