"""Drift: whether a table is still like the reference, and if not, what has moved and how far.

A verdict needs two things at once. The change must be certain: significant at this number of rows,
corrected for the number of things that are looked at. And it must be large: an effect above a floor
of quality.toml. The first alone would flag dust in a million rows, the second alone noise in three
hundred.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from ..model.policy import DriftPolicy, Levels
from .contract import Contract
from .distribution import Categories, Numbers
from .reference import Profile

PREDICTIONS = "predictions"
MOVED = 3
NAMED = 5
# Below it the chi-square distribution is a poor stand-in for the exact one.
MIN_EXPECTED = 5.0


@dataclass(frozen=True)
class Effect:
    """How far a table is from the reference in one respect.

    Attributes
    ----------
    column
        A column's name, or `PREDICTIONS`.
    aspect
        ``distribution``, ``categories`` (which of them are there) or ``nulls``.
    moved
        What has moved, in words.
    statistic, value
        The effect: its name with its unit, and its size.
    levels
        What the policy says of it.
    p_value
        How often no change at all would look like this.
    rows, reference_rows
        How many values were compared.
    """

    column: str
    aspect: str
    moved: str
    statistic: str
    value: float
    levels: Levels
    p_value: float
    rows: int
    reference_rows: int


@dataclass(frozen=True)
class Drift(Effect):
    """What came of one comparison.

    Attributes
    ----------
    level
        ``ok``, ``warn``, ``fail``, or ``unknown`` where there are too few rows to tell.
    significance
        Below this p-value a change is certain.
    """

    level: str
    significance: float

    def __str__(self) -> str:
        return (
            f"{self.column}: drift of the {self.aspect}: {self.moved}; "
            f"{self.statistic} {self.value:.3g} "
            f"(warns from {self.levels.warn:g}, fails from {self.levels.fail:g}), "
            f"p {self.p_value:.1g} (counts below {self.significance:.1g}), "
            f"{self.rows} rows against {self.reference_rows}"
        )


def compare(now: Profile, then: Profile, contract: Contract, policy: DriftPolicy) -> list[Drift]:
    """Hold a table's profile against the reference's: all its columns that are there.

    One that is missing is passed over: that is a finding of the contract.
    """
    effects = list(_effects(now, then, contract, policy))
    # Bonferroni: each of them may cry wolf, and the table counts as one.
    significance = policy.significance / max(len(effects), 1)
    return [
        Drift(
            **vars(effect),
            level=_level(effect, significance, policy.min_rows),
            significance=significance,
        )
        for effect in effects
    ]


def _level(effect: Effect, significance: float, min_rows: int) -> str:
    if min(effect.rows, effect.reference_rows) < min_rows:
        return "unknown"
    if effect.p_value >= significance or effect.value < effect.levels.warn:
        return "ok"
    return "fail" if effect.value >= effect.levels.fail else "warn"


def _effects(
    now: Profile, then: Profile, contract: Contract, policy: DriftPolicy
) -> Iterator[Effect]:
    for column in contract.features:
        name = column.name
        if name in now.numbers:
            here, there = now.numbers[name], then.numbers[name]
            yield _of_numbers(name, here, there, policy.numbers)
            yield _of_nulls(name, here, there, policy.nulls)
        elif name in now.categories:
            these, those = now.categories[name], then.categories[name]
            yield _of_categories(name, these, those, policy.categories)
            yield _of_come_and_gone(name, these, those, policy.come_and_gone)
            yield _of_nulls(name, these, those, policy.nulls)
    name = contract.target.name
    if name in now.categories:
        yield _of_categories(name, now.categories[name], then.categories[name], policy.target)
    if now.predictions is not None and then.predictions is not None:
        yield _of_numbers(PREDICTIONS, now.predictions, then.predictions, policy.predictions)


def _of_numbers(column: str, now: Numbers, then: Numbers, levels: Levels) -> Effect:
    statistic, value, p_value = "Wasserstein distance / sd", 0.0, 1.0
    if now.rows and then.rows:
        distances = np.abs(np.subtract(now.quantiles, then.quantiles))
        if then.sd > 0:
            value = float(distances.mean()) / then.sd
            p_value = _chi_square(now.counts, then.counts)
        else:  # One value so far: there is no distance to measure others in.
            statistic, value = "share of other values", float((distances > 0).mean())
            p_value = _fisher(round(value * now.rows), now.rows, 0, then.rows)
    moved = f"mean {then.mean:.4g} in the reference, {now.mean:.4g} now"
    if now.rows and then.rows:
        moved += (
            f"; the middle half {then.quantiles[25]:.4g} to {then.quantiles[74]:.4g}, "
            f"now {now.quantiles[25]:.4g} to {now.quantiles[74]:.4g}"
        )
    return Effect(
        *(column, "distribution", moved, statistic, value, levels, p_value),
        *(now.rows, then.rows),
    )


def _of_categories(column: str, now: Categories, then: Categories, levels: Levels) -> Effect:
    names = sorted(now.counts.keys() | then.counts.keys())
    new = np.array([now.counts.get(name, 0) for name in names])
    old = np.array([then.counts.get(name, 0) for name in names])
    changes = new / max(now.rows, 1) - old / max(then.rows, 1)
    most = np.argsort(-np.abs(changes), kind="stable")[:MOVED]
    moved = ", ".join(
        f"{names[at]!r} {old[at] / max(then.rows, 1):.1%} in the reference, "
        f"{new[at] / max(now.rows, 1):.1%} now"
        for at in most
    )
    return Effect(
        *(column, "distribution", moved, "total variation", float(np.abs(changes).sum() / 2)),
        *(levels, _chi_square(new, old), now.rows, then.rows),
    )


def _of_come_and_gone(column: str, now: Categories, then: Categories, levels: Levels) -> Effect:
    come = {name: now.counts[name] for name in now.counts.keys() - then.counts.keys()}
    gone = {name: then.counts[name] for name in then.counts.keys() - now.counts.keys()}
    p_values = [_fisher(count, now.rows, 0, then.rows) for count in come.values()]
    p_values += [_fisher(0, now.rows, count, then.rows) for count in gone.values()]
    shares = (sum(come.values()) / max(now.rows, 1), sum(gone.values()) / max(then.rows, 1))
    words = [
        f"{what} {_names(names)}" for what, names in (("new:", come), ("gone:", gone)) if names
    ]
    return Effect(
        *(column, "categories", "; ".join(words) or "the same categories", "share of rows"),
        *(max(shares), levels, min([1.0, *(len(p_values) * p_value for p_value in p_values)])),
        *(now.rows, then.rows),
    )


def _names(names: Collection[str]) -> str:
    first = ", ".join(map(repr, sorted(names)[:NAMED]))
    return f"{first} and {len(names) - NAMED} others" if len(names) > NAMED else first


def _of_nulls(
    column: str, now: Numbers | Categories, then: Numbers | Categories, levels: Levels
) -> Effect:
    rows, reference_rows = now.rows + now.nulls, then.rows + then.nulls
    share, reference_share = now.nulls / max(rows, 1), then.nulls / max(reference_rows, 1)
    return Effect(
        *(column, "nulls", f"{reference_share:.2%} in the reference, {share:.2%} now"),
        *("change of the share", abs(share - reference_share), levels),
        *(_fisher(now.nulls, rows, then.nulls, reference_rows), rows, reference_rows),
    )


def _chi_square(
    now: Sequence[int] | npt.NDArray[Any], then: Sequence[int] | npt.NDArray[Any]
) -> float:
    """Return the p-value of two samples' counts being drawn from one distribution."""
    counts = np.array([now, then])
    pooled = counts.sum(axis=0)
    rare = pooled * counts.sum(axis=1).min() < MIN_EXPECTED * counts.sum()
    grouped = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    grouped = grouped[:, grouped.sum(axis=0) > 0]
    if grouped.shape[1] < 2 or not grouped.sum(axis=1).all():
        return 1.0
    return float(stats.chi2_contingency(grouped, correction=False).pvalue)


def _fisher(now: int, rows: int, then: int, reference_rows: int) -> float:
    """Return the p-value of two samples having the same share."""
    return float(stats.fisher_exact([[now, rows - now], [then, reference_rows - then]]).pvalue)
