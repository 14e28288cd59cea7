"""The out-of-time window: the newest customers whose labels are known, of whom none is trained on.

A holdout by a hash of the id has customers of the same days as the training has. What a model is
worth tomorrow, only customers say who came after those that it was trained on.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..data.dataset import Dataset
from ..data.origin import ORIGIN_FILE
from ..errors import ConfigurationError, DataError
from .evaluation import Predictions
from .policy import TIME, TrainingPolicy

# With fewer churned or retained customers the interval of a ROC AUC is wider than 0.2.
MIN_OF_EACH = 30
POLICY, SOURCE = "quality.toml", Path("data", ORIGIN_FILE)


@dataclass(frozen=True)
class OutOfTime:
    """A model's predictions for the customers of the window, of whom it was trained on none.

    Attributes
    ----------
    first, last
        The days on which the first and the last of them were observed.
    """

    first: date
    last: date
    predictions: Predictions


def window(dataset: Dataset, policy: TrainingPolicy) -> npt.NDArray[np.bool_] | None:
    """Return which customers are in the window, [n]; None where the policy asks for none.

    Raises
    ------
    ConfigurationError
        Nobody says when the customers were observed.
    DataError
        The window, or what is older, has too few customers of a label.
    """
    if policy.evaluate != TIME:
        return None
    if dataset.observed is None:
        raise ConfigurationError(
            f"{POLICY}: training.evaluate: is {TIME!r}, and it is not known when a customer was "
            f"observed: {SOURCE} has no [labels], or the table is in git",
            f"add [labels] to {SOURCE}, as docs/data.md says, and take a snapshot; or write "
            f'evaluate = "hash" in {POLICY}',
        )
    last = dataset.observed.max()
    inside: npt.NDArray[np.bool_] = dataset.observed > last - np.timedelta64(
        policy.window_days, "D"
    )
    first, days = dataset.observed[inside].min(), policy.window_days
    for rows, which in ((inside, f"from {first} to {last}"), (~inside, f"before {first}")):
        churned = int(dataset.labels[rows].sum())
        retained = int(rows.sum()) - churned
        if min(churned, retained) < MIN_OF_EACH:
            raise DataError(
                f"{POLICY}: training.window_days: of the customers observed {which} {churned} have "
                f"churned and {retained} were retained, and {MIN_OF_EACH} of each are needed to "
                f"evaluate the newest {days} days of known labels by a model of the days before",
                f"{'widen' if rows is inside else 'narrow'} the window, or wait for more customers",
            )
    return inside


def evaluated(customers: Dataset, predictions: Predictions) -> OutOfTime:
    """Return a model's predictions for customers of the window, with the days of these."""
    assert customers.observed is not None, "a window has customers of known days"
    days = customers.observed
    return OutOfTime(days.min().astype(date), days.max().astype(date), predictions)
