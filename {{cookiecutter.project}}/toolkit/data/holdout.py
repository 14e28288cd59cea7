"""Who is held out, beside the rest of the table: a hash of the id must not have chosen them.

Whoever may choose ids may choose the holdout, and with it the figures of every model.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from ..model.policy import DriftPolicy
from . import sketch as sketches
from .contract import Contract
from .dataset import Dataset, is_held_out
from .effect import HOLDOUT, Effect, two_sided
from .reference import Reference
from .relation import Ranking, rank_of
from .relation_drift import compare_rankings
from .sketch import Unchanged
from .table import Table


@dataclass(frozen=True)
class Part:
    """One side of a split.

    Attributes
    ----------
    rows, churned
        The number of customers, and of those who churned.
    ranking
        Of the reference's model; None with too few of either label.
    """

    rows: int
    churned: int
    ranking: Ranking | None


@dataclass(frozen=True)
class Holdout:
    """The customers who are never trained on, and the others.

    Attributes
    ----------
    share
        Of all customers that are held out, as the policy has it.
    clustering
        How many times the churn rate of a part varies more than if each customer were split alone.
    unchanged
        The customers of the reference who are still there; None for an older reference.
    """

    share: float
    clustering: float
    held_out: Part
    rest: Part
    unchanged: Unchanged | None


def measure(
    table: Table,
    dataset: Dataset,
    y_prob: npt.NDArray[np.float32],
    contract: Contract,
    reference: Reference,
    share: float,
) -> Holdout:
    """Return the holdout of a table without findings.

    Parameters
    ----------
    y_prob
        The predictions of the reference's model, [n].
    """
    chosen = is_held_out(dataset, share)
    predictions, sketch = reference.profile.predictions, reference.sketch
    edges = predictions.quantiles if predictions else ()
    held_out, rest = (
        Part(
            int(rows.sum()),
            int(dataset.labels[rows].sum()),
            rank_of(dataset.labels[rows] == 1, y_prob[rows], edges),
        )
        for rows in (chosen, ~chosen)
    )
    unchanged = None
    if sketch is not None:
        made_of = (reference.data_sha256, reference.profile.rows)
        unchanged = sketches.find(sketch, table, contract, *made_of)
    return Holdout(share, _clustering(dataset), held_out, rest, unchanged)


def _clustering(dataset: Dataset) -> float:
    """Return the variance of a sum over whole groups, as a multiple of that over single rows."""
    apart = dataset.labels - dataset.labels.mean()
    group_of, _ = pd.factorize(dataset.groups)
    together = float((np.bincount(group_of, weights=apart) ** 2).sum())
    return max(1.0, together / max(float((apart**2).sum()), 1.0))


def effects(found: Holdout, contract: Contract, policy: DriftPolicy) -> Iterator[Effect]:
    """Yield the comparisons of the holdout with the rest, and of the ids with the reference's.

    Of a holdout with too few rows for a verdict there are none.
    """
    held_out, rest = found.held_out, found.rest
    if min(held_out.rows, rest.rows) >= policy.min_rows:
        rates = [part.churned / part.rows for part in (held_out, rest)]
        rate = (held_out.churned + rest.churned) / (held_out.rows + rest.rows)
        variance = rate * (1 - rate) * (1 / held_out.rows + 1 / rest.rows)
        p_value = two_sided(rates[0] - rates[1], np.sqrt(variance * found.clustering))
        yield Effect(
            *(HOLDOUT, "churn rate", f"{rates[0]:.1%} churned, of the rest {rates[1]:.1%}"),
            *("difference of the churn rates", abs(rates[0] - rates[1]), policy.target),
            p_value,
            *(held_out.rows, rest.rows, "rest"),
        )
        if held_out.ranking and rest.ranking:
            of = "of the reference's model"
            wider = float(np.sqrt(found.clustering))
            ranking = replace(held_out.ranking, sd=held_out.ranking.sd * wider)
            other = replace(rest.ranking, sd=rest.ranking.sd * wider)
            yield compare_rankings(
                *(HOLDOUT, "difficulty", of), ranking, other, policy.relation, "rest"
            )
    if found.unchanged is not None and found.unchanged.sketched >= policy.min_rows:
        yield _ids(contract.id.name, found.unchanged, found.share, policy)


def _ids(column: str, one: Unchanged, share: float, policy: DriftPolicy) -> Effect:
    renamed = len(one.now)
    came = int(((one.now < share) & (one.before >= share)).sum())
    left = int(((one.now >= share) & (one.before < share)).sum())
    moved = (
        f"{renamed} of {one.sketched} customers of the reference are there with the same features "
        f"under another id (by chance about {one.expected:.2g}), and {one.found - renamed} under "
        f"their own; {came} of them came into the holdout, {left} left it"
    )
    # Of how many by chance, both tables are a sample: the test of two Poisson rates, given the sum
    # of the counts (Przyborowski and Wilenski, 1940).
    by_chance = one.odds / (1 + one.odds)
    p_value = float(stats.binom.sf(renamed - 1, renamed + one.alike, by_chance))
    return Effect(
        *(column, "ids", moved, "share of the reference's customers", renamed / one.sketched),
        *(policy.ids, p_value, one.sketched, one.sketched),
    )
