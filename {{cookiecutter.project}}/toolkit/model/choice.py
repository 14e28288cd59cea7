"""Chooses an estimator for a table: each that the owner's package has, by cross-validation.

All are asked about the same customers, none of whom they were trained on, so that what one of them
is better by is known more precisely than how good any of them is. The holdout is not among them: it
says later how good the chosen one is. First they are as many as the quick gate's; of a larger table
the estimators that are not far behind on these are tried again on more, which takes most of the
time. Of twice as many they are trained once, on three quarters, and asked about the others: that
takes as long, and shows which of them learns more where there is more to learn from.

A cross-validation is a race: who is certainly behind the best after its first folds is left out of
the others. The chosen one was asked about every customer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import stats

from ..data import dataset as rows_of
from ..data.contract import Contract
from ..data.dataset import Dataset
from ..data.progress import step
from . import fitting, plugins, training
from .comparison import compare_roc_auc, placements, sd_of_mean_placement
from .evaluation import TAILS, Predictions
from .features import Features
from .folds import Folds, predict_out_of_fold
from .policy import TrainingPolicy
from .training import Evaluation

# Of a large table a part is enough; of a wide one, as many rows as can be trained on in seconds.
ROWS = 20_000
VALUES = 3_000_000
MIN_ROWS = 1_000
# An estimator whose ROC AUC is lower than the best by certainly more than this on a few customers
# is not tried on more; one that is closer may overtake the best there.
FAR_BEHIND = 0.02
# Of a cross-validation, after which some are left out; with fewer of either label in these folds
# an interval is no certainty, and nobody is.
FIRST_FOLDS = 2
MIN_OF_EACH = 30
# Of twice as many customers all parts but one are trained on, once, in place of folds.
PARTS = 4
# A ROC AUC has none.
ANY_THRESHOLD = 0.5


@dataclass(frozen=True)
class Candidate:
    """An estimator on a table.

    Attributes
    ----------
    rows
        How many customers it was asked about.
    roc_auc, low, high
        For these customers, with its 95 % interval.
    than
        The estimator that it is compared with: the chosen one, or the best when it was left out.
    behind, behind_low, behind_high
        How much lower its ROC AUC is than that one's, on the same customers.
    left_out
        After what, in words, it was left out; empty for one that was tried to the end.
    """

    name: str
    rows: int
    roc_auc: float
    low: float
    high: float
    than: str
    behind: float
    behind_low: float
    behind_high: float
    left_out: str = ""


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
            reached = f"reaches {one.roc_auc:.3f}, {one.behind:.3f} less"
            interval = f"{one.behind_low:.3f} to {one.behind_high:.3f} on"
            if one.left_out:
                words.append(
                    f"{one.name} was left out after {one.left_out}: it {reached} than {one.than} "
                    f"({interval} {one.rows} customers)"
                )
            else:
                chance = ", which may be chance" if one.behind_low <= 0 else ""
                words.append(f"{one.name} {reached} ({interval} the same customers){chance}")
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
    most = rows_for(len(Features(contract).names))
    more = min(most, len(known)) > few
    names = [*plugins.estimators(policy.package)]
    # On more customers an estimator that is behind may overtake.
    reach = FAR_BEHIND if more else 0.0
    tried, left_out = _raced(known, contract, policy, names, few, reach)
    if more:
        after = f"{policy.folds} of {policy.folds} folds"
        rivals, beaten = _parted(_predictions(tried), FAR_BEHIND, after)
        left_out = [*beaten, *left_out]
        if len(rivals) == 1:
            tried = {name: tried[name] for name in rivals}
        elif len(known) < 2 * most:
            tried, later = _raced(known, contract, policy, rivals, most, 0.0)
            left_out = [*later, *left_out]
        else:
            tried = _trained_once(known, contract, policy, rivals, 2 * most)
    ranked = _ranked(_predictions(tried))
    chosen = ranked[0].name
    policy = replace(policy, estimator=chosen)
    quick = training.cross_validate(dataset, contract, policy, "cross-validating a quick gate")
    return Choice((*ranked, *left_out), quick, tried[chosen])


def _raced(
    known: Dataset,
    contract: Contract,
    policy: TrainingPolicy,
    names: Sequence[str],
    rows: int,
    reach: float,
) -> tuple[dict[str, Evaluation], list[Candidate]]:
    """Cross-validate estimators on so many customers, or on all.

    Parameters
    ----------
    reach
        Whose ROC AUC is behind the best by certainly more after the first folds is left out.

    Returns
    -------
    evaluations
        Of the others, by name.
    left_out
        The best of them first.
    """
    customers = known.select(rows_of.quick_rows(known, rows))
    folds = Folds(customers, Features(contract).matrix(customers.columns), policy)
    first, rest = folds.places[:FIRST_FOLDS], folds.places[FIRST_FOLDS:]
    with step(f"trying {', '.join(names)} on {len(customers)} customers"):
        models = folds.fit(names, first)
        asked = np.isin(folds.fold_of, first)
        labels = customers.labels[asked]
        rivals, left_out = [*names], list[Candidate]()
        if min(labels.sum(), (1 - labels).sum()) >= MIN_OF_EACH:
            rivals, left_out = _parted(
                {
                    name: Predictions.at_threshold(labels, one.y_prob[asked], ANY_THRESHOLD)
                    for name, one in models.items()
                },
                *(reach, f"{len(first)} of {policy.folds} folds"),
            )
        models = {name: models[name] | one for name, one in folds.fit(rivals, rest).items()}
    evaluations = {
        name: training.out_of_fold(customers, one, len(known)) for name, one in models.items()
    }
    return evaluations, left_out


def _parted(
    predictions: Mapping[str, Predictions], reach: float, after: str
) -> tuple[list[str], list[Candidate]]:
    """Return the estimators within reach of the best, and those that are left out after this."""
    ranked = _ranked(predictions)
    behind = {one.name: replace(one, left_out=after) for one in ranked if one.behind_low > reach}
    return [name for name in predictions if name not in behind], [*behind.values()]


def _trained_once(
    known: Dataset, contract: Contract, policy: TrainingPolicy, names: Sequence[str], rows: int
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
    prepared = fitting.prepare(matrix[~asked], train.labels, replace(policy, estimator=names[0]))

    def evaluate(name: str) -> Evaluation:
        pipeline = fitting.fit_prepared(prepared, replace(policy, estimator=name))
        y_prob = fitting.probabilities(pipeline, matrix[asked])
        predictions = predict_out_of_fold(evaluated.labels, y_prob, halves)
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


def _predictions(evaluations: Mapping[str, Evaluation]) -> dict[str, Predictions]:
    return {name: one.predictions for name, one in evaluations.items()}


def _ranked(predictions: Mapping[str, Predictions]) -> list[Candidate]:
    """Return estimators, the best first; of two that are equal, the first of the owner's module."""
    aucs = {name: one.metrics()["roc_auc"] for name, one in predictions.items()}
    names = sorted(aucs, key=lambda name: -aucs[name])
    best = names[0]
    return [_candidate(name, predictions[name], best, predictions[best]) for name in names]


def _candidate(name: str, own: Predictions, than: str, best: Predictions) -> Candidate:
    sd = sd_of_mean_placement(*placements(own.y_true == 1, own.y_prob))
    margin = float(stats.norm.ppf(TAILS[1])) * sd
    behind = compare_roc_auc(own, best)
    auc = behind.candidate
    return Candidate(
        *(name, len(own), auc, max(0.0, auc - margin), min(1.0, auc + margin)),
        *(than, behind.loss, behind.low, behind.high),
    )
