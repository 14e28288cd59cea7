"""A small repository for the model wing's tests: contract, policy, table, and a trained model."""

from pathlib import Path

import pytest

from {{ cookiecutter.package }} import contract as contracts
from {{ cookiecutter.package }} import dataset as tables
from {{ cookiecutter.package }} import gates
from {{ cookiecutter.package }} import training
from {{ cookiecutter.package }}.contract import Contract
from {{ cookiecutter.package }}.dataset import Dataset
from {{ cookiecutter.package }}.predictor import Predictor
from {{ cookiecutter.package }}.training import Trained
from tests import customers


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return contracts.load(customers.write(tmp_path_factory.mktemp("data"), customers.make()))


@pytest.fixture(scope="session")
def policy(contract: Contract) -> gates.Policy:
    return gates.load(contract.path.with_name("quality.toml"))


@pytest.fixture(scope="session")
def dataset(contract: Contract) -> Dataset:
    return tables.from_text(tables.read_text(contract), contract)


@pytest.fixture(scope="session")
def trained(dataset: Dataset, contract: Contract, policy: gates.Policy) -> Trained:
    return training.train(dataset, contract, policy.training)


@pytest.fixture(scope="session")
def predictor(trained: Trained, contract: Contract) -> Predictor:
    return Predictor(contract, trained.model)


@pytest.fixture
def bundle(tmp_path: Path, trained: Trained, contract: Contract) -> Path:
    (tmp_path / "model.onnx").write_bytes(trained.model)
    (tmp_path / "contract.toml").write_bytes(contract.path.read_bytes())
    return tmp_path
