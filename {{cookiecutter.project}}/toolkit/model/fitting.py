"""Fits the owner's estimator, and asks it: for a training, and for the test of its purity."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from ..data.progress import step
from . import plugins
from .evaluation import Labels, Probabilities
from .features import Matrix
from .policy import TrainingPolicy

# An estimator sees at most so many features: those that separate best by themselves. Of thousands
# most are noise in any one table, and each costs every estimator time. With few customers for each,
# noise looks like a signal: more than the first number are seen only with so many customers each.
FEW_FEATURES, MAX_FEATURES = 200, 500
ROWS_PER_FEATURE = 8

# The threads of boosting wait for one another by spinning: where the cores are shared, as in CI,
# a second of training takes minutes. One thread is fast enough for a million rows.
THREADS = 1
# Unlike the threads of one training these wait for nothing but the last of them.
AT_ONCE = 2

Result = TypeVar("Result")


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let each training inside use one thread, and not warn of what is constant in its customers.

    Around several trainings at once it restores, at their end, what each of them has changed.
    """
    with threadpool_limits(THREADS), warnings.catch_warnings():
        # A constant feature is not selected.
        warnings.filterwarnings("ignore", module="sklearn.feature_selection")
        show = warnings.showwarning

        def show_others(message: Warning | str, *where: Any, **more: Any) -> None:
            # A forest clears the filters of all threads for a moment, and another one warns of it.
            if "sklearn.utils.parallel.delayed" not in str(message):
                show(message, *where, **more)

        warnings.showwarning = show_others
        yield


def at_once(trainings: Mapping[str, Callable[[], Result]]) -> list[Result]:
    """Return what each training returns, `AT_ONCE` at a time, and show their names as progress."""
    pool = ThreadPoolExecutor(AT_ONCE)
    results = []
    try:
        with one_thread_each():
            begun = {name: pool.submit(training) for name, training in trainings.items()}
            for name, one in begun.items():
                with step(name):
                    results.append(one.result())
    finally:
        pool.shutdown(cancel_futures=True)
    return results


@dataclass(frozen=True)
class Prepared:
    """Customers as the owner's estimators see them, whichever of them is fitted.

    Attributes
    ----------
    steps
        The fitted steps that make `matrix` of features: they begin the pipeline.
    matrix
        The features without nulls, and of many the best, [n, m].
    labels
        [n]
    """

    steps: tuple[Any, ...]
    matrix: Matrix
    labels: Labels


def prepare(matrix: Matrix, labels: Labels, policy: TrainingPolicy) -> Prepared:
    """Return what an estimator is fitted to, of features [n, k] with NaN for nulls, and labels [n].

    Nulls are imputed with the training's median before the owner's estimator sees them: every
    estimator treats a null the same way, also in a column that had none in training. Of more than
    `most_features` features the estimator sees those with the highest F statistic in the training.

    Raises
    ------
    ConfigurationError
        The owner's features cannot be trained on.
    """
    with _the_owners(policy):
        imputer = median_imputer(matrix)
        imputed = imputer.transform(matrix)
        most = most_features(len(matrix))
        if matrix.shape[1] <= most:
            return Prepared((imputer,), imputed, labels)
        selector = SelectKBest(f_classif, k=most)
        selected = selector.fit_transform(imputed, labels)
        return Prepared((imputer, selector), selected, labels)


def fit_prepared(prepared: Prepared, policy: TrainingPolicy) -> Pipeline:
    """Return the pipeline of the steps that prepared the features, and of the fitted estimator.

    Raises
    ------
    ConfigurationError
        The owner's estimator cannot be trained.
    """
    estimator = plugins.estimator(policy.package, policy.estimator, policy.seed)
    with _the_owners(policy):
        # Copies: another estimator sees the same, whatever this one does with it.
        estimator.fit(np.array(prepared.matrix), np.array(prepared.labels))
    return make_pipeline(*prepared.steps, estimator)


def fit(matrix: Matrix, labels: Labels, policy: TrainingPolicy) -> Pipeline:
    """Return the pipeline, trained on features [n, k] with NaN for nulls, and labels [n].

    Raises
    ------
    ConfigurationError
        The owner's estimator cannot be trained.
    """
    return fit_prepared(prepare(matrix, labels, policy), policy)


@contextmanager
def _the_owners(policy: TrainingPolicy) -> Iterator[None]:
    """Train inside, and blame the owner's estimator for what goes wrong."""
    try:
        with one_thread_each():
            yield
    except Exception as error:  # The owner's code may raise anything.
        why = f"{policy.estimator!r} cannot be trained"
        raise plugins.mistake(policy.package, *plugins.ESTIMATORS, why, cause=error) from None


def most_features(rows: int) -> int:
    """Return how many features an estimator sees at most that is trained on so many customers."""
    return max(FEW_FEATURES, min(MAX_FEATURES, rows // ROWS_PER_FEATURE))


def median_imputer(matrix: Matrix) -> SimpleImputer:
    """Return scikit-learn's imputer of medians, fitted to features [n, k]; 0 of a column of nulls.

    It is given the medians alone: its own computation, of masked arrays, takes longer than to train
    where there are thousands of columns.
    """
    ordered = np.sort(matrix, axis=0)  # Nulls are sorted to the end.
    counts = (~np.isnan(matrix)).sum(axis=0)
    middle = np.stack([np.maximum(counts - 1, 0) // 2, counts // 2])
    low, high = np.take_along_axis(ordered, np.minimum(middle, len(matrix) - 1), axis=0)
    medians = (low + high) / 2
    return SimpleImputer(strategy="median", keep_empty_features=True).fit(medians[np.newaxis])


def seen(pipeline: Pipeline) -> npt.NDArray[np.bool_]:
    """Return which features the estimator of a pipeline is given, [k]: all, or the selected."""
    for one in pipeline.named_steps.values():
        if isinstance(one, SelectKBest):
            chosen: npt.NDArray[np.bool_] = one.get_support()
            return chosen
    return np.ones(pipeline.n_features_in_, dtype=np.bool_)


def narrowed(pipeline: Pipeline) -> tuple[npt.NDArray[np.bool_], Pipeline]:
    """Return which features a pipeline looks at, [k], and the pipeline that takes these alone.

    It predicts the same: of thousands of features most of the time goes into those not looked at.
    """
    mask = seen(pipeline)
    imputer, *_, estimator = pipeline.named_steps.values()
    medians = imputer.statistics_[mask]
    narrow = SimpleImputer(strategy="median", keep_empty_features=True).fit(medians[np.newaxis])
    return mask, make_pipeline(narrow, estimator)


def probabilities(pipeline: Pipeline, matrix: Matrix) -> Probabilities:
    """Return a pipeline's probabilities of churn, [n], for features [n, k]."""
    with threadpool_limits(THREADS):
        y_prob: Probabilities = pipeline.predict_proba(matrix)[:, 1].astype(np.float64)
    return y_prob
