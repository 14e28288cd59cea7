"""Drift: whether a table is distributed like the reference, and if not, what changed and how far.

A change counts as drift if it is both significant, at this number of rows and corrected for the
number of comparisons, and large: an effect above a threshold of quality.toml. Significance alone
would flag negligible changes in a million rows, effect size alone noise in three hundred.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from ..model.policy import DriftPolicy, Levels
from . import relation_drift
from .contract import Contract
from .distribution import Categories, Numbers
from .effect import HOLDOUT, PREDICTIONS, SHOWN_NAMES, Drift, Effect, fisher
from .profile import Profile

SHOWN_CHANGES = 3
# Below this the chi-square approximation is poor.
MIN_EXPECTED = 5.0


def compare(
    now: Profile,
    then: Profile,
    contract: Contract,
    policy: DriftPolicy,
    others: Iterable[Effect] = (),
) -> list[Drift]:
    """Compare a table's profile with the reference's, column by column.

    A missing column is skipped: it is a finding of the contract.

    Parameters
    ----------
    others
        Comparisons that share the significance level with these.
    """
    effects = [*_effects(now, then, contract, policy), *others]
    apart = (HOLDOUT, contract.id.name)
    overall = sum(_is_overall(effect, apart) for effect in effects)
    drifts = []
    for effect in effects:
        # Bonferroni: the significance level is that of the whole table. One half is for the few
        # comparisons of all customers, which would have no power among those of many columns.
        number = overall if _is_overall(effect, apart) else len(effects) - overall
        significance = policy.significance / 2 / number
        level = _level(effect, significance, policy.min_rows)
        drifts.append(Drift(**vars(effect), level=level, significance=significance))
    return drifts


def _is_overall(effect: Effect, apart: Collection[str]) -> bool:
    """Return whether a comparison is about all customers, and not about one column of them.

    Parameters
    ----------
    apart
        What is no feature: the holdout, and the id.
    """
    if effect.column == PREDICTIONS:
        return effect.aspect in ("calibration", "ranking")
    return effect.column in apart


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
            if numbers.far is not None and reference_numbers.far is not None:
                yield _of_extremes(name, numbers, reference_numbers, policy.extremes)
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
    if now.relation is not None and then.relation is not None:
        yield from relation_drift.effects(now.relation, then.relation, policy)


def _of_numbers(column: str, now: Numbers, then: Numbers, levels: Levels) -> Effect:
    statistic, value, p_value = "Wasserstein distance in standard deviations", 0.0, 1.0
    if now.rows and then.rows:
        distances = np.abs(np.subtract(now.quantiles, then.quantiles))
        if then.sd > 0:
            value = float(distances.mean()) / then.sd
            p_value = _chi_square(now.counts, then.counts)
        else:  # The reference is constant: there is no unit for a distance.
            statistic, value = "share of other values", float((distances > 0).mean())
            p_value = fisher(round(value * now.rows), now.rows, 0, then.rows)
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


def _of_extremes(column: str, now: Numbers, then: Numbers, levels: Levels) -> Effect:
    """Compare the values far outside of the quantiles, which all look at the middle."""
    far, reference_far = now.far or 0, then.far or 0
    moved = f"{far} values, reference {reference_far}"
    if then.quantiles:
        low, high = then.fences
        moved += f", below {low:.4g} or above {high:.4g}"
    if now.lowest is not None and then.lowest is not None:
        moved += (
            f"; from {now.lowest:.6g} to {now.highest:.6g}, "
            f"reference {then.lowest:.6g} to {then.highest:.6g}"
        )
    change = abs(far / max(now.rows, 1) - reference_far / max(then.rows, 1))
    return Effect(
        *(column, "extremes", moved, "change of the share of far values", change, levels),
        *(fisher(far, now.rows, reference_far, then.rows), now.rows, then.rows),
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
    p_values = [fisher(count, now.rows, 0, then.rows) for count in new.values()]
    p_values += [fisher(0, now.rows, count, then.rows) for count in missing.values()]
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
        *(fisher(now.nulls, rows, then.nulls, reference_rows), rows, reference_rows),
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
