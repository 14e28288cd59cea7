"""The policy, quality.toml: how a model is trained, and what data and model must reach."""

from dataclasses import dataclass
from pathlib import Path

from . import document
from .document import Section
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
class Levels:
    """From which effect on a significant change warns, and from which it fails."""

    warn: float
    fail: float
    reason: str


@dataclass(frozen=True)
class DriftPolicy:
    """What counts as drift.

    Attributes
    ----------
    significance
        The chance that a table in which nothing has changed gets any verdict but ``ok``.
    min_rows
        With fewer values nothing is said.
    numbers, predictions
        Wasserstein distance, in standard deviations of the reference.
    categories, target
        Total variation: the share of rows that would have to change their category.
    come_and_gone
        The share of rows in categories that were not there before, or are there no more.
    nulls
        The change of the share of nulls.
    """

    significance: float
    min_rows: int
    numbers: Levels
    predictions: Levels
    categories: Levels
    target: Levels
    come_and_gone: Levels
    nulls: Levels


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
    drift: DriftPolicy
    rules: tuple[Rule, ...]


def load(path: Path) -> Policy:
    """Read the policy.

    Raises
    ------
    ConfigurationError
        With the file and the key that is missing, unknown or impossible.
    """
    top = document.read(path, SCHEMA)
    training = _training(top.table("training"))
    drift = _drift(top.table("drift"))
    rules = tuple(rule for section in top.tables("rule") for rule in _rules(section))
    top.finish()
    return Policy(training, drift, rules)


def _training(section: Section) -> TrainingPolicy:
    policy = TrainingPolicy(
        seed=section.take("seed", int),
        quick_rows=section.take("quick_rows", int),
        folds=section.take("folds", int),
        holdout_share=section.take("holdout_share", float),
    )
    section.finish()
    if policy.seed < 0:
        raise section.refuse("seed", "must not be negative")
    if policy.quick_rows < 1:
        raise section.refuse("quick_rows", "must be at least 1")
    if policy.folds < 2:
        raise section.refuse("folds", "must be at least 2")
    if not 0 < policy.holdout_share < 1:
        raise section.refuse("holdout_share", "must be a share between 0 and 1")
    return policy


def _drift(section: Section) -> DriftPolicy:
    policy = DriftPolicy(
        significance=section.take("significance", float),
        min_rows=section.take("min_rows", int),
        numbers=_levels(section.table("numbers")),
        predictions=_levels(section.table("predictions")),
        categories=_levels(section.table("categories")),
        target=_levels(section.table("target")),
        come_and_gone=_levels(section.table("come_and_gone")),
        nulls=_levels(section.table("nulls")),
    )
    section.finish()
    if not 0 < policy.significance < 1:
        raise section.refuse("significance", "must be a share between 0 and 1")
    if policy.min_rows < 1:
        raise section.refuse("min_rows", "must be at least 1")
    return policy


def _levels(section: Section) -> Levels:
    levels = Levels(
        section.take("warn", float), section.take("fail", float), section.take("reason", str)
    )
    section.finish()
    if not 0 <= levels.warn <= levels.fail:
        raise section.refuse("fail", "must not be below warn, nor warn below 0")
    return levels


def _rules(section: Section) -> list[Rule]:
    metric = section.take("metric", str)
    if metric not in METRICS:
        raise section.refuse("metric", f"{metric!r} is none of {', '.join(METRICS)}")
    reason = section.take("reason", str)
    rules = [
        Rule(metric, bound, section.take(bound, float), reason)
        for bound in ("min", "max")
        if bound in section
    ]
    section.finish()
    if not rules:
        raise section.refuse("metric", f"{metric!r} has neither min nor max")
    return rules
