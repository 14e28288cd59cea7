"""Drift: whether a table is distributed like the reference, and if not, what changed and how far.

A change counts as drift if it is both significant, at this number of rows and corrected for the
number of comparisons, and large: an effect above a threshold of quality.toml. Significance alone
would flag negligible changes in a million rows, effect size alone noise in three hundred.
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
IN_WORDS = {
    "distribution": "distribution drift",
    "categories": "category drift",
    "nulls": "null rate drift",
}
SHOWN_CHANGES = 3
SHOWN_NAMES = 5
SMALLEST_P = 1e-6
# Below this the chi-square approximation is poor.
MIN_EXPECTED = 5.0


@dataclass(frozen=True)
class Effect:
    """One measured difference between a table and the reference.

    Attributes
    ----------
    column
        A column's name, or `PREDICTIONS`.
    aspect
        ``distribution``, ``categories`` (new and missing ones) or ``nulls``.
    moved
        The change in words.
    statistic, value
        The effect size: its name with its unit, and its value.
    levels
        The thresholds of the policy.
    p_value
        The probability of at least such a difference between samples of one distribution.
    rows, reference_rows
        The number of values compared.
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
    """The result of one comparison.

    Attributes
    ----------
    level
        ``ok``, ``warn``, ``fail``, or ``unknown`` where there are too few rows.
    significance
        The p-value below which a change is significant.
    """

    level: str
    significance: float

    @property
    def evidence(self) -> str:
        """The effect size and its significance, each with its threshold."""
        small = self.p_value < SMALLEST_P
        p_value = f"p < {SMALLEST_P:g}" if small else f"p = {self.p_value:.1g}"
        return (
            f"{self.statistic} {self.value:.3g} "
            f"(warns from {self.levels.warn:g}, fails from {self.levels.fail:g}), "
            f"{p_value} (significant below {self.significance:.1g}), "
            f"{self.rows:,} rows, reference {self.reference_rows:,}"
        )

    def __str__(self) -> str:
        return f"{self.column}: {IN_WORDS[self.aspect]}: {self.moved}; {self.evidence}"


def compare(now: Profile, then: Profile, contract: Contract, policy: DriftPolicy) -> list[Drift]:
    """Compare a table's profile with the reference's, column by column.

    A missing column is skipped: it is a finding of the contract.
    """
    effects = list(_effects(now, then, contract, policy))
    # Bonferroni: the significance level is that of the whole table.
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
            numbers, reference_numbers = now.numbers[name], then.numbers[name]
            yield _of_numbers(name, numbers, reference_numbers, policy.numbers)
            yield _of_nulls(name, numbers, reference_numbers, policy.nulls)
        elif name in now.categories:
            current, reference = now.categories[name], then.categories[name]
            yield _of_categories(name, current, reference, policy.categories)
            yield _of_new_and_missing(name, current, reference, policy.come_and_gone)
            yield _of_nulls(name, current, reference, policy.nulls)
    name = contract.target.name
    if name in now.categories:
        yield _of_categories(name, now.categories[name], then.categories[name], policy.target)
    if now.predictions is not None and then.predictions is not None:
        yield _of_numbers(PREDICTIONS, now.predictions, then.predictions, policy.predictions)


def _of_numbers(column: str, now: Numbers, then: Numbers, levels: Levels) -> Effect:
    statistic, value, p_value = "Wasserstein distance in standard deviations", 0.0, 1.0
    if now.rows and then.rows:
        distances = np.abs(np.subtract(now.quantiles, then.quantiles))
        if then.sd > 0:
            value = float(distances.mean()) / then.sd
            p_value = _chi_square(now.counts, then.counts)
        else:  # The reference is constant: there is no unit for a distance.
            statistic, value = "share of other values", float((distances > 0).mean())
            p_value = _fisher(round(value * now.rows), now.rows, 0, then.rows)
    moved = f"mean {now.mean:.4g}, reference {then.mean:.4g}"
    if now.rows and then.rows:
        moved += (
            f"; interquartile range {now.quantiles[25]:.4g} to {now.quantiles[74]:.4g}, "
            f"reference {then.quantiles[25]:.4g} to {then.quantiles[74]:.4g}"
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
    largest = np.argsort(-np.abs(changes), kind="stable")[:SHOWN_CHANGES]
    moved = "; ".join(
        f"{names[at]!r} {new[at] / max(now.rows, 1):.1%}, "
        f"reference {old[at] / max(then.rows, 1):.1%}"
        for at in largest
    )
    distance = float(np.abs(changes).sum() / 2)
    return Effect(
        *(column, "distribution", moved, "total variation distance", distance, levels),
        *(_chi_square(new, old), now.rows, then.rows),
    )


def _of_new_and_missing(column: str, now: Categories, then: Categories, levels: Levels) -> Effect:
    new = {name: now.counts[name] for name in now.counts.keys() - then.counts.keys()}
    missing = {name: then.counts[name] for name in then.counts.keys() - now.counts.keys()}
    p_values = [_fisher(count, now.rows, 0, then.rows) for count in new.values()]
    p_values += [_fisher(0, now.rows, count, then.rows) for count in missing.values()]
    shares = (sum(new.values()) / max(now.rows, 1), sum(missing.values()) / max(then.rows, 1))
    words = [
        f"{what}: {_names(names)}" for what, names in (("new", new), ("missing", missing)) if names
    ]
    return Effect(
        *(column, "categories", "; ".join(words) or "the same categories", "share of rows"),
        *(max(shares), levels, min([1.0, *(len(p_values) * p_value for p_value in p_values)])),
        *(now.rows, then.rows),
    )


def _names(names: Collection[str]) -> str:
    first = ", ".join(map(repr, sorted(names)[:SHOWN_NAMES]))
    return f"{first} and {len(names) - SHOWN_NAMES} others" if len(names) > SHOWN_NAMES else first


def _of_nulls(
    column: str, now: Numbers | Categories, then: Numbers | Categories, levels: Levels
) -> Effect:
    rows, reference_rows = now.rows + now.nulls, then.rows + then.nulls
    share, reference_share = now.nulls / max(rows, 1), then.nulls / max(reference_rows, 1)
    return Effect(
        *(column, "nulls", f"{share:.2%}, reference {reference_share:.2%}"),
        *("change of the null rate", abs(share - reference_share), levels),
        *(_fisher(now.nulls, rows, then.nulls, reference_rows), rows, reference_rows),
    )


def _chi_square(
    now: Sequence[int] | npt.NDArray[Any], then: Sequence[int] | npt.NDArray[Any]
) -> float:
    """Return the p-value of the hypothesis that both counts come from one distribution."""
    counts = np.array([now, then])
    pooled = counts.sum(axis=0)
    rare = pooled * counts.sum(axis=1).min() < MIN_EXPECTED * counts.sum()
    grouped = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    grouped = grouped[:, grouped.sum(axis=0) > 0]
    if grouped.shape[1] < 2 or not grouped.sum(axis=1).all():
        return 1.0
    return float(stats.chi2_contingency(grouped, correction=False).pvalue)


def _fisher(now: int, rows: int, then: int, reference_rows: int) -> float:
    """Return the p-value of the hypothesis that both samples have the same share."""
    return float(stats.fisher_exact([[now, rows - now], [then, reference_rows - then]]).pvalue)
