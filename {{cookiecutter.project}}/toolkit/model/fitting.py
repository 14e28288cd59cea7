"""Fits the owner's estimator, and asks it: for a training, and for the test of its purity."""

import warnings

import numpy as np
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from . import plugins
from .evaluation import Labels, Probabilities
from .features import Matrix
from .policy import TrainingPolicy

# An estimator sees at most so many features: those that separate best by themselves. Of thousands
# most are noise in any one table, and each costs every estimator time.
MAX_FEATURES = 500

# The threads of boosting wait for one another by spinning: where the cores are shared, as in CI,
# a second of training takes minutes. One thread is fast enough for a million rows.
THREADS = 1


def fit(matrix: Matrix, labels: Labels, policy: TrainingPolicy) -> Pipeline:
    """Return the pipeline, trained on features [n, k] with NaN for nulls, and labels [n].

    Nulls are imputed with the training's median before the owner's estimator sees them: every
    estimator treats a null the same way, also in a column that had none in training. Of more than
    `MAX_FEATURES` features the estimator sees those with the highest F statistic in the training.

    Raises
    ------
    ConfigurationError
        The owner's estimator cannot be trained.
    """
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    estimator = plugins.estimator(policy.package, policy.estimator, policy.seed)
    steps = [imputer, estimator]
    if matrix.shape[1] > MAX_FEATURES:
        steps.insert(1, SelectKBest(f_classif, k=MAX_FEATURES))
    try:
        with threadpool_limits(THREADS), warnings.catch_warnings():
            # Of features that are constant among these customers: they are not selected.
            warnings.filterwarnings("ignore", module="sklearn.feature_selection")
            return make_pipeline(*steps).fit(matrix, labels)
    except Exception as error:  # The owner's code may raise anything.
        why = f"{policy.estimator!r} cannot be trained"
        raise plugins.mistake(policy.package, *plugins.ESTIMATORS, why, cause=error) from None


def probabilities(pipeline: Pipeline, matrix: Matrix) -> Probabilities:
    """Return a pipeline's probabilities of churn, [n], for features [n, k]."""
    with threadpool_limits(THREADS):
        y_prob: Probabilities = pipeline.predict_proba(matrix)[:, 1].astype(np.float64)
    return y_prob
