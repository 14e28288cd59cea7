"""Chooses an estimator for a table: each that the owner's package has, by cross-validation.

All are asked about the same customers, none of whom they were trained on, so that what one of them
is better by is known more precisely than how good any of them is. The holdout is not among them: it
says later how good the chosen one is. First they are as many as the quick gate's; of a larger table
the estimators that are not far behind on these are tried again on more, which takes most of the
time. Of twice as many they are trained once, on three quarters, and asked about the others: that
takes as long, and shows which of them learns more where there is more to learn from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import stats

from ..data import dataset as rows_of
from ..data.contract import Contract
from ..data.dataset import Dataset
from . import fitting, plugins, training
from .comparison import compare_roc_auc, placements, sd_of_mean_placement
from .evaluation import TAILS
from .features import Features
from .policy import TrainingPolicy
from .training import Evaluation

# Of a large table a part is enough; of a wide one, as many rows as can be trained on in seconds.
ROWS = 20_000
VALUES = 3_000_000
MIN_ROWS = 1_000
# An estimator whose ROC AUC is lower than the best by certainly more than this on a few customers
# is not tried on more; one that is closer may overtake the best there.
FAR_BEHIND = 0.02
# Of twice as many customers all parts but one are trained on, once, in place of folds.
PARTS = 4


@dataclass(frozen=True)
class Candidate:
    """An estimator on a table.

    Attributes
    ----------
    rows
        How many customers it was tried on.
    roc_auc, low, high
        For these customers, with its 95 % interval.
    behind, behind_low, behind_high
        How much lower it is than that of the chosen estimator, on the same customers.
    """

    name: str
    rows: int
    roc_auc: float
    low: float
    high: float
    behind: float
    behind_low: float
    behind_high: float


@dataclass(frozen=True)
class Choice:
    """The estimator with the highest ROC AUC.

    Attributes
    ----------
    candidates
        The best first: it is the chosen one.
    quick, evaluation
        Its cross-validation in a quick gate, and its predictions when it was chosen.
    """

    candidates: tuple[Candidate, ...]
    quick: Evaluation
    evaluation: Evaluation

    @property
    def estimator(self) -> str:
        """The name of the chosen estimator."""
        return self.candidates[0].name

    def sentences(self) -> list[str]:
        """Return what was chosen, and by how much it is better than each of the others."""
        first, *others = self.candidates
        words = [
            f"the estimator is {first.name}: ROC AUC {first.roc_auc:.3f} ({first.low:.3f} to "
            f"{first.high:.3f}) on {first.rows} customers, none of them held out"
        ]
        for one in others:
            chance = ", which may be chance" if one.behind_low <= 0 else ""
            same = "the same customers" if one.rows == first.rows else f"{one.rows} customers"
            words.append(
                f"{one.name} reaches {one.roc_auc:.3f}, {one.behind:.3f} less "
                f"({one.behind_low:.3f} to {one.behind_high:.3f} on {same}){chance}"
            )
        return words


def choose(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> Choice:
    """Try every estimator of the owner's package on the same customers, none of the holdout.

    Raises
    ------
    ConfigurationError
        An estimator cannot be trained.
    DataError
        All customers of a part of the table have the same label.
    """
    known = dataset.select(~rows_of.is_held_out(dataset, policy.holdout_share))
    few = min(policy.quick_rows, len(known))
    tried = _cross_validated(known, contract, policy, plugins.estimators(policy.package), few)
    first = _ranked(tried, tried)
    rivals = [one.name for one in first if one.behind_low <= FAR_BEHIND]
    most = rows_for(len(Features(contract).names))
    larger = dict(tried)
    if len(rivals) > 1 and min(most, len(known)) > few:
        if len(known) < 2 * most:
            larger |= _cross_validated(known, contract, policy, rivals, most)
        else:
            larger |= _trained_once(known, contract, policy, rivals, 2 * most)
    ranked = _ranked({name: larger[name] for name in rivals}, larger)
    beaten = _ranked(
        {name: tried[name] for name in tried if name not in rivals}, tried, ranked[0].name
    )
    chosen = ranked[0].name
    policy = replace(policy, estimator=chosen)
    quick = training.cross_validate(dataset, contract, policy, "cross-validating a quick gate")
    return Choice((*ranked, *beaten), quick, larger[chosen])


def _cross_validated(
    known: Dataset, contract: Contract, policy: TrainingPolicy, names: Iterable[str], rows: int
) -> dict[str, Evaluation]:
    """Return each estimator's predictions for so many customers, or for all, out of fold."""
    return {
        name: training.cross_validate(
            known,
            contract,
            replace(policy, estimator=name, quick_rows=rows),
            f"trying {name} on {min(rows, len(known))} customers",
        )
        for name in names
    }


def _trained_once(
    known: Dataset, contract: Contract, policy: TrainingPolicy, names: Iterable[str], rows: int
) -> dict[str, Evaluation]:
    """Return each estimator's predictions for a part of so many, trained on the others."""
    customers = known.select(rows_of.quick_rows(known, rows))
    asked = rows_of.folds(customers, PARTS) == 0
    train, evaluated = customers.select(~asked), customers.select(asked)
    for part, words in ((train, "trained on"), (evaluated, "asked about")):
        rows_of.require_both_labels(part.labels, f"the part of the customers that is {words}")
    matrix = Features(contract).matrix(customers.columns)
    halves = np.arange(len(evaluated)) % 2
    counted = {"table": len(known), "trained": len(train), "evaluated": len(evaluated)}

    def evaluate(name: str) -> Evaluation:
        pipeline = fitting.fit(matrix[~asked], train.labels, replace(policy, estimator=name))
        y_prob = fitting.probabilities(pipeline, matrix[asked])
        predictions = training.predict_out_of_fold(evaluated.labels, y_prob, halves)
        return Evaluation(
            *(evaluated, predictions, counted),
            lambda other, _: fitting.probabilities(pipeline, other),
        )

    steps = {name: f"trying {name} on {len(train)} customers" for name in names}
    evaluations = fitting.at_once({text: partial(evaluate, name) for name, text in steps.items()})
    return dict(zip(steps, evaluations, strict=True))


def rows_for(features: int) -> int:
    """Return how many customers with so many features can be cross-validated in seconds."""
    return max(MIN_ROWS, min(ROWS, VALUES // features))


def _ranked(
    evaluations: Mapping[str, Evaluation],
    compared: Mapping[str, Evaluation],
    best: str | None = None,
) -> list[Candidate]:
    """Return estimators, the best first; of two that are equal, the first of the owner's module.

    Parameters
    ----------
    compared
        The evaluations of those that they are compared with, on the same customers.
    best
        The one that they are compared with; None for the best of them.
    """
    aucs = {name: one.predictions.metrics()["roc_auc"] for name, one in evaluations.items()}
    names = sorted(aucs, key=lambda name: -aucs[name])
    return [
        _candidate(name, aucs[name], evaluations[name], compared[best or names[0]])
        for name in names
    ]


def _candidate(name: str, auc: float, own: Evaluation, best: Evaluation) -> Candidate:
    predictions = own.predictions
    sd = sd_of_mean_placement(*placements(predictions.y_true == 1, predictions.y_prob))
    margin = float(stats.norm.ppf(TAILS[1])) * sd
    behind = compare_roc_auc(predictions, best.predictions)
    return Candidate(
        *(name, own.rows["evaluated"], auc, max(0.0, auc - margin), min(1.0, auc + margin)),
        *(behind.loss, behind.low, behind.high),
    )
