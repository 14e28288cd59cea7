"""The reference: the distributions of the last accepted table, kept in git.

It holds counts and quantiles, never a row, and the weights of a small model, so that the same
customers get the same predictions at any time and in any clone.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from ..errors import ConfigurationError
from ..model.features import Features, Matrix
from . import expectation as expectations
from .contract import Contract
from .dataset import Dataset, as_objects, quick_rows, require_both_labels
from .distribution import Categories, Numbers, measure_categories, measure_numbers, rounded
from .expectation import Distribution, Expectation
from .table import Table

SCHEMA = 1
# Enough for two certain digits of every weight.
MODEL_ROWS = 100_000
# The feature matrix of a whole table would need more memory than the table.
CHUNK_ROWS = 100_000
# The nesting depth to which the file has one line an entry: down to a line a column.
DEPTH = 3


@dataclass(frozen=True)
class ReferenceModel:
    """A logistic regression on standardised features; a null is imputed with the mean.

    Attributes
    ----------
    features
        The names of the matrix's columns, [k].
    means, sds, weights
        Mean, standard deviation (1 where constant) and weight of each feature, [k].
    intercept
        The log odds of a customer with all features at their means.
    """

    features: tuple[str, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def predict(self, matrix: Matrix) -> npt.NDArray[np.float32]:
        """Return the probabilities of churn, [n], for a feature matrix [n, k]."""
        means, sds, weights = np.array([self.means, self.sds, self.weights], dtype=np.float32)
        scaled = np.nan_to_num((matrix - means) / sds)
        score = scaled @ weights + np.float32(self.intercept)
        return np.asarray(0.5 * (1 + np.tanh(score / 2)), dtype=np.float32)


@dataclass(frozen=True)
class Profile:
    """The distributions of a table's columns.

    Attributes
    ----------
    rows
        The table's number of rows.
    numbers, categories
        The features and the target that the table has, by name.
    predictions
        The reference model's predictions for the rows; None where a feature is missing.
    """

    rows: int
    numbers: dict[str, Numbers]
    categories: dict[str, Categories]
    predictions: Numbers | None


@dataclass(frozen=True)
class Reference:
    """An accepted table's profile, and the model whose predictions are compared.

    Attributes
    ----------
    schema
        The version of the file format.
    data_sha256
        The digest of the accepted table's file.
    """

    schema: int
    data_sha256: str
    profile: Profile
    model: ReferenceModel


def make(table: Table, dataset: Dataset, contract: Contract) -> Reference:
    """Return the reference of a table without findings and of its dataset.

    Raises
    ------
    DataError
        All customers churned, or none did.
    """
    features = Features(contract)
    few = dataset.select(quick_rows(dataset, MODEL_ROWS))
    require_both_labels(few.labels, "the reference")
    model = _fit(features.names, features.matrix(few.columns), few)
    return Reference(SCHEMA, table.sha256, _measure(table, contract, model, None), model)


def measure(table: Table, contract: Contract, reference: Reference) -> Profile:
    """Return a table's profile, in the bins of the reference."""
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
        y_prob = predict(table, contract, model)
        predictions = measure_numbers(y_prob, like.predictions if like else None)
    return Profile(len(table), numbers, categories, predictions)


def predict(table: Table, contract: Contract, model: ReferenceModel) -> npt.NDArray[np.float32]:
    """Return the model's probability of churn for each row, [n]; an unknown category is a null."""
    features = Features(contract)
    y_prob = np.empty(len(table), dtype=np.float32)
    for start in range(0, len(table), CHUNK_ROWS):
        rows = table.values.iloc[start : start + CHUNK_ROWS]
        columns = {}
        for column in contract.features:
            values = rows[column.name]
            if column.is_numeric:
                columns[column.name] = values.to_numpy()
            else:
                columns[column.name] = as_objects(values.where(values.isin(column.categories)))
        y_prob[start : start + CHUNK_ROWS] = model.predict(features.matrix(columns))
    return y_prob


def expectation(
    reference: Reference, contract: Contract, y_prob: npt.NDArray[np.floating]
) -> Expectation:
    """Return the expectation for a server: the reference's features, and these predictions, [n]."""
    profile = reference.profile
    columns = {}
    for column in contract.features:
        if column.is_numeric:
            numbers = profile.numbers[column.name]
            columns[column.name] = Distribution.of_numbers(
                numbers.edges, numbers.counts, numbers.nulls
            )
        else:
            categories = profile.categories[column.name]
            counts = tuple(categories.counts.get(category, 0) for category in column.categories)
            columns[column.name] = Distribution(column.categories, counts, categories.nulls)
    tenths = rounded(np.arange(1, 10) / 10)
    in_tenths = np.bincount(np.searchsorted(tenths, y_prob), minlength=len(tenths) + 1)
    probabilities = Distribution.of_numbers(tenths, in_tenths.tolist())
    return Expectation(expectations.SCHEMA, columns, probabilities)


def to_json(reference: Reference) -> bytes:
    """Return the file's content: a line a column, so that a diff shows which columns changed."""
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
        The file is missing or invalid, or belongs to another contract.
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
        why = f"schema: is {reference.schema}, but this version of the toolkit reads {SCHEMA}"
        raise ConfigurationError(f"{path}: {why}", next_step)
    for column in (*contract.features, contract.target):
        profile = reference.profile
        columns = profile.numbers if column.is_numeric else profile.categories
        if column.name not in columns:
            why = f"it lacks the contract's {column.type} column {column.name!r}"
            raise ConfigurationError(f"{path}: {why}", next_step)
    incomplete = reference.profile.predictions is None
    if incomplete or reference.model.features != Features(contract).names:
        why = "its model has other features than the contract"
        raise ConfigurationError(f"{path}: {why}", next_step)
    return reference


def _fit(names: tuple[str, ...], matrix: Matrix, dataset: Dataset) -> ReferenceModel:
    non_null = ~np.isnan(matrix)
    counts = np.maximum(non_null.sum(axis=0), 1)
    filled = np.where(non_null, matrix, 0.0).astype(np.float64)
    means = filled.sum(axis=0) / counts
    centred = np.where(non_null, filled - means, 0.0)
    sds = np.sqrt((centred**2).sum(axis=0) / counts)
    sds[sds == 0] = 1.0
    # Imported here: a data check makes no reference, and would wait a second for it.
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000).fit(centred / sds, dataset.labels)
    return ReferenceModel(
        features=names,
        means=rounded(means),
        sds=rounded(sds),
        weights=rounded(model.coef_[0]),
        intercept=rounded(model.intercept_)[0],
    )
