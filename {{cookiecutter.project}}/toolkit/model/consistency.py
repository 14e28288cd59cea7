"""Feature consistency: contract, training and server agree on the features and the predictions.

First the server's JSON schema is compared with the contract: names, types, order, ranges. Then the
features of the same customers are computed as in training, from the table, and as in serving, from
a request's JSON; and the server's application is asked about them, bytes for bytes, so that what it
makes of a prediction is compared too. Last, the owner's code must be pure.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..data import contract as contracts
from ..data import reference as references
from ..data.contract import Column, Contract
from ..data.dataset import Dataset, quick_rows
from ..data.examination import TrainingData, load_training_data
from ..data.progress import say
from ..errors import ToolkitError
from ..places import Places
from ..reports import features_report
from ..reports import files as reports
from ..serving.customer import MAX_CUSTOMERS, CustomerSchema
from . import answers, evidence, fitting, policy_file, purity, training
from .export import export
from .features import Features, Matrix
from .other_process import OtherProcess
from .policy import TrainingPolicy
from .predictor import Predictor

SCHEMA = 1
ROWS = 1000
# Of all customers that are compared: a wide table has fewer.
VALUES = 1_000_000
# A field of a request is looked for among all of its customer's: a thousand cost a million.
LOOK_UPS = 200_000_000
ANY_THRESHOLD = 0.5


@dataclass(frozen=True)
class Consistency:
    """The result of the comparison.

    Attributes
    ----------
    names
        The features in the order of the model's matrix, [k].
    differences
        A sentence for each difference.
    rows
        How many customers were compared.
    feature_difference, prediction_difference
        The largest among them; of features, where both are numbers.
    """

    names: tuple[str, ...]
    differences: tuple[str, ...]
    rows: int
    feature_difference: float
    prediction_difference: float


def check(places: Places, other: OtherProcess) -> bool:
    """Compare training, serving and contract with one another; writes features.json and .md."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "verdict": "failed",
        "reasons": ["the run was interrupted"],
        "contract": str(places.contract),
        "contract_sha256": evidence.sha256(places.contract),
        "created": evidence.now(),
    }
    try:
        contract = contracts.load(places.contract)
        policy = policy_file.load(places.quality, contract.package)
        data = load_training_data(contract, policy)
        given = give(other, data.dataset, contract, policy.training)
        compared = compare(data, policy.training, other, given)
        document |= asdict(compared)
        document["reasons"] = list(compared.differences)
        document["verdict"] = "failed" if compared.differences else "passed"
    except ToolkitError as error:
        document["reasons"] = str(error).splitlines()
        raise
    finally:
        reports.write_report(
            places.reports, "features", document, features_report.to_markdown(document)
        )
    for reason in document["reasons"]:
        say(reason)
    say(
        f"features: {document['verdict']}: {len(compared.names)} features of {compared.rows} "
        f"customers, trained and served; largest difference {compared.feature_difference:.2g}, "
        f"of a prediction {compared.prediction_difference:.2g}"
    )
    return not compared.differences


def give(
    other: OtherProcess, dataset: Dataset, contract: Contract, policy: TrainingPolicy
) -> purity.Given:
    """Let the owner's code run once more in another process, and return what it is given there."""
    few = dataset.select(quick_rows(dataset, policy.quick_rows))
    chosen = few.select(purity.few_of_each(few.labels))
    folder = contract.data.resolve().parent
    given = purity.Given(chosen.ids, chosen.columns, chosen.labels, contract, policy, folder)
    other.give(given)
    return given


def compare(
    data: TrainingData, policy: TrainingPolicy, other: OtherProcess, given: purity.Given
) -> Consistency:
    """Train quickly, and compare the contract, the model and the server with one another.

    Parameters
    ----------
    other, given
        The process in which the owner's code runs once more, and what it was given.

    Raises
    ------
    ExportError
        The ONNX model predicts otherwise than the pipeline.
    """
    dataset, contract = data.dataset, data.contract
    features, schema = Features(contract), CustomerSchema(contract)
    few = dataset.select(quick_rows(dataset, policy.quick_rows))
    matrix = features.matrix(few.columns)
    pipeline = fitting.fit(matrix, few.labels, policy)
    predictor = Predictor(contract, export(pipeline, contract, ANY_THRESHOLD, matrix))

    compared = dataset.select(representative_rows(dataset, contract))
    in_training = features.matrix(compared.columns)
    trained = fitting.probabilities(pipeline, in_training)
    requests = training.as_requests(compared, contract)
    in_serving = predictor.matrix(schema.parse_many(json.dumps(requests).encode()))
    expectation = references.expectation(data.reference, contract, trained)
    served = answers.ask(predictor, expectation, requests)
    return Consistency(
        names=features.names,
        differences=(
            *schema_differences(contract, schema.json_schema()),
            *_feature_differences(features.names, compared, in_training, in_serving),
            *answers.differences(served, compared.ids, trained, ANY_THRESHOLD),
            *purity.differences(given, other),
        ),
        rows=len(compared),
        feature_difference=_largest(in_serving - in_training),
        prediction_difference=max(
            (_largest(one.probabilities - trained[one.rows]) for one in served), default=0.0
        ),
    )


def _largest(difference: npt.NDArray[Any]) -> float:
    return float(np.nanmax(np.abs(difference), initial=0.0))


def representative_rows(dataset: Dataset, contract: Contract) -> npt.NDArray[np.int64]:
    """Return the positions of customers with every kind of value that a column has.

    They are a fixed choice of `ROWS`, and for every feature a null, both ends of its range, and
    each category; of a wide table fewer, as `VALUES` and `LOOK_UPS` allow.
    """
    rows = set(quick_rows(dataset, ROWS).tolist())
    for column in contract.features:
        values = dataset.columns[column.name]
        if column.is_numeric:
            rows.update(np.flatnonzero(np.isnan(values))[:1].tolist())
            if not np.isnan(values).all():
                rows.update((int(np.nanargmin(values)), int(np.nanargmax(values))))
        else:
            rows.update(np.flatnonzero(~pd.Series(values, dtype=object).duplicated()).tolist())
    count = len(contract.features)
    most = max(1, min(MAX_CUSTOMERS, VALUES // count, LOOK_UPS // count**2))
    return np.array(sorted(rows)[:most])


def schema_differences(contract: Contract, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences between the server's JSON schema of a request and the contract."""
    customer = schema["anyOf"][0]
    served, expected = list(customer["properties"]), [column.name for column in contract.features]
    if served != expected:
        yield f"/predict takes {', '.join(served)}; the contract has {', '.join(expected)}"
        return
    if customer.get("required") != expected or customer.get("additionalProperties") is not False:
        yield "/predict accepts customers with a missing or an unknown column"
    for column in contract.features:
        found, wanted = _readable(customer["properties"][column.name]), _allowed(column)
        if found != wanted:
            yield f"/predict takes as {column.name} {found}; the contract allows {wanted}"


def _allowed(column: Column) -> dict[str, Any]:
    """Return what the contract allows in a column, in the keywords of a JSON schema."""
    allowed: dict[str, Any] = {"null": column.max_null_rate > 0}
    if column.is_numeric:
        low, high = column.range
        return {"type": column.type, "minimum": low, "maximum": high, **allowed}
    return {"type": "string", "enum": list(column.categories), **allowed}


def _readable(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a property of a JSON schema in the same keywords."""
    options = entry.get("anyOf", [entry])
    [value] = [option for option in options if option.get("type") != "null"]
    keywords = ("type", "enum", "minimum", "maximum")
    return {
        **{keyword: value[keyword] for keyword in keywords if keyword in value},
        "null": len(options) > 1,
    }


def _feature_differences(
    names: tuple[str, ...], customers: Dataset, in_training: Matrix, in_serving: Matrix
) -> Iterator[str]:
    both_null = np.isnan(in_training) & np.isnan(in_serving)
    different = ~((in_training == in_serving) | both_null)
    for place in np.flatnonzero(different.any(axis=0)):
        rows = np.flatnonzero(different[:, place])
        first = rows[0]
        yield (
            f"feature {names[place]}: {len(rows)} of {len(customers)} customers differ: customer "
            f"{customers.ids[first]} has {in_training[first, place]:.6g} in training, "
            f"{in_serving[first, place]:.6g} in serving"
        )
