"""Scores customers by the thousand with a released model, in the release's own environment.

    python -I -m toolkit.serving.batch --bundle DIR --explain 0

Reads JSON objects, one a line, each with a list for every feature of the contract, and answers each
by a line: probabilities and decisions of the valid customers, and the errors of the others. It
first says in a line of its own who answers. The numbers are those of /predict.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from prometheus_client import CollectorRegistry
from pydantic import TypeAdapter, ValidationError, with_config
from pydantic_core import from_json, to_json

# pydantic needs this one up to Python 3.11.
from typing_extensions import TypedDict

from ..data import expectation as expectations
from ..data.contract import Contract
from ..data.expectation import Expectation
from ..errors import ConfigurationError, ToolkitError
from ..model import predictor as predictors
from ..model.predictor import Predictor
from .__main__ import identity
from .api import create_app
from .customer import STRICT, annotation, quoted
from .drain import Drain
from .explanation import Explainer
from .proof import prove
from .turns import answers_alike

Columns = dict[str, list[Any]]


class ColumnsSchema:
    """The pydantic schema of many customers, column by column: the rules are those of /predict."""

    def __init__(self, contract: Contract) -> None:
        self._names = [column.name for column in contract.features]
        # To mypy these are Any: it supports only TypedDicts that are written out.
        new_type: Any = TypedDict
        list_of: Any = list
        fields = {column.name: list_of[annotation(column)] for column in contract.features}
        many: Any = new_type("Columns", fields)
        self._adapter: TypeAdapter[Columns] = TypeAdapter(with_config(STRICT)(many))

    def parse(self, body: bytes) -> tuple[Columns, list[int], list[dict[str, Any]]]:
        """Return the valid customers of n, and the errors of the others.

        Parameters
        ----------
        body
            A JSON object with a list of n values for each feature.

        Returns
        -------
        columns
            Of the k valid customers, [k] each.
        rows
            Their positions, [k].
        errors
            ``row``, ``field``, ``value``, ``rule`` and ``reason`` of each.

        Raises
        ------
        ConfigurationError
            The body is no such object.
        """
        try:
            columns = self._adapter.validate_json(body)
            return columns, list(range(len(columns[self._names[0]]))), []
        except ValidationError as error:
            errors = list(_errors(error))
        sent: Columns = from_json(body)
        invalid = {error["row"] for error in errors}
        rows = [row for row in range(len(sent[self._names[0]])) if row not in invalid]
        valid = {name: [values[row] for row in rows] for name, values in sent.items()}
        # Once more, for what validation makes of a value.
        return self._adapter.validate_json(to_json(valid)), rows, errors


def _errors(error: ValidationError) -> Iterator[dict[str, Any]]:
    for one in error.errors(include_url=False, include_context=False):
        if len(one["loc"]) < 2:
            where = ".".join(map(str, one["loc"])) or "the body"
            raise ConfigurationError(f"{where}: {one['msg']}", "send a list for each feature")
        yield {
            "row": one["loc"][1],
            "field": str(one["loc"][0]),
            "value": quoted(one["input"]),
            "rule": one["type"],
            "reason": one["msg"],
        }


class Batch:
    """Answers for many customers at a time.

    Parameters
    ----------
    predictor
        The model.
    expectation
        The distributions of its features at training.
    explain
        How many contributions to explain each prediction by, at most; 0 for no explanations.
    """

    def __init__(self, predictor: Predictor, expectation: Expectation, explain: int) -> None:
        self._predictor = predictor
        self._together = answers_alike(predictor, expectation)
        self._explainer = Explainer(predictor, expectation)
        self._explain = explain
        self._schema = ColumnsSchema(predictor.contract)

    def answer(self, body: bytes) -> dict[str, Any]:
        """Return the answer to a line.

        Returns
        -------
        answer
            ``rows``, the positions of the valid customers; their ``probabilities``, ``churn`` and
            ``explanations``, in this order; and the ``errors`` of the others.

        Raises
        ------
        ConfigurationError
            The line has another form; or the owner's features or the model fail.
        """
        columns, rows, errors = self._schema.parse(body)
        try:
            probabilities = self._probabilities(columns) if rows else []
            customers = _customers(columns, len(rows)) if self._explain else []
            explained = self._explainer.explain(customers, self._explain) if customers else []
        except Exception as error:  # The owner's code may raise anything.
            # Its text may be about a customer.
            why = f"the release cannot score valid customers: {type(error).__name__}"
            raise ConfigurationError(
                why, "ask /predict for some of them: the server's log has the error"
            ) from None
        return {
            "rows": rows,
            "probabilities": probabilities,
            "churn": [one >= self._predictor.threshold for one in probabilities],
            "explanations": [one.as_json() for one in explained],
            "errors": errors,
        }

    def _probabilities(self, columns: Columns) -> list[float]:
        matrix = self._predictor.features.matrix(columns)
        # To the bit what a customer alone gets.
        parts = [matrix] if self._together else np.split(matrix, len(matrix))
        probabilities = np.concatenate([self._predictor.probabilities(part) for part in parts])
        if not np.isfinite(probabilities).all():
            raise ValueError("the model gives a probability that is no number")
        said: list[float] = probabilities.tolist()
        return said


def _customers(columns: Columns, count: int) -> list[dict[str, Any]]:
    return [{name: values[row] for name, values in columns.items()} for row in range(count)]


def serve(batch: Batch, lines: BinaryIO, answers: BinaryIO) -> None:
    """Answer every line; one that cannot be answered gets an ``error``, and is the last."""
    for line in lines:
        try:
            answer = batch.answer(line)
        except ToolkitError as error:
            answer = {"error": error.message, "next_step": error.next_step}
        answers.write(to_json(answer) + b"\n")
        answers.flush()
        if "error" in answer:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer until standard input ends; 2 for an unusable bundle.

    A release that answers otherwise than the gated model did scores nobody.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.batch")
    parser.add_argument("--bundle", type=Path, required=True, help="that of the release")
    text = "how many contributions explain each prediction"
    parser.add_argument("--explain", type=int, default=0, help=text)
    options = parser.parse_args(arguments)
    try:
        predictor = predictors.load(options.bundle)
        expectation = expectations.load(options.bundle, predictor.contract)
        version = identity(options.bundle, predictor)
        app = create_app(predictor, expectation, version, Drain(), CollectorRegistry())
        prove(options.bundle, app)
    except ToolkitError as error:
        print(f"{error}\nNext: {error.next_step}.", file=sys.stderr)
        return error.exit_code
    print(json.dumps(version), flush=True)
    batch = Batch(predictor, expectation, options.explain)
    serve(batch, sys.stdin.buffer, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
