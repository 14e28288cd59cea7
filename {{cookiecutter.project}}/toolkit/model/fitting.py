"""Fits the owner's estimator, and asks it: for a training, and for the test of its purity."""

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from . import plugins
from .evaluation import Labels, Probabilities
from .features import Matrix
from .policy import TrainingPolicy

# The threads of boosting wait for one another by spinning: where the cores are shared, as in CI,
# a second of training takes minutes. One thread is fast enough for a million rows.
THREADS = 1


def fit(matrix: Matrix, labels: Labels, policy: TrainingPolicy) -> Pipeline:
    """Return the pipeline, trained on features [n, k] with NaN for nulls, and labels [n].

    Nulls are imputed with the training's median before the owner's estimator sees them: every
    estimator treats a null the same way, also in a column that had none in training.

    Raises
    ------
    ConfigurationError
        The owner's estimator cannot be trained.
    """
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    estimator = plugins.estimator(policy.package, policy.estimator, policy.seed)
    pipeline = make_pipeline(imputer, estimator)
    try:
        with threadpool_limits(THREADS):
            return pipeline.fit(matrix, labels)
    except Exception as error:  # The owner's code may raise anything.
        why = f"{policy.estimator!r} cannot be trained"
        raise plugins.mistake(policy.package, *plugins.ESTIMATORS, why, cause=error) from None


def probabilities(pipeline: Pipeline, matrix: Matrix) -> Probabilities:
    """Return a pipeline's probabilities of churn, [n], for features [n, k]."""
    with threadpool_limits(THREADS):
        y_prob: Probabilities = pipeline.predict_proba(matrix)[:, 1].astype(np.float64)
    return y_prob
