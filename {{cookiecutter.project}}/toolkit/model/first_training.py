"""The first training of a table: which estimator, how large a quick gate, and which thresholds."""

import math
from dataclasses import dataclass, replace

from ..data import dataset as rows_of
from ..data.contract import Contract
from ..data.dataset import Dataset
from . import choice, thresholds, training
from .choice import Choice
from .evaluation import Labels
from .policy import Rule, TrainingPolicy
from .training import Evaluation, Trained

# Of the rarer label, in the quick gate: with fewer its figures are mostly noise.
QUICK_OF_EACH = 100
MAX_QUICK_ROWS = 50_000
# Of a larger table a sample: enough to know what a training reaches, and done in seconds.
TRAINED_ROWS = 10_000


@dataclass(frozen=True)
class FirstTraining:
    """What was tried, and what follows for quality.toml.

    Attributes
    ----------
    policy
        With the chosen estimator, and a quick gate of enough customers.
    quick, trained
        The quick gate's cross-validation, and a full training, under this policy.
    rules
        The thresholds that both pass.
    """

    policy: TrainingPolicy
    choice: Choice
    quick: Evaluation
    trained: Trained
    rules: list[Rule]


def run(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> FirstTraining:
    """Choose an estimator, train it, and propose thresholds.

    Raises
    ------
    ConfigurationError
        An estimator cannot be trained.
    DataError
        No column predicts churn better than random guessing, or a part of the table has one label.
    ExportError
        The ONNX model predicts otherwise than the pipeline.
    """
    policy = replace(policy, quick_rows=quick_rows(dataset.labels, policy.quick_rows))
    chosen = choice.choose(dataset, contract, policy)
    policy = replace(policy, estimator=chosen.estimator)
    part = dataset.select(rows_of.quick_rows(dataset, TRAINED_ROWS))
    trained = training.train(part, contract, policy, chosen.evaluation)
    held_out = round(policy.holdout_share * len(dataset))
    rules = thresholds.propose(
        chosen.quick.predictions, chosen.evaluation.predictions, trained, held_out, policy
    )
    return FirstTraining(policy, chosen, chosen.quick, trained, rules)


def quick_rows(labels: Labels, usual: int) -> int:
    """Return how many customers have enough of the rarer label among them, rounded up."""
    share = min(labels.mean(), 1 - labels.mean())
    needed = QUICK_OF_EACH / share
    unit = 10.0 ** max(0, math.floor(math.log10(needed)) - 1)
    return max(usual, min(int(math.ceil(needed / unit) * unit), MAX_QUICK_ROWS))
