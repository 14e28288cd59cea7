"""Writes what a server needs of a release: model, contract and expectation."""

from dataclasses import asdict
from pathlib import Path

from toolkit.data import dataset as datasets
from toolkit.data import reference, table
from toolkit.data.contract import Contract
from toolkit.model import smoke_cases
from toolkit.model.predictor import Predictor
from toolkit.model.training import Trained
from toolkit.reports import files as reports


def write(folder: Path, contract: Contract, trained: Trained) -> None:
    """Write a bundle's files, as a training does."""
    rows = table.read(contract)
    made = reference.make(rows, datasets.from_table(rows, contract), contract)
    expected = reference.expectation(made, contract, trained.holdout.predictions.y_prob)
    reports.write_bytes(folder / "model.onnx", trained.model)
    reports.write_bytes(folder / "contract.toml", contract.path.read_bytes())
    reports.write_json(folder / "expectation.json", asdict(expected))
    cases = smoke_cases.make(contract, made, Predictor(contract, trained.model))
    reports.write_json(folder / "smoke.json", cases)
