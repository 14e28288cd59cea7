"""Reads quality.toml: every key is checked, and a missing or unknown one is refused."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..data import document
from ..data.document import Section
from . import plugins
from .metrics import HIGHER_IS_BETTER, OWNERS, BusinessMetric, Metric
from .policy import (
    SHARES,
    ChampionPolicy,
    ChampionRule,
    DriftPolicy,
    FairnessPolicy,
    FairnessRule,
    Levels,
    NightlyPolicy,
    Policy,
    Rule,
    SlicePolicy,
    SliceRule,
    TrainingPolicy,
)

SCHEMA = 2
# Measured by a full training alone, of a model that could be released.
FULL_TRAINING_METRICS = ("train_test_gap", "latency_ms", "model_mb")
LEVELS = ("fail", "warn")
COMPARED_IN_SLICES = "roc_auc"
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
    top = document.read(path, SCHEMA)
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
        rules=tuple(rule for one in top.tables("rule") for rule in _rules(one, measured)),
    )
    top.finish()
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
    for name, (lowest, highest) in metric.parameters.items():
        value = values[name] = section.take(name, float)
        if not lowest <= value <= highest:
            raise section.refuse(name, f"must be from {lowest:g} to {highest:g}, not {value:g}")
    return values


def _training(section: Section, package: str) -> TrainingPolicy:
    policy = TrainingPolicy(
        package=package,
        estimator=section.choice("estimator", tuple(plugins.estimators(package))),
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
    if policy.folds < 3:
        raise section.refuse("folds", "must be at least 3: a threshold is chosen on the others")
    if not 0 < policy.holdout_share < 1:
        raise section.refuse("holdout_share", "must be a share between 0 and 1")
    return policy


def _drift(section: Section) -> DriftPolicy:
    policy = DriftPolicy(
        significance=_significance(section),
        min_rows=section.take("min_rows", int),
        numbers=_levels(section.table("numbers")),
        predictions=_levels(section.table("predictions")),
        categories=_levels(section.table("categories")),
        target=_levels(section.table("target")),
        come_and_gone=_levels(section.table("come_and_gone")),
        nulls=_levels(section.table("nulls")),
    )
    section.finish()
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


def _significance(section: Section) -> float:
    significance = section.take("significance", float)
    if not 0 < significance < 1:
        raise section.refuse("significance", "must be a share between 0 and 1")
    return significance


def _slices(section: Section, measured: Mapping[str, bool]) -> SlicePolicy:
    rules = []
    for one in section.tables_or_none("rule"):
        metric = one.choice("metric", tuple(measured))
        if not measured[metric]:
            raise one.refuse("metric", f"slices have lower bounds, and {metric} is better low")
        kind, threshold = _only(one, SLICE_KINDS)
        if kind == "max_loss" and metric != COMPARED_IN_SLICES:
            raise one.refuse("metric", f"slices are compared by {COMPARED_IN_SLICES} alone")
        rules.append(SliceRule(metric, kind, threshold, *_reason_and_level(one)))
    policy = SlicePolicy(
        min_rows=section.take("min_rows", int),
        min_of_each=section.take("min_of_each", int),
        bands=section.take("bands", int),
        significance=_significance(section),
        rules=tuple(rules),
    )
    section.finish()
    if policy.min_rows < 1 or policy.min_of_each < 1:
        raise section.refuse("min_rows", "must be at least 1, and min_of_each too")
    if policy.bands < 2:
        raise section.refuse("bands", "must be at least 2")
    return policy


def _champion(section: Section, measured: Iterable[str]) -> ChampionPolicy:
    rules = []
    for one in section.tables("rule"):
        metric = one.choice("metric", tuple(measured))
        kind, threshold = _only(one, CHAMPION_KINDS)
        if threshold < 0:
            raise one.refuse(kind, "must not be negative")
        rules.append(ChampionRule(metric, kind, threshold, *_reason_and_level(one)))
    policy = ChampionPolicy(
        significance=_significance(section),
        max_age_days=section.take("max_age_days", float),
        min_rows_share=section.take("min_rows_share", float),
        max_refused=section.take("max_refused", float),
        other_features=section.choice("other_features", LEVELS),
        rules=tuple(rules),
    )
    section.finish()
    if policy.max_age_days <= 0:
        raise section.refuse("max_age_days", "must be more than 0")
    for key in ("min_rows_share", "max_refused"):
        if not 0 <= getattr(policy, key) <= 1:
            raise section.refuse(key, "must be a share from 0 to 1")
    return policy


def _fairness(section: Section) -> FairnessPolicy:
    rules = []
    for one in section.tables_or_none("rule"):
        metric, max_gap = one.choice("metric", SHARES), one.take("max_gap", float)
        if not 0 < max_gap < 1:
            raise one.refuse("max_gap", "must be a share between 0 and 1")
        rules.append(FairnessRule(metric, max_gap, *_reason_and_level(one)))
    policy = FairnessPolicy(
        columns=section.texts_or_none("columns"),
        min_rows=section.take("min_rows", int),
        significance=_significance(section),
        rules=tuple(rules),
    )
    section.finish()
    if policy.columns and not policy.rules:
        raise section.refuse("rule", "there is no rule for the protected columns")
    return policy


def _nightly(section: Section) -> NightlyPolicy:
    policy = NightlyPolicy(section.take("days_ago", int), _significance(section))
    section.finish()
    if policy.days_ago < 1:
        raise section.refuse("days_ago", "must be at least 1")
    return policy


def _rules(section: Section, measured: Iterable[str]) -> list[Rule]:
    metric = section.choice("metric", (*measured, *FULL_TRAINING_METRICS))
    bounds = [(bound, section.take(bound, float)) for bound in ("min", "max") if bound in section]
    reason, level = _reason_and_level(section)
    if not bounds:
        raise section.refuse("metric", f"{metric!r} has neither min nor max")
    return [Rule(metric, bound, threshold, reason, level) for bound, threshold in bounds]


def _only(section: Section, kinds: Sequence[str]) -> tuple[str, float]:
    """Take the only bound of a rule."""
    found = [kind for kind in kinds if kind in section]
    if len(found) != 1:
        raise section.refuse("metric", f"the rule must have exactly one of {', '.join(kinds)}")
    return found[0], section.take(found[0], float)


def _reason_and_level(section: Section) -> tuple[str, str]:
    reason = section.take("reason", str)
    level = section.choice("level", LEVELS) if "level" in section else "fail"
    section.finish()
    return reason, level
