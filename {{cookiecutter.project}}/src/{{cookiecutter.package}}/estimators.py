"""The one place where the model is chosen: quality.toml names one of these by `estimator`.

Another model is another entry here. It must be what scikit-learn calls a probabilistic classifier,
be seeded, and be known to skl2onnx: the export proves that the released file answers as it does.
Nulls are filled in before it sees them, with the training's median: whichever classifier comes
next, a null is answered the same way, also in a column that had none in training.
"""

from collections.abc import Callable

from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


def boosting(seed: int) -> BaseEstimator:
    """Boosted trees: the default, as good as any on tables of customers, and small."""
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=15,
        early_stopping=False,
        random_state=seed,
    )


def logistic(seed: int) -> BaseEstimator:
    """Logistic regression: to be explained to anybody, and hard to beat on few customers."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))


def forest(seed: int) -> BaseEstimator:
    """A random forest: little to tune, and a larger file."""
    return RandomForestClassifier(
        n_estimators=200, min_samples_leaf=20, max_features="sqrt", random_state=seed
    )


ESTIMATORS: dict[str, Callable[[int], BaseEstimator]] = {
    "boosting": boosting,
    "logistic": logistic,
    "forest": forest,
}


def new_pipeline(estimator: str, seed: int) -> Pipeline:
    """Return an untrained model: from the feature matrix, [n, k] with NaN for nulls."""
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(imputer, ESTIMATORS[estimator](seed))
