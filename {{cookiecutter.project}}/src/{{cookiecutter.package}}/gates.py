"""The quality gate: thresholds from quality.toml, and a verdict that fails closed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import document
from .document import Table
from .evaluation import METRICS

SCHEMA = 1


@dataclass(frozen=True)
class TrainingPolicy:
    """How a model is trained and measured.

    Attributes
    ----------
    seed
        Of everything that is random.
    quick_rows
        How many customers the quick gate looks at.
    folds
        How many folds out-of-fold predictions are made in.
    holdout_share
        The share of customers that is never trained on, 0 to 1.
    """

    seed: int
    quick_rows: int
    folds: int
    holdout_share: float


@dataclass(frozen=True)
class Rule:
    """One bound of one metric.

    Attributes
    ----------
    bound
        ``min`` or ``max``; the threshold itself passes.
    """

    metric: str
    bound: str
    threshold: float
    reason: str


@dataclass(frozen=True)
class Policy:
    """The whole of quality.toml."""

    training: TrainingPolicy
    rules: tuple[Rule, ...]


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


def load(path: Path) -> Policy:
    """Read the policy.

    Raises
    ------
    ConfigurationError
        With the file and the key that is missing, unknown or impossible.
    """
    top = document.read(path, SCHEMA)
    training = _training(top.table("training"))
    rules = tuple(rule for table in top.tables("rule") for rule in _rules(table))
    top.finish()
    return Policy(training, rules)


def _training(table: Table) -> TrainingPolicy:
    policy = TrainingPolicy(
        seed=table.take("seed", int),
        quick_rows=table.take("quick_rows", int),
        folds=table.take("folds", int),
        holdout_share=table.take("holdout_share", float),
    )
    table.finish()
    if policy.seed < 0:
        raise table.refuse("seed", "must not be negative")
    if policy.quick_rows < 1:
        raise table.refuse("quick_rows", "must be at least 1")
    if policy.folds < 2:
        raise table.refuse("folds", "must be at least 2")
    if not 0 < policy.holdout_share < 1:
        raise table.refuse("holdout_share", "must be a share between 0 and 1")
    return policy


def _rules(table: Table) -> list[Rule]:
    metric = table.take("metric", str)
    if metric not in METRICS:
        raise table.refuse("metric", f"{metric!r} is none of {', '.join(METRICS)}")
    reason = table.take("reason", str)
    rules = [
        Rule(metric, bound, table.take(bound, float), reason)
        for bound in ("min", "max")
        if bound in table
    ]
    table.finish()
    if not rules:
        raise table.refuse("metric", f"{metric!r} has neither min nor max")
    return rules


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
