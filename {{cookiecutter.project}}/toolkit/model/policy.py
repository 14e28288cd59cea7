"""The policy of quality.toml: how a model is trained, and what data and model must reach."""

from dataclasses import dataclass

from .metrics import BusinessMetric

# The metrics that are compared between groups, each a share of customers.
SHARES = ("recall", "precision", "accuracy", "selection_rate")
# Whom the rules hold for: the holdout by a hash of the id, or the newest customers.
HASH, TIME = "hash", "time"
WINDOW_DAYS = 30


@dataclass(frozen=True)
class TrainingPolicy:
    """How a model is trained and evaluated.

    Attributes
    ----------
    package
        The owner's Python package.
    estimator
        One of its `estimators.ESTIMATORS`.
    seed
        Of everything random.
    quick_rows
        The number of customers of the quick gate.
    folds
        The number of folds of a cross-validation.
    holdout_share
        The share of customers that are never trained on, 0 to 1.
    evaluate
        ``hash``: the rules hold for these customers; ``time``: for the newest ones, who are not
        trained on either.
    window_days
        The days, up to the newest whose labels are known, of the newest customers.
    """

    package: str
    estimator: str
    seed: int
    quick_rows: int
    folds: int
    holdout_share: float
    evaluate: str = HASH
    window_days: int = WINDOW_DAYS


@dataclass(frozen=True)
class Levels:
    """The effects from which on a significant change warns, and from which on it fails."""

    warn: float
    fail: float
    reason: str


@dataclass(frozen=True)
class DriftPolicy:
    """What counts as drift.

    Attributes
    ----------
    significance
        The chance that a table in which nothing has changed gets any verdict but ``ok``.
    min_rows
        With fewer values drift is unknown.
    numbers, predictions
        Wasserstein distance, in standard deviations of the reference.
    categories, target
        Total variation: the share of rows that would have to change their category.
    come_and_gone
        The share of rows in new or vanished categories.
    nulls
        The change of the share of nulls.
    extremes
        The change of the share of values far outside of the reference's quantiles.
    relation
        The change of a ROC AUC: of the reference's model, or of one column alone.
    calibration
        The change of the churn rate that the reference's model does not expect.
    ids
        The share of unchanged customers who have another id.
    """

    significance: float
    min_rows: int
    numbers: Levels
    predictions: Levels
    categories: Levels
    target: Levels
    come_and_gone: Levels
    nulls: Levels
    extremes: Levels
    relation: Levels
    calibration: Levels
    ids: Levels


@dataclass(frozen=True)
class Rule:
    """One bound of one metric.

    Attributes
    ----------
    bound
        ``min`` or ``max``; the threshold itself passes.
    level
        Of a broken rule: ``fail`` or ``warn``.
    """

    metric: str
    bound: str
    threshold: float
    reason: str
    level: str = "fail"


@dataclass(frozen=True)
class SliceRule:
    """A bound of one metric in every slice.

    Attributes
    ----------
    kind
        ``min``; ``max_below``: below the metric of all customers; or ``max_loss``: below the
        champion's in the same slice.
    """

    metric: str
    kind: str
    threshold: float
    reason: str
    level: str


@dataclass(frozen=True)
class SlicePolicy:
    """How customers are divided into slices, and the rules of each slice.

    Attributes
    ----------
    min_rows, min_of_each
        A slice with fewer customers, or fewer churned or retained ones, is not evaluated.
    bands
        The number of bands that a number is divided into.
    significance
        The chance that a good model breaks a rule in any slice.
    """

    min_rows: int
    min_of_each: int
    bands: int
    significance: float
    rules: tuple[SliceRule, ...]


@dataclass(frozen=True)
class ChampionRule:
    """How much worse than the champion a candidate may be.

    Attributes
    ----------
    kind
        ``max_loss``, in the metric's own unit, or ``max_relative_loss``, as a share of the
        champion's.
    """

    metric: str
    kind: str
    threshold: float
    reason: str
    level: str


@dataclass(frozen=True)
class ChampionPolicy:
    """How the candidate is compared with the champion.

    Attributes
    ----------
    significance
        The chance that a model as good as the champion breaks a rule.
    max_age_days
        How long ago the champion may have been fetched.
    min_rows_share
        The least size of the holdout, as a share of the champion's when it was released.
    max_refused
        The largest share of customers that the champion may refuse.
    other_features
        The level where the champion has other input features: ``fail`` or ``warn``.
    not_comparable
        The level where the champion cannot be scored on today's table: ``fail`` or ``warn``.
    """

    significance: float
    max_age_days: float
    min_rows_share: float
    max_refused: float
    other_features: str
    not_comparable: str
    rules: tuple[ChampionRule, ...]


@dataclass(frozen=True)
class FairnessRule:
    """The largest gap in one metric between the groups of a protected column."""

    metric: str
    max_gap: float
    reason: str
    level: str


@dataclass(frozen=True)
class FairnessPolicy:
    """The protected columns, and the rules about their groups.

    Attributes
    ----------
    columns
        Categories of the contract; empty where none is protected.
    min_rows
        A group with fewer customers is left out.
    significance
        The chance that groups which are treated alike break a rule.
    """

    columns: tuple[str, ...]
    min_rows: int
    significance: float
    rules: tuple[FairnessRule, ...]


@dataclass(frozen=True)
class NightlyPolicy:
    """When the nightly training is proposed for release.

    Attributes
    ----------
    days_ago
        The age of the champion that the model is compared with.
    significance
        The chance that a model no better than that champion is proposed.
    """

    days_ago: int
    significance: float


@dataclass(frozen=True)
class DecayPolicy:
    """When the release that serves counts as worse than it was.

    Attributes
    ----------
    significance
        The chance that a release which has not fallen is said to have.
    max_fall
        The largest fall of its ROC AUC that is none.
    min_rows
        With fewer customers of known labels it is not judged.
    """

    significance: float = 0.01
    max_fall: float = 0.02
    min_rows: int = 1_000


@dataclass(frozen=True)
class ScorePolicy:
    """Whose batch scores are written.

    Attributes
    ----------
    max_rejected
        The highest share of customers that the release rejects, 0 to 1.
    drift
        ``fail`` or ``warn``: what a drift that fails a training does to a batch run.
    """

    max_rejected: float = 0.01
    drift: str = "fail"


@dataclass(frozen=True)
class Policy:
    """All of quality.toml; `sha256` is that of the file."""

    sha256: str
    training: TrainingPolicy
    drift: DriftPolicy
    slices: SlicePolicy
    champion: ChampionPolicy
    fairness: FairnessPolicy
    nightly: NightlyPolicy
    metrics: tuple[BusinessMetric, ...]
    rules: tuple[Rule, ...]
    decay: DecayPolicy = DecayPolicy()
    score: ScorePolicy = ScorePolicy()
