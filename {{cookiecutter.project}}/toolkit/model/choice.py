"""Chooses an estimator for a table: each that the owner's package has, by cross-validation.

All are asked about the same customers, none of whom they were trained on, so that what one of them
is better by is known more precisely than how good any of them is. First they are as many as the
quick gate's; of a larger table the estimators that are not far behind on these are tried again on
more, which takes most of the time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from scipy import stats

from ..data.contract import Contract
from ..data.dataset import Dataset
from . import plugins, training
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


@dataclass(frozen=True)
class Candidate:
    """An estimator on a table.

    Attributes
    ----------
    rows
        How many customers it was tried on.
    roc_auc, low, high
        Of the cross-validation, with its 95 % interval.
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
        Its cross-validations on the customers of the quick gate, and on more if it was tried on
        more.
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
            f"{first.high:.3f}) in a cross-validation of {first.rows} customers"
        ]
        for one in others:
            chance = ", which may be chance" if one.behind_low <= 0 else ""
            same = "the same customers" if one.rows == first.rows else f"{one.rows} of them"
            words.append(
                f"{one.name} reaches {one.roc_auc:.3f}, {one.behind:.3f} less "
                f"({one.behind_low:.3f} to {one.behind_high:.3f} on {same}){chance}"
            )
        return words


def choose(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> Choice:
    """Cross-validate every estimator of the owner's package on the same customers.

    Raises
    ------
    ConfigurationError
        An estimator cannot be trained.
    DataError
        All customers of a part of the table have the same label.
    """

    def evaluate(names: Iterable[str], rows: int) -> dict[str, Evaluation]:
        return {
            name: training.cross_validate(
                dataset,
                contract,
                replace(policy, estimator=name, quick_rows=rows),
                f"trying {name} on {min(rows, len(dataset))} customers",
            )
            for name in names
        }

    few = evaluate(plugins.estimators(policy.package), policy.quick_rows)
    most = rows_for(len(Features(contract).names))
    first = _ranked(few, few)
    rivals = [one.name for one in first if one.behind_low <= FAR_BEHIND]
    large = dict(few)
    if len(rivals) > 1 and min(most, len(dataset)) > policy.quick_rows:
        large |= evaluate(rivals, most)
    ranked = _ranked({name: large[name] for name in rivals}, large)
    beaten = _ranked({name: few[name] for name in few if name not in rivals}, few, ranked[0].name)
    chosen = ranked[0].name
    return Choice((*ranked, *beaten), few[chosen], large[chosen])


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
