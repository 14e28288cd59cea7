"""Chooses an estimator for a table: each that the owner's package has, by cross-validation.

All are asked about the same customers, none of whom they were trained on, so that what one of them
is better by is known more precisely than how good any of them is.
"""

from dataclasses import dataclass, replace

from scipy import stats

from ..data.contract import Contract
from ..data.dataset import Dataset
from . import plugins, training
from .comparison import compare_roc_auc, placements, sd_of_mean_placement
from .evaluation import TAILS, Predictions
from .features import Features
from .policy import TrainingPolicy
from .training import Evaluation

# Of a large table a part is enough; of a wide one, as many rows as can be trained on in seconds.
ROWS = 20_000
VALUES = 3_000_000
MIN_ROWS = 1_000


@dataclass(frozen=True)
class Candidate:
    """An estimator on a table.

    Attributes
    ----------
    roc_auc, low, high
        Of the cross-validation, with its 95 % interval.
    behind, behind_low, behind_high
        How much lower it is than that of the chosen estimator, on the same customers.
    """

    name: str
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
    evaluation
        Its cross-validation.
    """

    candidates: tuple[Candidate, ...]
    evaluation: Evaluation

    @property
    def estimator(self) -> str:
        """The name of the chosen estimator."""
        return self.candidates[0].name

    def sentences(self) -> list[str]:
        """Return what was chosen, and by how much it is better than each of the others."""
        first, *others = self.candidates
        rows = self.evaluation.rows["evaluated"]
        words = [
            f"the estimator is {first.name}: ROC AUC {first.roc_auc:.3f} ({first.low:.3f} to "
            f"{first.high:.3f}) in a cross-validation of {rows} customers"
        ]
        for one in others:
            chance = ", which may be chance" if one.behind_low <= 0 else ""
            words.append(
                f"{one.name} reaches {one.roc_auc:.3f}, {one.behind:.3f} less "
                f"({one.behind_low:.3f} to {one.behind_high:.3f} on the same customers){chance}"
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
    rows = max(policy.quick_rows, rows_for(len(Features(contract).names)))
    evaluations = {
        name: training.cross_validate(
            dataset, contract, replace(policy, estimator=name, quick_rows=rows), f"trying {name}"
        )
        for name in plugins.estimators(policy.package)
    }
    aucs = {name: one.predictions.metrics()["roc_auc"] for name, one in evaluations.items()}
    # Of two that are equal, the first of the owner's module.
    ranked = sorted(aucs, key=lambda name: -aucs[name])
    best = evaluations[ranked[0]]
    return Choice(
        tuple(
            _candidate(name, aucs[name], evaluations[name].predictions, best.predictions)
            for name in ranked
        ),
        best,
    )


def rows_for(features: int) -> int:
    """Return how many customers with so many features can be cross-validated in seconds."""
    return max(MIN_ROWS, min(ROWS, VALUES // features))


def _candidate(name: str, auc: float, own: Predictions, best: Predictions) -> Candidate:
    sd = sd_of_mean_placement(*placements(own.y_true == 1, own.y_prob))
    margin = float(stats.norm.ppf(TAILS[1])) * sd
    behind = compare_roc_auc(own, best)
    return Candidate(
        *(name, auc, max(0.0, auc - margin), min(1.0, auc + margin)),
        *(behind.loss, behind.low, behind.high),
    )
