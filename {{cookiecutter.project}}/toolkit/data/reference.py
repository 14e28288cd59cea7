"""The reference: what the table looked like when it was last accepted. It is kept in git.

It holds counts and quantiles, never a row, and a small model whose weights stand in it, so that the
same customers are given the same predictions in every year and any clone.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from sklearn.linear_model import LogisticRegression

from ..errors import ConfigurationError
from ..model.features import Features, Matrix
from . import expectation as expectations
from .contract import Contract
from .dataset import Dataset, as_objects, quick_rows, require_both_labels
from .distribution import Categories, Numbers, measure_categories, measure_numbers, rounded
from .expectation import Distribution, Expectation
from .table import Table

SCHEMA = 1
# Enough for every weight to be certain to two digits.
MODEL_ROWS = 100_000
# A part of the table at a time: the matrix of all would be larger than the table.
CHUNK_ROWS = 100_000
# How deep the file is spread out: down to one line a column.
DEPTH = 3


@dataclass(frozen=True)
class ReferenceModel:
    """A logistic regression on the standardised features; a null counts as the mean.

    Attributes
    ----------
    features
        The names of the matrix's columns, [k].
    means, sds, weights
        Of each feature, [k]; `sds` are 1 where a feature was constant.
    intercept
        The log odds of a customer who is average in everything.
    """

    features: tuple[str, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def predict(self, matrix: Matrix) -> npt.NDArray[np.float32]:
        """Return the probabilities of leaving, [n], for features as the matrix [n, k]."""
        means, sds, weights = np.array([self.means, self.sds, self.weights], dtype=np.float32)
        scaled = np.nan_to_num((matrix - means) / sds)
        score = scaled @ weights + np.float32(self.intercept)
        return np.asarray(0.5 * (1 + np.tanh(score / 2)), dtype=np.float32)


@dataclass(frozen=True)
class Profile:
    """How a table's columns are distributed.

    Attributes
    ----------
    rows
        How many the table has.
    numbers, categories
        The features and the target that are there, by name.
    predictions
        What the reference's model gives these customers; None where a feature is missing.
    """

    rows: int
    numbers: dict[str, Numbers]
    categories: dict[str, Categories]
    predictions: Numbers | None


@dataclass(frozen=True)
class Reference:
    """An accepted table's profile, and the model that makes predictions to compare.

    Attributes
    ----------
    schema
        The version of the file's own format.
    data_sha256
        Of the table that it was made from.
    """

    schema: int
    data_sha256: str
    profile: Profile
    model: ReferenceModel


def make(table: Table, dataset: Dataset, contract: Contract) -> Reference:
    """Make the reference of a sound table, which `dataset` holds too.

    Raises
    ------
    DataError
        All customers are of one kind.
    """
    features = Features(contract)
    few = dataset.select(quick_rows(dataset, MODEL_ROWS))
    require_both_labels(few.labels, "the reference")
    model = _fit(features.names, features.matrix(few.columns), few)
    return Reference(SCHEMA, table.sha256, _measure(table, contract, model, None), model)


def measure(table: Table, contract: Contract, reference: Reference) -> Profile:
    """Measure a table as its reference was measured, in the same bins."""
    return _measure(table, contract, reference.model, reference.profile)


def _measure(
    table: Table, contract: Contract, model: ReferenceModel, like: Profile | None
) -> Profile:
    columns = [
        column for column in (*contract.features, contract.target) if column.name in table.values
    ]
    numbers = {
        column.name: measure_numbers(
            table.values[column.name].to_numpy(),
            like.numbers[column.name] if like else None,
            whole=column.type == "integer",
        )
        for column in columns
        if column.is_numeric
    }
    categories = {
        column.name: measure_categories(table.values[column.name])
        for column in columns
        if not column.is_numeric
    }
    predictions = None
    if all(column.name in table.values for column in contract.features):
        given = predict(table, contract, model)
        predictions = measure_numbers(given, like.predictions if like else None)
    return Profile(len(table), numbers, categories, predictions)


def predict(table: Table, contract: Contract, model: ReferenceModel) -> npt.NDArray[np.float32]:
    """Return what the reference's model says of each row, [n]; a value that cannot be is a null."""
    features = Features(contract)
    answers = np.empty(len(table), dtype=np.float32)
    for start in range(0, len(table), CHUNK_ROWS):
        rows = table.values.iloc[start : start + CHUNK_ROWS]
        columns = {}
        for column in contract.features:
            values = rows[column.name]
            if column.is_numeric:
                columns[column.name] = values.to_numpy()
            else:
                columns[column.name] = as_objects(values.where(values.isin(column.categories)))
        answers[start : start + CHUNK_ROWS] = model.predict(features.matrix(columns))
    return answers


def expectation(
    reference: Reference, contract: Contract, answers: npt.NDArray[np.floating]
) -> Expectation:
    """Return what a server expects: the reference's features, and these answers, [n]."""
    profile = reference.profile
    columns = {}
    for column in contract.features:
        if column.is_numeric:
            seen = profile.numbers[column.name]
            columns[column.name] = Distribution.of_numbers(seen.edges, seen.counts, seen.nulls)
        else:
            kinds = profile.categories[column.name]
            counts = tuple(kinds.counts.get(category, 0) for category in column.categories)
            columns[column.name] = Distribution(column.categories, counts, kinds.nulls)
    tenths = rounded(np.arange(1, 10) / 10)
    found = np.bincount(np.searchsorted(tenths, answers), minlength=len(tenths) + 1)
    given = Distribution.of_numbers(tenths, found.tolist())
    return Expectation(expectations.SCHEMA, columns, given)


def to_json(reference: Reference) -> bytes:
    """Return the file: a line for each column, so that a change in git shows which have moved."""
    return f"{_pretty(asdict(reference), depth=0)}\n".encode()


def _pretty(value: object, depth: int) -> str:
    if depth == DEPTH or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    margin = "  " * depth
    entries = (
        f"{margin}  {json.dumps(name, ensure_ascii=False)}: {_pretty(entry, depth + 1)}"
        for name, entry in value.items()
    )
    return "{\n" + ",\n".join(entries) + f"\n{margin}}}"


def load(contract: Contract) -> Reference:
    """Read the reference beside a contract.

    Raises
    ------
    ConfigurationError
        The file is missing, is not what `to_json` writes, or was made under another contract.
    """
    path, next_step = contract.reference, "make it from a table that you trust: nox -s reference"
    try:
        reference = TypeAdapter(Reference).validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", next_step) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigurationError(f"{path}: {place}: {first['msg']}", next_step) from None
    if reference.schema != SCHEMA:
        why = f"schema: is {reference.schema}, and this code reads {SCHEMA}"
        raise ConfigurationError(f"{path}: {why}", next_step)
    for column in (*contract.features, contract.target):
        profile = reference.profile
        known = profile.numbers if column.is_numeric else profile.categories
        if column.name not in known:
            why = f"it has no {column.type} {column.name!r}, and the contract has"
            raise ConfigurationError(f"{path}: {why}", next_step)
    incomplete = reference.profile.predictions is None
    if incomplete or reference.model.features != Features(contract).names:
        why = "its model has other features than the contract gives"
        raise ConfigurationError(f"{path}: {why}", next_step)
    return reference


def _fit(names: tuple[str, ...], matrix: Matrix, dataset: Dataset) -> ReferenceModel:
    known = ~np.isnan(matrix)
    counts = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, matrix, 0.0).astype(np.float64)
    means = filled.sum(axis=0) / counts
    spread = np.where(known, filled - means, 0.0)
    sds = np.sqrt((spread**2).sum(axis=0) / counts)
    sds[sds == 0] = 1.0
    model = LogisticRegression(max_iter=1000).fit(spread / sds, dataset.labels)
    return ReferenceModel(
        features=names,
        means=rounded(means),
        sds=rounded(sds),
        weights=rounded(model.coef_[0]),
        intercept=rounded(model.intercept_)[0],
    )
