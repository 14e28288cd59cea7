"""Purity: the owner's features and estimator look at nothing but what they are given.

The same customers are given to them a second time, in another order, in another process with
another hash seed, on other dates, and where the data folder cannot be read. What changes is named.
The other process runs while the session does something else.
"""

import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from ..data.contract import Contract
from ..errors import ToolkitError
from . import clock, fitting, plugins
from .features import Features, Matrix
from .other_process import ANSWER, GIVEN, OtherProcess, OtherProcessFailed
from .policy import TrainingPolicy

ROWS_PER_LABEL = 200
# Of a probability: below the export's tolerance, a model counts as the same.
TOLERANCE = 1e-5
# Every day of the week, and another month and year.
DAYS = (1, 2, 3, 4, 5, 6, 400)


@dataclass(frozen=True)
class Given:
    """What a feature and an estimator may look at, and where the data is.

    Attributes
    ----------
    ids
        The customers' ids, [n], for messages.
    columns, labels
        The features of the contract by name, and 1 for a churned customer, each [n].
    data
        The folder of the table.
    """

    ids: npt.NDArray[np.object_]
    columns: Mapping[str, npt.NDArray[Any]]
    labels: npt.NDArray[np.int64]
    contract: Contract
    policy: TrainingPolicy
    data: Path

    def select(self, rows: npt.NDArray[np.int64]) -> "Given":
        """Return the same with these customers only, in this order."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return replace(self, ids=self.ids[rows], columns=columns, labels=self.labels[rows])

    def features(self) -> Matrix:
        """Return the features, [n, k]."""
        return Features(self.contract).matrix(self.columns)


@dataclass(frozen=True)
class Observed:
    """The features [n, k], and the probabilities [n] of an estimator that was fitted on them."""

    matrix: Matrix
    y_prob: npt.NDArray[np.float64]


def observe(given: Given) -> Observed:
    """Compute the features, fit the estimator on them, and return both.

    Raises
    ------
    ConfigurationError
        The owner's code cannot be run.
    """
    return _fitted(given)[0]


def _fitted(given: Given) -> tuple[Observed, Pipeline]:
    matrix = given.features()
    pipeline = fitting.fit(matrix, given.labels, given.policy)
    return Observed(matrix, fitting.probabilities(pipeline, matrix)), pipeline


def few_of_each(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the positions of the first customers of each label, [n]."""
    firsts = [np.flatnonzero(labels == label)[:ROWS_PER_LABEL] for label in (0, 1)]
    return np.sort(np.concatenate(firsts))


def differences(given: Given, other: OtherProcess) -> list[str]:
    """Wait for another process that was given the same, and tell in which way code is not pure."""
    try:
        there, found = other.answer()
    except OtherProcessFailed as error:
        return [f"in another process your features and estimator cannot be run: {error}"]
    if there is None:
        return list(found)
    return [*_compared(given, observe(given), there, "in another process"), *found]


def differences_here(given: Given, scratch: Path) -> tuple[Observed | None, list[str]]:
    """Return what is observed in this process, and what differs from it when nothing may.

    Parameters
    ----------
    scratch
        An empty folder, to run in where the data folder is not.
    """
    try:
        first, pipeline = _fitted(given)
    except ToolkitError as error:
        return None, [f"in another process: {error}"]
    found: list[str] = []

    def compare(condition: str, run: Callable[[], Observed], expected: Observed = first) -> None:
        try:
            found.extend(_compared(given, expected, run(), condition))
        except ToolkitError as error:
            found.append(f"{condition}: {error}")

    compare("a second time", lambda: observe(given))
    order = np.random.default_rng(0).permutation(len(given.ids))

    def reordered(rows: npt.NDArray[np.int64]) -> Observed:
        """Return what is observed of these customers alone, at their places."""
        matrix, y_prob = first.matrix.copy(), first.y_prob.copy()
        matrix[rows] = given.select(rows).features()
        y_prob[rows] = fitting.probabilities(pipeline, first.matrix[rows])
        return Observed(matrix, y_prob)

    compare("in another order", lambda: reordered(order))
    compare("without the other customers", lambda: reordered(order[: len(order) // 2]))
    with _without(given, scratch):
        compare("without the data folder", lambda: observe(given))
    for days in DAYS:
        _forget(given.policy.package)
        with clock.moved(timedelta(days=days)):
            if days == DAYS[-1]:
                compare("on another date", lambda: observe(given))
            else:
                compare("on another date", lambda: replace(first, matrix=given.features()))
        if found and "on another date" in found[-1]:
            break
    return first, found


def _compared(given: Given, first: Observed, other: Observed, condition: str) -> Iterator[str]:
    """Yield a sentence for each feature, or else for the predictions, that differ."""
    same = (first.matrix == other.matrix) | (np.isnan(first.matrix) & np.isnan(other.matrix))
    for place in np.flatnonzero(~same.all(axis=0)):
        rows = np.flatnonzero(~same[:, place])
        name = Features(given.contract).names[place]
        yield (
            f"feature {name}: {len(rows)} of {len(given.ids)} customers differ {condition}: "
            f"customer {given.ids[rows[0]]} has {first.matrix[rows[0], place]:.6g}, then "
            f"{other.matrix[rows[0], place]:.6g}; a feature may look at nothing but its arguments"
        )
    if not same.all():
        return
    difference = np.abs(first.y_prob - other.y_prob)
    if not difference.max() <= TOLERANCE:  # So that a NaN is a difference too.
        worst = int(difference.argmax())
        yield (
            f"estimator {given.policy.estimator}: predictions differ {condition}: customer "
            f"{given.ids[worst]} gets {first.y_prob[worst]:.6f}, then {other.y_prob[worst]:.6f}; "
            "an estimator may learn from nothing but its seed and the customers that it is given"
        )


def _forget(package: str) -> None:
    """Let the owner's modules be imported again: a value may have been computed on import."""
    for name in [one for one in sys.modules if one == package or one.startswith(f"{package}.")]:
        del sys.modules[name]


@contextmanager
def _without(given: Given, scratch: Path) -> Iterator[None]:
    """Run the owner's code from a copy in an empty folder; files of the data do not open."""
    package = given.policy.package
    file = import_module(f"{package}.{plugins.ESTIMATORS[0]}").__file__
    assert file is not None, "only a package without code has no file"
    copy = scratch / "src" / Path(*package.split("."))
    shutil.copytree(Path(file).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    _forget(package)
    # The modules are found where the package says that they are.
    import_module(package).__path__ = [str(copy)]
    refused = True

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if refused and event in ("open", "sqlite3.connect", "os.listdir", "os.scandir"):
            path = arguments[0]
            if isinstance(path, str | bytes | os.PathLike):
                whole = Path(os.path.abspath(os.fsdecode(path)))
                if given.data in (whole, whole.parent):
                    raise FileNotFoundError(f"{whole}: your code may not read the data itself")

    sys.addaudithook(refuse)
    before = Path.cwd()
    os.chdir(scratch)
    try:
        yield
    finally:
        os.chdir(before)
        refused = False
        _forget(package)


def main(folder: str) -> None:
    """Answer what is given in a folder, when the input ends."""
    sys.stdin.read()
    given: Given = pickle.loads(Path(folder, GIVEN).read_bytes())
    scratch = Path(folder, "elsewhere")
    scratch.mkdir()
    Path(folder, ANSWER).write_bytes(pickle.dumps(differences_here(given, scratch)))
