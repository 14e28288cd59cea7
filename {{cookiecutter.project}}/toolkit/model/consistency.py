"""Feature consistency: the contract promises what the model is trained on and the server computes.

First the names, types and order of the features are compared wherever they are written down. Then
the same customers go the way of training, from the table, and the way of serving, from a request's
JSON, and must come out as the same features and the same predictions.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.contract import Column, Contract
from ..data.dataset import Dataset, quick_rows
from ..serving.customer import MAX_CUSTOMERS, CustomerSchema
from . import training
from .export import TOLERANCE, export
from .features import Features, Matrix
from .policy import TrainingPolicy
from .predictor import Predictor

SCHEMA = 1
ROWS = 1000
ANY_THRESHOLD = 0.5


@dataclass(frozen=True)
class Consistency:
    """What the comparison has found.

    Attributes
    ----------
    names
        Of the features that the model sees, in its order, [k].
    differences
        A sentence for each thing that is not the same on both sides.
    rows
        How many customers went both ways.
    feature_difference, prediction_difference
        The largest that was seen among them, wherever both sides have a number.
    """

    names: tuple[str, ...]
    differences: tuple[str, ...]
    rows: int
    feature_difference: float
    prediction_difference: float


def compare(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> Consistency:
    """Train quickly, and hold the model, the server and the contract against one another.

    Raises
    ------
    ExportError
        The ONNX model answers otherwise than the pipeline.
    """
    features, schema = Features(contract), CustomerSchema(contract)
    few = dataset.select(quick_rows(dataset, policy.quick_rows))
    matrix = features.matrix(few.columns)
    pipeline = training.fit(matrix, few.labels, policy)
    predictor = Predictor(contract, export(pipeline, contract, ANY_THRESHOLD, matrix))

    shown = dataset.select(telling_rows(dataset, contract))
    trained = features.matrix(shown.columns)
    expected = pipeline.predict_proba(trained)[:, 1]
    body = json.dumps(training.as_requests(shown, contract)).encode()
    customers = schema.parse_many(body)
    served = predictor.matrix(customers)
    given = [answer["churn_probability"] for answer in predictor.answer(customers)]
    prediction_gap = np.abs(given - expected)
    feature_gap = np.abs(served - trained)
    return Consistency(
        names=features.names,
        differences=(
            *promised_otherwise(contract, schema.json_schema()),
            *_computed_otherwise(features.names, shown, trained, served),
            *_predicted_otherwise(shown, expected, given, prediction_gap),
        ),
        rows=len(shown),
        feature_difference=_largest(feature_gap),
        prediction_difference=_largest(prediction_gap),
    )


def _largest(gap: npt.NDArray[Any]) -> float:
    return float(np.nanmax(gap, initial=0.0))


def telling_rows(dataset: Dataset, contract: Contract) -> npt.NDArray[np.int64]:
    """Return the positions of customers who show everything that a column can be.

    A fixed choice of `ROWS`, and of every feature a null, the ends of its range, and each category.
    """
    rows = set(quick_rows(dataset, ROWS).tolist())
    for column in contract.features:
        values = dataset.columns[column.name]
        if column.is_numeric:
            known = np.flatnonzero(~np.isnan(values))
            rows.update(np.flatnonzero(np.isnan(values))[:1].tolist())
            if len(known):
                rows.update(
                    (int(known[values[known].argmin()]), int(known[values[known].argmax()]))
                )
        else:
            firsts = [np.flatnonzero(values == category) for category in (*column.categories, None)]
            rows.update(int(first[0]) for first in firsts if len(first))
    return np.array(sorted(rows)[:MAX_CUSTOMERS])


def promised_otherwise(contract: Contract, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the server's JSON schema of a request says otherwise than the contract."""
    customer = schema["anyOf"][0]
    promised, expected = list(customer["properties"]), [column.name for column in contract.features]
    if promised != expected:
        yield f"/predict takes {', '.join(promised)}; the contract has {', '.join(expected)}"
        return
    if customer.get("required") != expected or customer.get("additionalProperties") is not False:
        yield "/predict takes customers that lack a column, or have one that nobody reads"
    for column in contract.features:
        found, wanted = _readable(customer["properties"][column.name]), _allowed(column)
        if found != wanted:
            yield f"/predict takes as {column.name} {found}; the contract allows {wanted}"


def _allowed(column: Column) -> dict[str, Any]:
    """Return what the contract allows of a column, in the words of a JSON schema."""
    allowed: dict[str, Any] = {"null": column.max_null_rate > 0}
    if column.is_numeric:
        low, high = column.range
        return {"type": column.type, "minimum": low, "maximum": high, **allowed}
    return {"type": "string", "enum": list(column.categories), **allowed}


def _readable(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a property of a JSON schema in the same words."""
    options = entry.get("anyOf", [entry])
    [value] = [option for option in options if option.get("type") != "null"]
    words = ("type", "enum", "minimum", "maximum")
    return {
        **{word: value[word] for word in words if word in value},
        "null": len(options) > 1,
    }


def _computed_otherwise(
    names: tuple[str, ...], shown: Dataset, trained: Matrix, served: Matrix
) -> Iterator[str]:
    different = ~((trained == served) | (np.isnan(trained) & np.isnan(served)))
    for place in np.flatnonzero(different.any(axis=0)):
        rows = np.flatnonzero(different[:, place])
        first = rows[0]
        yield (
            f"feature {names[place]}: {len(rows)} of {len(shown)} customers differ: customer "
            f"{shown.ids[first]} has {trained[first, place]:.6g} in training, "
            f"{served[first, place]:.6g} in serving"
        )


def _predicted_otherwise(
    shown: Dataset, expected: npt.NDArray[Any], given: list[float], gap: npt.NDArray[Any]
) -> Iterator[str]:
    if not gap.max() <= TOLERANCE:  # Written so that a NaN is a difference too.
        worst = int(gap.argmax())
        yield (
            f"predictions: customer {shown.ids[worst]} gets {expected[worst]:.6f} from the trained "
            f"pipeline, {given[worst]:.6f} from the server; {TOLERANCE:.0e} is allowed"
        )
