"""Business metrics: the owner's metrics, which quality.toml can name like a built-in one.

The owner's metrics.py defines ``METRICS``, a tuple of `Metric`. Each is measured with a 95 %
interval wherever a built-in metric is: in the gate, its report, the comparison with the champion
and the model card.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from . import plugins

Vector = npt.NDArray[np.float64]

OWNERS = ("metrics", "METRICS")
# The built-in metrics.
HIGHER_IS_BETTER = {
    "roc_auc": True,
    "average_precision": True,
    "accuracy": True,
    "f1": True,
    "precision": True,
    "recall": True,
    "brier": False,
    "log_loss": False,
    "calibration_error": False,
    "accuracy_gain": True,
}


@dataclass(frozen=True)
class Metric:
    """One metric of the owner's.

    Attributes
    ----------
    name
        In quality.toml and in the reports.
    function
        Called as ``function(y_true, y_prob, sample_weight, **parameters)``; returns a float, NaN
        where the metric is undefined. All three are [n]: `y_true` is 1 for a customer who churned
        and 0 for one who was retained, `y_prob` is the predicted probability of churn, and
        `sample_weight` says how often the customer counts. The bootstrap behind the interval calls
        it hundreds of times with other weights, whole numbers from 0. So that it need not sort
        each time, the customers come ordered by `y_prob`, highest first.
    higher_is_better
        For the comparison with the champion.
    unit
        Of its value, for the reports; empty for a ratio.
    parameters
        The names of the parameters, each with the lowest and the highest value that is allowed.
        quality.toml must give all of them under ``[metrics.<name>]``.
    """

    name: str
    function: Callable[..., float]
    higher_is_better: bool
    unit: str = ""
    parameters: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class BusinessMetric:
    """A metric of the owner's with the parameters that quality.toml gives it.

    Attributes
    ----------
    package
        The owner's, for the error where the function fails.
    """

    metric: Metric
    parameters: Mapping[str, float]
    package: str

    @property
    def name(self) -> str:
        """The metric's name in quality.toml and in the reports."""
        return self.metric.name

    def value(self, y_true: Vector, y_prob: Vector, sample_weight: Vector) -> float:
        """Return the metric of customers ordered by `y_prob`, highest first; each array is [n].

        Raises
        ------
        ConfigurationError
            The function fails, or returns no number.
        """
        try:
            return float(self.metric.function(y_true, y_prob, sample_weight, **self.parameters))
        except Exception as error:  # The owner's code may raise anything.
            why = f"the metric {self.name!r} cannot be computed"
            raise plugins.mistake(self.package, *OWNERS, why, cause=error) from None
