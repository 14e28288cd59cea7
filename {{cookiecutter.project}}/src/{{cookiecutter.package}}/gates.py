"""The quality gate: metrics held against the policy, and a verdict that fails closed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .policy import Policy, Rule


@dataclass(frozen=True)
class Outcome:
    """What came of one rule; `value` is None for a metric that is missing or not finite."""

    rule: Rule
    value: float | None
    passed: bool
    failure: str | None


@dataclass(frozen=True)
class Verdict:
    """What came of all rules; `reasons` has a sentence for each that failed."""

    passed: bool
    reasons: tuple[str, ...]
    outcomes: tuple[Outcome, ...]


def decide(metrics: Mapping[str, float], policy: Policy) -> Verdict:
    """Hold metrics against the rules; what cannot be compared has failed."""
    outcomes = tuple(_outcome(rule, metrics.get(rule.metric)) for rule in policy.rules)
    reasons = tuple(outcome.failure for outcome in outcomes if outcome.failure is not None)
    if not outcomes:
        reasons = ("no rule was checked",)
    return Verdict(not reasons, reasons, outcomes)


def _outcome(rule: Rule, value: float | None) -> Outcome:
    if value is None:
        return Outcome(rule, None, False, f"{rule.metric} is missing")
    if not math.isfinite(value):
        return Outcome(rule, None, False, f"{rule.metric} is {value}, not a finite number")
    below = value < rule.threshold
    if value == rule.threshold or below == (rule.bound == "max"):
        return Outcome(rule, value, True, None)
    side = "below" if below else "above"
    failure = (
        f"{rule.metric} is {value:.4f}, {side} the {rule.bound} of {rule.threshold:g}: "
        f"{rule.reason}"
    )
    return Outcome(rule, value, False, failure)
