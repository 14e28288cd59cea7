"""Every estimator that quality.toml may name trains, exports, and gives the same bytes twice."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.model import training
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.tests.example.estimators import ESTIMATORS

ROOT = Path(__file__).parents[4]

TRAIN = """
import dataclasses, hashlib, sys
from pathlib import Path
from toolkit.data import contract, dataset, table
from toolkit.model import policy_file, training
from toolkit.tests.example import estimators
here = contract.load(Path(sys.argv[1]))
policy = policy_file.load(Path(sys.argv[1]).with_name("quality.toml"), here.package).training
customers = dataset.from_table(table.read(here), here)
for name in estimators.ESTIMATORS:
    trained = training.train(customers, here, dataclasses.replace(policy, estimator=name))
    print(name, hashlib.sha256(trained.model).hexdigest())
"""


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_estimator_is_trained_and_exported(
    dataset: Dataset, contract: Contract, policy: Policy, estimator: str
) -> None:
    chosen = replace(policy.training, estimator=estimator)
    trained = training.train(dataset, contract, chosen)
    assert trained.holdout.predictions.metrics()["roc_auc"] > 0.75
    assert Predictor(contract, trained.model).threshold > 0


def test_another_process_gives_the_same_bytes(
    contract: Contract, dataset: Dataset, policy: Policy
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(contract.path)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    there = dict(line.split() for line in done.stdout.splitlines())
    for estimator in ESTIMATORS:
        here = training.train(dataset, contract, replace(policy.training, estimator=estimator))
        assert hashlib.sha256(here.model).hexdigest() == there[estimator]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_nulls_in_a_column_that_had_none_in_training_have_a_prediction(
    dataset: Dataset, contract: Contract, policy: Policy, estimator: str
) -> None:
    complete = dataset.select(~np.isnan(dataset.columns["age"]))
    trained = training.train(complete, contract, replace(policy.training, estimator=estimator))
    customer = {"age": None, "tenure_months": 3, "monthly_spend": 20.0, "plan type": None}
    [answer] = Predictor(contract, trained.model).answer([customer])
    assert 0 < answer["churn_probability"] < 1
