"""The reference: the distributions of the last accepted table, kept in git.

It holds counts and quantiles, never a row, and the weights of a small model, so that the same
customers get the same predictions at any time and in any clone. It says of itself what it was made
from, and what was accepted with it.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from ..errors import ConfigurationError
from ..model.features import Features, Matrix
from . import expectation as expectations
from . import relation as relations
from . import sketch as sketches
from .contract import Contract
from .dataset import Dataset, as_objects, position, quick_rows, require_both_labels
from .distribution import (
    PROBABILITIES,
    Categories,
    Numbers,
    measure_categories,
    measure_numbers,
    rounded,
)
from .expectation import Distribution, Expectation
from .relation import Relation
from .sketch import Sketch
from .table import Table

SCHEMA = 2
# It knows neither the relation to the target nor the extremes, the ids and what was accepted.
OLDER_SCHEMA = 1
# Enough for two certain digits of every weight.
MODEL_ROWS = 100_000
# The feature matrix of a whole table would need more memory than the table.
CHUNK_ROWS = 100_000
# The nesting depth to which the file has one line an entry: down to a line a column.
DEPTH = 3
FOLDS = 3
# Features times rows, at most, that its ranking of other customers is estimated from.
CELLS = 8_000_000


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
    relation
        How the columns relate to the target; None where one is missing, or an older reference does
        not say.
    """

    rows: int
    numbers: dict[str, Numbers]
    categories: dict[str, Categories]
    predictions: Numbers | None
    relation: Relation | None = None


@dataclass(frozen=True)
class Acceptance:
    """What somebody accepted by making a reference: for whoever reviews the change of the file.

    Attributes
    ----------
    data_sha256, rows
        The accepted table.
    moved
        A sentence for each change that warns or fails, or that says why there was no comparison.
    """

    data_sha256: str
    rows: int
    moved: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """An accepted table's profile, and the model whose predictions are compared.

    Attributes
    ----------
    schema
        The version of the file format.
    data_sha256
        The digest of the accepted table's file.
    profile, model
        Its distributions, and the model.
    contract_sha256
        The digest of the contract's columns; None in an older reference.
    sketch
        Some of its customers; None in an older reference.
    accepted
        What was accepted with this reference and with earlier ones, the newest last.
    sha256
        The digest of all the others; None in an older reference.
    """

    schema: int
    data_sha256: str
    profile: Profile
    model: ReferenceModel
    contract_sha256: str | None = None
    sketch: Sketch | None = None
    accepted: tuple[Acceptance, ...] = ()
    sha256: str | None = None


def make(table: Table, dataset: Dataset, contract: Contract) -> Reference:
    """Return the reference of a table without findings and of its dataset; nothing is accepted yet.

    Raises
    ------
    DataError
        All customers churned, or none did.
    """
    features = Features(contract)
    few = dataset.select(quick_rows(dataset, MODEL_ROWS))
    require_both_labels(few.labels, "the reference")
    matrix = features.matrix(few.columns)
    model = _fit(features.names, matrix, few.labels)
    profile = _measure(table, contract, None, predict(table, contract, model))
    if profile.relation is not None:
        optimism = _optimism(features.names, matrix, few)
        profile = replace(profile, relation=replace(profile.relation, optimism=optimism))
    return Reference(
        schema=SCHEMA,
        data_sha256=table.sha256,
        profile=profile,
        model=model,
        contract_sha256=contract_sha256(contract),
        sketch=sketches.make(table, contract, table.sha256),
    )


def contract_sha256(contract: Contract) -> str:
    """Return the digest of the contract's columns and of the table's format: not of its words."""
    read = {"columns": [asdict(column) for column in contract.columns], "csv": asdict(contract.csv)}
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def measure(
    table: Table,
    contract: Contract,
    reference: Reference,
    y_prob: npt.NDArray[np.float32] | None = None,
) -> Profile:
    """Return a table's profile, in the bins of the reference.

    Parameters
    ----------
    y_prob
        The predictions of the reference's model, [n]; None where they are not known yet.
    """
    if y_prob is None and can_predict(reference, contract) and has_features(table, contract):
        y_prob = predict(table, contract, reference.model)
    return _measure(table, contract, reference.profile, y_prob)


def can_predict(reference: Reference, contract: Contract) -> bool:
    """Return whether the reference's model takes the contract's features."""
    return reference.model.features == Features(contract).names


def has_features(table: Table, contract: Contract) -> bool:
    """Return whether the table has all of the contract's features."""
    return all(column.name in table.values for column in contract.features)


def _measure(
    table: Table,
    contract: Contract,
    like: Profile | None,
    y_prob: npt.NDArray[np.float32] | None,
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
    predictions = relation = None
    if y_prob is not None:
        predictions = measure_numbers(y_prob, like.predictions if like else None)
        divided = like or Profile(len(table), numbers, categories, predictions)
        known = len(table) and contract.target.name in table.values
        if known and divided.predictions is not None:
            churned = table.values[contract.target.name] == contract.target.positive
            relation = relations.measure(
                *(table.values, contract, churned.to_numpy(dtype=bool), y_prob),
                *(divided.numbers, divided.predictions.quantiles),
            )
    return Profile(len(table), numbers, categories, predictions, relation)


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
    content = _ordered(reference) | {"sha256": _digest(reference)}
    return f"{_pretty(content, depth=0)}\n".encode()


def _ordered(reference: Reference) -> dict[str, Any]:
    """Return the content but its digest, what a reviewer reads first."""
    content = asdict(reference)
    names = ("schema", "data_sha256", "contract_sha256", "accepted", "profile", "model", "sketch")
    return {name: content[name] for name in names}


def _digest(reference: Reference) -> str:
    return hashlib.sha256(json.dumps(_ordered(reference), sort_keys=True).encode()).hexdigest()


def _pretty(value: object, depth: int) -> str:
    margin = "  " * depth
    if value and isinstance(value, list | tuple) and (depth == DEPTH or isinstance(value[0], dict)):
        # What was accepted: a line for each sentence.
        entries = (f"{margin}  {_pretty(entry, depth + 1)}" for entry in value)
        return "[\n" + ",\n".join(entries) + f"\n{margin}]"
    if depth == DEPTH or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
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
        The file is missing, invalid or edited, or belongs to another contract.
    """
    reference = read(contract.reference)
    for why in faults(reference, contract):
        raise _unusable(contract.reference, why)
    if reference.profile.predictions is None or not can_predict(reference, contract):
        raise _unusable(contract.reference, "its model has other features than the contract")
    for why in edits(reference):
        raise _unusable(contract.reference, f"it was edited by hand: {why}")
    return reference


def read(path: Path) -> Reference:
    """Read a reference, of whatever contract.

    Raises
    ------
    ConfigurationError
        The file is missing or invalid.
    """
    try:
        reference = TypeAdapter(Reference).validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise _unusable(path, str(error.strerror)) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise _unusable(path, f"{place}: {first['msg']}") from None
    if reference.schema not in (OLDER_SCHEMA, SCHEMA):
        why = f"schema: is {reference.schema}, but this version of the toolkit reads {SCHEMA}"
        raise _unusable(path, why)
    return reference


def _unusable(path: Path, why: str) -> ConfigurationError:
    next_step = "make it from a table that you trust: nox -s reference"
    return ConfigurationError(f"{path}: {why}", next_step)


def faults(reference: Reference, contract: Contract) -> Iterator[str]:
    """Yield why the contract's columns cannot be compared with a reference."""
    profile = reference.profile
    for column in (*contract.features, contract.target):
        columns = profile.numbers if column.is_numeric else profile.categories
        if column.name not in columns:
            yield f"it lacks the contract's {column.type} column {column.name!r}"


def edits(reference: Reference) -> Iterator[str]:
    """Yield what in a reference was not written by `to_json`."""
    profile = reference.profile
    distributions = {**profile.numbers, **profile.categories, "predictions": profile.predictions}
    for name, one in distributions.items():
        if one is not None and not _is_coherent(one, profile.rows):
            yield f"the figures of {name!r} contradict one another or the number of rows"
    newer = (reference.contract_sha256, reference.sketch, profile.relation, reference.sha256)
    if reference.schema == OLDER_SCHEMA:
        if any(one is not None for one in newer):
            yield f"it has figures that schema {OLDER_SCHEMA} does not have"
    elif any(one is None for one in newer) or reference.sha256 != _digest(reference):
        yield "its sha256 is not that of its content"


def doubts(reference: Reference, contract: Contract) -> Iterator[str]:
    """Yield what a reference cannot tell, and why: for the data check to warn of."""
    if reference.schema == OLDER_SCHEMA:
        yield (
            f"{contract.reference} has the older schema {OLDER_SCHEMA}: whether the relation to "
            "the target, the extremes or the ids have changed is unknown until nox -s reference"
        )
    elif reference.contract_sha256 != contract_sha256(contract):
        yield (
            f"{contract.reference} was made under other columns of {contract.path}: look at "
            "reports/data.html, then accept the table under today's: nox -s reference"
        )


def distrust(
    reference: Reference, contract: Contract, table: Table, profile: Profile, min_rows: int
) -> Iterator[str]:
    """Yield why a table may not be compared with a reference at all: for the data check to fail.

    Parameters
    ----------
    profile
        The table's, as `measure` returns it.
    min_rows
        The rows that a comparison takes.
    """
    then = reference.profile
    if then.rows < min_rows <= len(table):
        yield (
            f"the reference is of {then.rows} rows, and a comparison takes {min_rows}: nothing "
            "would be noticed; make it from a table that you trust: nox -s reference"
        )
    same_contract = reference.contract_sha256 == contract_sha256(contract)
    # Another contract may read other nulls in the same file.
    if reference.data_sha256 == table.sha256 and same_contract:
        now: dict[str, Numbers | Categories] = {**profile.numbers, **profile.categories}
        accepted: dict[str, Numbers | Categories] = {**then.numbers, **then.categories}
        for name, other in accepted.items():
            one = now.get(name)
            if one is not None and (one.rows, one.counts) != (other.rows, other.counts):
                yield (
                    f"the reference says that it was made of this very table, but its counts of "
                    f"{name!r} are others: make it again: nox -s reference"
                )


def _is_coherent(one: Numbers | Categories, rows: int) -> bool:
    counts = one.counts if isinstance(one, Numbers) else one.counts.values()
    coherent = one.rows + one.nulls == rows and sum(counts) == one.rows
    if isinstance(one, Categories):
        return coherent
    quantiles = len(PROBABILITIES) if one.rows else 0
    return coherent and (len(one.quantiles), len(one.counts)) == (quantiles, len(one.edges) + 1)


def _optimism(names: tuple[str, ...], matrix: Matrix, dataset: Dataset) -> float:
    """Return how much better a model ranks the customers that it was fitted to than others."""
    count = max(2 * FOLDS, CELLS // max(len(names), 1))
    rows = quick_rows(dataset, count)
    matrix, labels = matrix[rows], dataset.labels[rows]
    fold_of = (position(dataset.groups[rows], "reference") * FOLDS).astype(np.int64)
    differences = []
    for fold in range(FOLDS):
        inside = fold_of == fold
        if len(np.unique(labels[~inside])) < 2:
            continue
        y_prob = _fit(names, matrix[~inside], labels[~inside]).predict(matrix)
        quantiles = np.quantile(y_prob, PROBABILITIES).tolist()
        rankings = [
            relations.rank_of(labels[part] == 1, y_prob[part], quantiles)
            for part in (~inside, inside)
        ]
        if rankings[0] and rankings[1]:
            differences.append(rankings[0].auc - rankings[1].auc)
    return rounded([max(0.0, float(np.mean(differences)))])[0] if differences else 0.0


def _fit(names: tuple[str, ...], matrix: Matrix, labels: npt.NDArray[np.int64]) -> ReferenceModel:
    non_null = ~np.isnan(matrix)
    counts = np.maximum(non_null.sum(axis=0), 1)
    filled = np.where(non_null, matrix, 0.0).astype(np.float64)
    means = filled.sum(axis=0) / counts
    centred = np.where(non_null, filled - means, 0.0)
    sds = np.sqrt((centred**2).sum(axis=0) / counts)
    sds[sds == 0] = 1.0
    # Imported here: a data check makes no reference, and would wait a second for it.
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000).fit(centred / sds, labels)
    return ReferenceModel(
        features=names,
        means=rounded(means),
        sds=rounded(sds),
        weights=rounded(model.coef_[0]),
        intercept=rounded(model.intercept_)[0],
    )
