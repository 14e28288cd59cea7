"""The estimators: each can be exported, and gives the same bytes twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import table
from toolkit.model import policy_file, training
from toolkit.model.export import export
from toolkit.model.features import Features

from {{ cookiecutter.package }}.estimators import ESTIMATORS

ROOT = Path(__file__).parents[1]
ROWS_PER_LABEL = 150
THRESHOLD = 0.5


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_is_exported_to_the_same_bytes_twice(name: str) -> None:
    contract = contracts.load(ROOT / "data" / "contract.toml")
    policy = policy_file.load(ROOT / "quality.toml", contract.package).training
    customers = datasets.from_table(table.read(contract), contract)
    # Of each label, also where the table is sorted by it, or churn is rare.
    firsts = [np.flatnonzero(customers.labels == label)[:ROWS_PER_LABEL] for label in (0, 1)]
    few = customers.select(np.concatenate(firsts))
    matrix = Features(contract).matrix(few.columns)
    first, second = (
        # Exporting fails where the ONNX model does not answer as the pipeline does.
        export(
            training.fit(matrix, few.labels, replace(policy, estimator=name)),
            *(contract, THRESHOLD, matrix),
        )
        for _ in range(2)
    )
    assert first == second
