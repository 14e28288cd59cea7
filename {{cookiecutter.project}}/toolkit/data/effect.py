"""One measured difference between a table and what it is compared with, and its verdict.

One change of a table shows in many comparisons: `causes` puts together those of one column.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scipy import special, stats

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
# The relation to the target changes for all customers, and so in the slices of every column.
RELATION = "the relation to the target"
ASPECTS_OF_RELATION = ("calibration", "ranking")
SMALLEST_P = 1e-6
SHOWN_NAMES = 5


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
    def strength(self) -> float:
        """The effect size as a multiple of the one that fails, so that aspects can be compared."""
        return self.value / self.levels.fail if self.levels.fail else math.inf

    @property
    def cause(self) -> str:
        """What must have changed: the column, or the relation to the target."""
        return RELATION if self.aspect in ASPECTS_OF_RELATION else self.column

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


@dataclass(frozen=True)
class Cause:
    """Comparisons that warn or fail for one reason, told in one sentence.

    Attributes
    ----------
    strongest
        Of those with the worst level the one whose effect is largest; of a column that moved, not
        its far values.
    others
        All others, the strongest first.
    """

    strongest: Drift
    others: tuple[Drift, ...]

    @property
    def level(self) -> str:
        """``fail`` where one of them fails, else ``warn``."""
        return self.strongest.level

    def __str__(self) -> str:
        return "; ".join([str(self.strongest), *self._counts()])

    def _counts(self) -> Iterator[str]:
        """Yield how many of the others fail, and how many warn, and what they are."""
        name = self.strongest.cause
        for level in ("fail", "warn"):
            drifts = [drift for drift in self.others if drift.level == level]
            words = [
                drift.column if name == RELATION else IN_WORDS[drift.aspect] for drift in drifts
            ]
            # Without repetitions, in their order.
            words = list(dict.fromkeys(words))
            more = len(words) - SHOWN_NAMES
            listed = ", ".join(words[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
            if len(drifts) == 1:
                yield f"1 further comparison of {name} {level}s: {listed}"
            elif drifts:
                yield f"{len(drifts)} further comparisons of {name} {level}: {listed}"


def causes(drifts: Iterable[Drift]) -> list[Cause]:
    """Return the causes of the drifts that warn or fail, the strongest of each level first."""
    of_cause: dict[str, list[Drift]] = {}
    for drift in drifts:
        if drift.level in ("fail", "warn"):
            of_cause.setdefault(drift.cause, []).append(drift)
    found = []
    for together in of_cause.values():
        # A column that moves as a whole has far values too, and its mean says more.
        strongest, *others = sorted(
            together,
            key=lambda drift: (drift.level != "fail", drift.aspect == "extremes", -drift.strength),
        )
        found.append(Cause(strongest, tuple(others)))
    return sorted(found, key=lambda cause: (cause.level != "fail", -cause.strongest.strength))


def fisher(now: int, rows: int, then: int, reference_rows: int) -> float:
    """Return the p-value of the hypothesis that both samples have the same share."""
    return float(stats.fisher_exact([[now, rows - now], [then, reference_rows - then]]).pvalue)


def two_sided(change: float, sd: float) -> float:
    """Return the p-value of the hypothesis that an estimate with this standard deviation is 0."""
    if sd == 0:
        return float(change == 0)
    return float(2 * special.ndtr(-abs(change) / sd))
