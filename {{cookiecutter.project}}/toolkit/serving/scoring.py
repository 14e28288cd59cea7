"""Scores customers with a released model, from the release's own wheel, for a later gate.

    PYTHONPATH=WHEEL python -P -m toolkit.serving.scoring --bundle DIR < customers.json

Reads a JSON list of customers, each with at least the columns of the bundle's contract, and prints
their probabilities of churn; null for a customer that the release would refuse. The features are
computed by the release's own code, whatever the repository's code does since.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..data.contract import Contract
from ..errors import ConfigurationError, ToolkitError
from ..model import predictor as predictors
from .customer import CustomerSchema

BATCH = 5000


def score(bundle: Path, customers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the predictions of the model in a bundle.

    Raises
    ------
    ConfigurationError
        The bundle is invalid, or the customers lack a column of its contract.
    """
    predictor = predictors.load(bundle)
    schema = CustomerSchema(predictor.contract)
    valid: list[tuple[int, dict[str, Any]]] = []
    for position, customer in enumerate(customers):
        features = _input_features(customer, predictor.contract)
        try:
            valid.append((position, schema.check(features)))
        except ValidationError:
            continue  # The server would respond with 422.
    probabilities: list[float | None] = [None] * len(customers)
    for start in range(0, len(valid), BATCH):
        batch = valid[start : start + BATCH]
        predictions = predictor.answer([customer for _, customer in batch])
        for (position, _), prediction in zip(batch, predictions, strict=True):
            probabilities[position] = prediction["churn_probability"]
    return {
        "model_sha256": predictor.sha256,
        "threshold": predictor.threshold,
        "features": [[column.name, column.type] for column in predictor.contract.features],
        "probabilities": probabilities,
    }


def _input_features(customer: Mapping[str, Any], contract: Contract) -> dict[str, Any]:
    for column in contract.features:
        if column.name not in customer:
            raise ConfigurationError(
                f"it needs the column {column.name!r}, which the table does not have",
                "compare with a release of the same contract",
            )
    return {column.name: customer[column.name] for column in contract.features}


def main(arguments: list[str] | None = None) -> int:
    """Score the customers on standard input; 2 for an unusable bundle or table."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.scoring")
    parser.add_argument(
        "--bundle", type=Path, required=True, help="a folder with model and contract"
    )
    options = parser.parse_args(arguments)
    try:
        json.dump(score(options.bundle, json.load(sys.stdin)), sys.stdout)
    except ToolkitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
