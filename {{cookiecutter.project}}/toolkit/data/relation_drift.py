"""Whether the columns still relate to the target as in the reference: what changed, and how far.

Of each column only the worst of its slices is told, with a p-value that is corrected for their
number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..model.policy import DriftPolicy, Levels
from .effect import PREDICTIONS, Effect, two_sided
from .relation import Ranking, Relation, Slice

CHANGE_OF_RATE = "change of observed minus predicted churn rate"
CHANGE_OF_AUC = "change of the ROC AUC"


def effects(now: Relation, then: Relation, policy: DriftPolicy) -> Iterator[Effect]:
    """Yield the comparisons of a table's relation to the target with the reference's."""
    yield _calibration(PREDICTIONS, "all customers", now.all, then.all, policy.calibration)
    if now.all.ranking and then.all.ranking:
        yield _of_slice(PREDICTIONS, "all customers", now.all, then.all, then.optimism, policy)
    for column, slices in now.slices.items():
        pairs = [
            (name, one, then.slices[column][name])
            for name, one in slices.items()
            if name in then.slices.get(column, {})
        ]
        large = [
            (name, one, other)
            for name, one, other in pairs
            if min(one.rows, other.rows) >= policy.min_rows
        ]
        yield from _worst(
            [
                _calibration(column, name, one, other, policy.calibration)
                for name, one, other in large
            ]
        )
        yield from _worst(
            [
                _of_slice(column, name, one, other, then.optimism, policy)
                for name, one, other in large
                if one.ranking and other.ranking
            ]
        )
    for column, ranking in now.alone.items():
        if column in then.alone:
            words = ("alone", "of the column alone")
            yield compare_rankings(
                column, *words, ranking, then.alone[column], policy.relation, "reference"
            )


def compare_rankings(
    column: str,
    aspect: str,
    of: str,
    one: Ranking,
    other: Ranking,
    levels: Levels,
    compared_with: str,
    optimism: float = 0.0,
) -> Effect:
    """Compare the ROC AUC of different customers.

    Parameters
    ----------
    of
        What ranks which customers, in words.
    optimism
        How much higher the other one may be because its customers are those that were fitted.
    """
    change = one.auc - other.auc
    if change < 0:
        change = min(0.0, change + optimism)
    sd = float(np.hypot(one.sd, other.sd))
    moved = f"the ROC AUC {of} is {one.auc:.3f}, {compared_with} {other.auc:.3f}"
    return Effect(
        *(column, aspect, moved, CHANGE_OF_AUC, abs(change), levels, two_sided(change, sd)),
        *(one.rows, other.rows, compared_with),
    )


def _of_slice(
    column: str, name: str, now: Slice, then: Slice, optimism: float, policy: DriftPolicy
) -> Effect:
    assert now.ranking and then.ranking
    of = f"of the reference's model for {name}"
    rankings = (now.ranking, then.ranking)
    return compare_rankings(
        column, "ranking", of, *rankings, policy.relation, "reference", optimism
    )


def _calibration(column: str, name: str, now: Slice, then: Slice, levels: Levels) -> Effect:
    change = now.gap - then.gap
    rates = [one.churned / one.rows for one in (now, then)]
    moved = (
        f"of {name} {rates[0]:.1%} churned and the reference's model expects "
        f"{rates[0] - now.gap:.1%}, in the reference {rates[1]:.1%} and {rates[1] - then.gap:.1%}"
    )
    p_value = two_sided(change, float(np.hypot(now.gap_sd, then.gap_sd)))
    return Effect(
        *(column, "calibration", moved, CHANGE_OF_RATE, abs(change), levels, p_value),
        *(now.rows, then.rows),
    )


def _worst(slices: Sequence[Effect]) -> Iterator[Effect]:
    """Yield the most significant of the large changes of one column, or of all changes."""
    large = [one for one in slices if one.value >= one.levels.warn]
    if slices:
        worst = min(large or slices, key=lambda one: one.p_value)
        yield replace(worst, p_value=min(1.0, worst.p_value * len(slices)))
