"""The models that quality.toml can name under `[training] estimator`.

Add a function of the seed and an entry in `ESTIMATORS`. It returns an untrained scikit-learn
classifier with `predict_proba`, of a kind that skl2onnx can export. Nulls are imputed with the
training median before it sees them.
"""

from collections.abc import Callable

from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def boosting(seed: int) -> BaseEstimator:
    """Gradient-boosted trees: the default, as good as any on customer tables, and small."""
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=15,
        early_stopping=False,
        random_state=seed,
    )


def logistic(seed: int) -> BaseEstimator:
    """Logistic regression: easy to explain, and hard to beat on few customers."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))


def forest(seed: int) -> BaseEstimator:
    """A random forest: little to tune, and a larger file."""
    return RandomForestClassifier(
        n_estimators=100, min_samples_leaf=20, max_features="sqrt", random_state=seed
    )


def cautious(seed: int) -> BaseEstimator:
    """Boosting for few customers or many columns: small trees, each split of a third of them."""
    return HistGradientBoostingClassifier(
        learning_rate=0.06,
        max_iter=100,
        max_leaf_nodes=10,
        max_features=0.3,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=seed,
    )


def voting(seed: int) -> BaseEstimator:
    """The mean of cautious boosting and logistic regression, which err on other customers."""
    return VotingClassifier(
        [("cautious", cautious(seed)), ("logistic", logistic(seed))],
        voting="soft",
        # The exporter knows no other form.
        flatten_transform=False,
    )


def large(seed: int) -> BaseEstimator:
    """Boosting for many customers: large trees, until they no longer help a tenth of them."""
    return HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=500,
        max_leaf_nodes=63,
        early_stopping=True,
        n_iter_no_change=20,
        random_state=seed,
    )


ESTIMATORS: dict[str, Callable[[int], BaseEstimator]] = {
    "boosting": boosting,
    "logistic": logistic,
    "forest": forest,
    "cautious": cautious,
    "voting": voting,
    "large": large,
}
