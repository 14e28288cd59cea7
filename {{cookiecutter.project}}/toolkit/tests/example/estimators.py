"""A model of each kind that has to be exported: trees, a line, and a forest."""

from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def boosting(seed: int) -> BaseEstimator:
    """Boosted trees."""
    return HistGradientBoostingClassifier(max_iter=60, learning_rate=0.1, random_state=seed)


def logistic(seed: int) -> BaseEstimator:
    """Logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))


def forest(seed: int) -> BaseEstimator:
    """A random forest."""
    return RandomForestClassifier(n_estimators=50, min_samples_leaf=10, random_state=seed)


ESTIMATORS = {"boosting": boosting, "logistic": logistic, "forest": forest}
