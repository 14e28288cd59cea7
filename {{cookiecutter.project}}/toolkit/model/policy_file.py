"""Reads quality.toml: every key is checked, and a missing or unknown one is refused."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..data import document
from ..data.document import Range, Section
from . import plugins, policy_ranges
from .metrics import HIGHER_IS_BETTER, OWNERS, BusinessMetric, Metric
from .policy import (
    HASH,
    SHARES,
    TIME,
    WINDOW_DAYS,
    ChampionPolicy,
    ChampionRule,
    DecayPolicy,
    DriftPolicy,
    FairnessPolicy,
    FairnessRule,
    Levels,
    NightlyPolicy,
    Policy,
    Rule,
    ScorePolicy,
    SlicePolicy,
    SliceRule,
    TrainingPolicy,
)

SCHEMA = 2
# Measured by a full training alone, of a model that could be released.
FULL_TRAINING_METRICS = ("train_test_gap", "latency_ms", "model_mb")
LEVELS = ("fail", "warn")
COMPARED_IN_SLICES = "roc_auc"
# Of sections that a quality.toml from before them lacks.
LATER_LEVELS = {
    "extremes": Levels(0.001, 0.005, "values that no customer had are mistakes of an export"),
    "relation": Levels(0.02, 0.05, "the labels mean something else, or a column leaks them"),
    "calibration": Levels(0.03, 0.10, "a group of customers churns otherwise than it did"),
    "ids": Levels(0.002, 0.01, "an id decides who is held out, so it must not change"),
}
SLICE_KINDS = ("min", "max_below", "max_loss")
CHAMPION_KINDS = ("max_loss", "max_relative_loss")


def load(path: Path, package: str) -> Policy:
    """Read the policy.

    Parameters
    ----------
    path
        Of quality.toml.
    package
        The owner's Python package, whose estimators and metrics it may name.

    Raises
    ------
    ConfigurationError
        With the file and the key that is missing, unknown or out of range.
    """
    top = document.read(path, SCHEMA, policy_ranges.RANGES)
    metrics = _metrics(top.table_or_empty("metrics"), package)
    measured = HIGHER_IS_BETTER | {one.name: one.metric.higher_is_better for one in metrics}
    policy = Policy(
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        training=_training(top.table("training"), package),
        drift=_drift(top.table("drift")),
        slices=_slices(top.table("slices"), measured),
        champion=_champion(top.table("champion"), measured),
        fairness=_fairness(top.table("fairness")),
        nightly=_nightly(top.table("nightly")),
        metrics=metrics,
        decay=_decay(top.table_or_empty("decay")),
        score=_score(top.table_or_empty("score")),
        rules=tuple(rule for one in top.tables("rule") for rule in _rules(one, measured)),
    )
    top.finish()
    _require_one_that_fails(top, policy.rules)
    return policy


def _metrics(section: Section, package: str) -> tuple[BusinessMetric, ...]:
    """Take the parameters of the owner's metrics: all of them, and no others."""
    found: list[BusinessMetric] = []
    built_in = {*HIGHER_IS_BETTER, *FULL_TRAINING_METRICS}
    for metric in plugins.entries(package, *OWNERS, Metric):
        if metric.name in built_in:
            why = f"{metric.name!r} is the name of a built-in metric"
            raise plugins.mistake(package, *OWNERS, why, "rename yours")
        table = section.table_or_empty(metric.name)
        found.append(BusinessMetric(metric, _parameters(table, metric), package))
        table.finish()
    section.finish()
    return tuple(found)


def _parameters(section: Section, metric: Metric) -> dict[str, float]:
    values = {}
    for name, limits in metric.parameters.items():
        values[name] = section.take(name, float, Range(*limits, "the metric takes no other value"))
    return values


def _training(section: Section, package: str) -> TrainingPolicy:
    policy = TrainingPolicy(
        package=package,
        estimator=section.choice("estimator", tuple(plugins.estimators(package))),
        seed=section.take("seed", int),
        quick_rows=section.take("quick_rows", int),
        folds=section.take("folds", int),
        holdout_share=section.take("holdout_share", float),
        evaluate=section.choice("evaluate", (HASH, TIME)) if "evaluate" in section else HASH,
        window_days=section.take_or("window_days", int, WINDOW_DAYS),
    )
    section.finish()
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
        **{
            name: _levels(section.table(name)) if name in section else levels
            for name, levels in LATER_LEVELS.items()
        },
    )
    section.finish()
    return policy


def _levels(section: Section) -> Levels:
    levels = Levels(
        section.take("warn", float), section.take("fail", float), section.take("reason", str)
    )
    section.finish()
    if levels.fail < levels.warn:
        raise section.refuse("fail", "must not be below warn")
    return levels


def _slices(section: Section, measured: Mapping[str, bool]) -> SlicePolicy:
    rules = []
    for one in section.tables_or_none("rule"):
        metric = one.choice("metric", tuple(measured))
        if not measured[metric]:
            raise one.refuse("metric", f"slices have lower bounds, and {metric} is better low")
        kind = _only(one, SLICE_KINDS)
        threshold = one.take(kind, float, policy_ranges.threshold(kind, metric))
        if kind == "max_loss" and metric != COMPARED_IN_SLICES:
            raise one.refuse("metric", f"slices are compared by {COMPARED_IN_SLICES} alone")
        rules.append(SliceRule(metric, kind, threshold, *_reason_and_level(one)))
    policy = SlicePolicy(
        min_rows=section.take("min_rows", int),
        min_of_each=section.take("min_of_each", int),
        bands=section.take("bands", int),
        significance=section.take("significance", float),
        rules=tuple(rules),
    )
    section.finish()
    return policy


def _champion(section: Section, measured: Iterable[str]) -> ChampionPolicy:
    rules = []
    for one in section.tables("rule"):
        metric = one.choice("metric", tuple(measured))
        kind = _only(one, CHAMPION_KINDS)
        threshold = one.take(kind, float, policy_ranges.threshold(kind, metric))
        rules.append(ChampionRule(metric, kind, threshold, *_reason_and_level(one)))
    policy = ChampionPolicy(
        significance=section.take("significance", float),
        max_age_days=section.take("max_age_days", float),
        min_rows_share=section.take("min_rows_share", float),
        max_refused=section.take("max_refused", float),
        other_features=section.choice("other_features", LEVELS),
        not_comparable=section.choice("not_comparable", LEVELS)
        if "not_comparable" in section
        else "fail",
        rules=tuple(rules),
    )
    section.finish()
    _require_one_that_fails(section, policy.rules)
    return policy


def _fairness(section: Section) -> FairnessPolicy:
    rules = []
    for one in section.tables_or_none("rule"):
        metric, max_gap = one.choice("metric", SHARES), one.take("max_gap", float)
        rules.append(FairnessRule(metric, max_gap, *_reason_and_level(one)))
    policy = FairnessPolicy(
        columns=section.texts_or_none("columns"),
        min_rows=section.take("min_rows", int),
        significance=section.take("significance", float),
        rules=tuple(rules),
    )
    section.finish()
    if policy.columns and not policy.rules:
        raise section.refuse("rule", "there is no rule for the protected columns")
    return policy


def _nightly(section: Section) -> NightlyPolicy:
    policy = NightlyPolicy(section.take("days_ago", int), section.take("significance", float))
    section.finish()
    return policy


def _decay(section: Section) -> DecayPolicy:
    default = DecayPolicy()
    policy = DecayPolicy(
        significance=section.take_or("significance", float, default.significance),
        max_fall=section.take_or("max_fall", float, default.max_fall),
        min_rows=section.take_or("min_rows", int, default.min_rows),
    )
    section.finish()
    return policy


def _score(section: Section) -> ScorePolicy:
    default = ScorePolicy()
    policy = ScorePolicy(
        max_rejected=section.take_or("max_rejected", float, default.max_rejected),
        drift=section.choice("drift", LEVELS) if "drift" in section else default.drift,
    )
    section.finish()
    return policy


def _rules(section: Section, measured: Iterable[str]) -> list[Rule]:
    metric = section.choice("metric", (*measured, *FULL_TRAINING_METRICS))
    bounds = [
        (bound, section.take(bound, float, policy_ranges.threshold(bound, metric)))
        for bound in ("min", "max")
        if bound in section
    ]
    reason, level = _reason_and_level(section)
    if not bounds:
        raise section.refuse("metric", f"{metric!r} has neither min nor max")
    return [Rule(metric, bound, threshold, reason, level) for bound, threshold in bounds]


def _require_one_that_fails(section: Section, rules: Sequence[Rule | ChampionRule]) -> None:
    if all(rule.level == "warn" for rule in rules):
        why = "each one only warns, so that no model could ever fail: one must have the level fail"
        raise section.refuse("rule", why)


def _only(section: Section, kinds: Sequence[str]) -> str:
    """Return which of the bounds a rule has: exactly one."""
    found = [kind for kind in kinds if kind in section]
    if len(found) != 1:
        raise section.refuse("metric", f"the rule must have exactly one of {', '.join(kinds)}")
    return found[0]


def _reason_and_level(section: Section) -> tuple[str, str]:
    reason = section.take("reason", str)
    level = section.choice("level", LEVELS) if "level" in section else "fail"
    section.finish()
    return reason, level
