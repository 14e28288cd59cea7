"""A small repository for the model's tests: contract, policy, table and a trained model."""

from pathlib import Path

import pytest

from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import table
from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.model import policy_file, training
from toolkit.model.policy import Policy
from toolkit.model.predictor import Predictor
from toolkit.model.training import Trained
from toolkit.tests import bundles, customers, snapshots


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return contracts.load(customers.write(tmp_path_factory.mktemp("data"), customers.make()))


@pytest.fixture(scope="session")
def policy(contract: Contract) -> Policy:
    return policy_file.load(contract.path.with_name("quality.toml"), contract.package)


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
    bundles.write(tmp_path, contract, trained)
    return tmp_path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository whose table is elsewhere, with a reference; it is the current folder."""
    monkeypatch.setenv("SNAPSHOT_CACHE", str(tmp_path / "cache"))
    folder = snapshots.make(tmp_path / "churn")
    monkeypatch.chdir(folder)
    return folder
