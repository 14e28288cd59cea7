"""What a released model says of customers: run from a release's own wheel, by a later gate.

    PYTHONPATH=<wheel> python -P -m <package>.scoring --bundle DIR < customers.json

Reads a JSON list of customers, each with at least the columns of the bundle's contract, and prints
their probabilities; null for one that this release would not answer. The features are computed as
the release computes them, whatever has become of their code since.
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
    """Return the answers of the model in a bundle.

    Raises
    ------
    ConfigurationError
        The bundle cannot be used, or the customers lack a column of its contract.
    """
    predictor = predictors.load(bundle)
    schema = CustomerSchema(predictor.contract)
    answered: list[tuple[int, dict[str, Any]]] = []
    for place, customer in enumerate(customers):
        try:
            asked = _asked_with(customer, predictor.contract)
            answered.append((place, schema.check(asked)))
        except ValidationError:
            continue  # It would be answered with 422.
    probabilities: list[float | None] = [None] * len(customers)
    for start in range(0, len(answered), BATCH):
        part = answered[start : start + BATCH]
        answers = predictor.answer([customer for _, customer in part])
        for (place, _), answer in zip(part, answers, strict=True):
            probabilities[place] = answer["churn_probability"]
    return {
        "model_sha256": predictor.sha256,
        "threshold": predictor.threshold,
        "features": [[column.name, column.type] for column in predictor.contract.features],
        "probabilities": probabilities,
    }


def _asked_with(customer: Mapping[str, Any], contract: Contract) -> dict[str, Any]:
    for column in contract.features:
        if column.name not in customer:
            raise ConfigurationError(
                f"it wants the column {column.name!r}, which the table does not have",
                "compare with a release of the same contract",
            )
    return {column.name: customer[column.name] for column in contract.features}


def main(arguments: list[str] | None = None) -> int:
    """Answer the customers on standard input; 2 where that cannot be done."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.scoring")
    parser.add_argument("--bundle", type=Path, required=True, help="folder with model and contract")
    asked = parser.parse_args(arguments)
    try:
        json.dump(score(asked.bundle, json.load(sys.stdin)), sys.stdout)
    except ToolkitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
