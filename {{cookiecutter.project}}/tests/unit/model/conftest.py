"""A small repository for the model wing's tests: contract, policy, table, and a trained model."""

from pathlib import Path

import pytest

from {{ cookiecutter.package }} import contract as contracts
from {{ cookiecutter.package }} import dataset as datasets
from {{ cookiecutter.package }} import policy_file
from {{ cookiecutter.package }} import table
from {{ cookiecutter.package }} import training
from {{ cookiecutter.package }}.contract import Contract
from {{ cookiecutter.package }}.dataset import Dataset
from {{ cookiecutter.package }}.policy import Policy
from {{ cookiecutter.package }}.predictor import Predictor
from {{ cookiecutter.package }}.training import Trained
from tests import bundles
from tests import customers


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return contracts.load(customers.write(tmp_path_factory.mktemp("data"), customers.make()))


@pytest.fixture(scope="session")
def policy(contract: Contract) -> Policy:
    return policy_file.load(contract.path.with_name("quality.toml"))


@pytest.fixture(scope="session")
def dataset(contract: Contract) -> Dataset:
    return datasets.from_table(table.read(contract), contract)


@pytest.fixture(scope="session")
def trained(dataset: Dataset, contract: Contract, policy: Policy) -> Trained:
    return training.train(dataset, contract, policy.training)


@pytest.fixture(scope="session")
def predictor(trained: Trained, contract: Contract) -> Predictor:
    return Predictor(contract, trained.model)


@pytest.fixture
def bundle(tmp_path: Path, trained: Trained, contract: Contract) -> Path:
    bundles.lay_out(tmp_path, contract, trained)
    return tmp_path
