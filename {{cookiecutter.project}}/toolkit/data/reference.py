"""The reference: a file in git with the profile of the last accepted table.

It holds the weights of a small model too, and says of itself what it was made from, and what was
accepted with it.
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
from ..model.features import Features
from . import expectation as expectations
from . import profile as profiles
from . import reference_model as models
from . import sketch as sketches
from .contract import Contract
from .dataset import Dataset, quick_rows, require_both_labels
from .distribution import Categories, Numbers, rounded
from .expectation import Distribution, Expectation
from .profile import Profile
from .reference_model import ReferenceModel
from .sketch import Sketch
from .table import Table

SCHEMA = 2
# It knows neither the relation to the target nor the extremes, the ids and what was accepted.
OLDER_SCHEMA = 1
# Enough for two certain digits of every weight.
MODEL_ROWS = 100_000
# The nesting depth to which the file has one line an entry: down to a line a column.
DEPTH = 3


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


FILE = TypeAdapter(Reference)


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
    model = models.fit(features.names, matrix, few.labels)
    profile = profiles.measure(table, contract, None, models.predict(table, contract, model))
    if profile.relation is not None:
        optimism = models.optimism(features.names, matrix, few)
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
    known = can_predict(reference, contract) and models.has_features(table, contract)
    if y_prob is None and known:
        y_prob = models.predict(table, contract, reference.model)
    return profiles.measure(table, contract, reference.profile, y_prob)


def can_predict(reference: Reference, contract: Contract) -> bool:
    """Return whether the reference's model takes the contract's features."""
    return reference.model.features == Features(contract).names


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
    content = _ordered(reference)
    return f"{_pretty(content | {'sha256': _digest(content)}, depth=0)}\n".encode()


def _ordered(reference: Reference) -> dict[str, Any]:
    """Return the content but its digest, what a reviewer reads first."""
    content = FILE.dump_python(reference)
    names = ("schema", "data_sha256", "contract_sha256", "accepted", "profile", "model", "sketch")
    return {name: content[name] for name in names}


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
        reference = FILE.validate_json(path.read_bytes(), strict=True)
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
        if one is not None and not profiles.is_coherent(one, profile.rows):
            yield f"the figures of {name!r} contradict one another or the number of rows"
    newer = (reference.contract_sha256, reference.sketch, profile.relation, reference.sha256)
    if reference.schema == OLDER_SCHEMA:
        if any(one is not None for one in newer):
            yield f"it has figures that schema {OLDER_SCHEMA} does not have"
    elif any(one is None for one in newer) or reference.sha256 != _digest(_ordered(reference)):
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
    elif then.rows < contract.min_rows:
        yield (
            f"the reference is of {then.rows} rows, and {contract.path} allows no table of fewer "
            f"than {contract.min_rows} (rows.min): less would be noticed than in such a table; "
            "make it from a table that you trust: nox -s reference"
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
