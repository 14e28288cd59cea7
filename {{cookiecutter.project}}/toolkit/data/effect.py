"""One measured difference between a table and what it is compared with, and its verdict."""

from dataclasses import dataclass

from scipy import stats

from ..model.policy import Levels

PREDICTIONS = "predictions"
HOLDOUT = "holdout"
IN_WORDS = {
    "distribution": "distribution drift",
    "categories": "category drift",
    "nulls": "null rate drift",
    "extremes": "drift of the extremes",
    "calibration": "drift of the relation to the target",
    "ranking": "drift of the relation to the target",
    "alone": "drift of what the column alone tells of the target",
    "churn rate": "churn rate apart from the rest",
    "difficulty": "ranking apart from the rest",
    "ids": "other ids of unchanged customers",
}
SMALLEST_P = 1e-6


@dataclass(frozen=True)
class Effect:
    """One measured difference between a table and the reference.

    Attributes
    ----------
    column
        A column's name, `PREDICTIONS` or `HOLDOUT`.
    aspect
        One of `IN_WORDS`.
    moved
        The change in words.
    statistic, value
        The effect size: its name with its unit, and its value.
    levels
        The thresholds of the policy.
    p_value
        The probability of at least such a difference between samples of one distribution.
    rows, reference_rows
        The number of values compared.
    compared_with
        What the latter are of: the ``reference``, or the ``rest`` of the table.
    """

    column: str
    aspect: str
    moved: str
    statistic: str
    value: float
    levels: Levels
    p_value: float
    rows: int
    reference_rows: int
    compared_with: str = "reference"


@dataclass(frozen=True, kw_only=True)
class Drift(Effect):
    """The result of one comparison.

    Attributes
    ----------
    level
        ``ok``, ``warn``, ``fail``, or ``unknown`` where there are too few rows.
    significance
        The p-value below which a change is significant.
    """

    level: str
    significance: float

    @property
    def evidence(self) -> str:
        """The effect size and its significance, each with its threshold."""
        small = self.p_value < SMALLEST_P
        p_value = f"p < {SMALLEST_P:g}" if small else f"p = {self.p_value:.1g}"
        return (
            f"{self.statistic} {self.value:.3g} "
            f"(warns from {self.levels.warn:g}, fails from {self.levels.fail:g}), "
            f"{p_value} (significant below {self.significance:.1g}), "
            f"{self.rows:,} rows, {self.compared_with} {self.reference_rows:,}"
        )

    def __str__(self) -> str:
        return f"{self.column}: {IN_WORDS[self.aspect]}: {self.moved}; {self.evidence}"


def fisher(now: int, rows: int, then: int, reference_rows: int) -> float:
    """Return the p-value of the hypothesis that both samples have the same share."""
    return float(stats.fisher_exact([[now, rows - now], [then, reference_rows - then]]).pvalue)


def two_sided(change: float, sd: float) -> float:
    """Return the p-value of the hypothesis that an estimate with this standard deviation is 0."""
    if sd == 0:
        return float(change == 0)
    return float(2 * stats.norm.sf(abs(change) / sd))
