"""The bundle: the files that a server, and the checks of a release, need of one training."""

from dataclasses import asdict
from pathlib import Path

from ..data.contract import Contract
from ..data.expectation import EXPECTATION_FILE
from ..data.reference import Reference, expectation
from ..reports import files
from . import smoke_cases
from .predictor import CONTRACT_FILE, MODEL_FILE, Predictor
from .predictor import SMOKE_FILE as SMOKE_FILE  # The owner's tests read the file with it.
from .training import Trained

FILES = (MODEL_FILE, CONTRACT_FILE, SMOKE_FILE, EXPECTATION_FILE)


def write(folder: Path, trained: Trained, contract: Contract, reference: Reference) -> None:
    """Write the exported model, its contract, smoke cases and expected distributions.

    Parameters
    ----------
    folder
        Is made where it is missing; the four files of an earlier training are replaced.
    reference
        Of the same contract: what a server compares its requests with, and what the smoke cases are
        drawn from.
    """
    files.write_bytes(folder / MODEL_FILE, trained.model)
    files.write_bytes(folder / CONTRACT_FILE, contract.path.read_bytes())
    cases = smoke_cases.make(contract, reference, Predictor(contract, trained.model))
    files.write_json(folder / SMOKE_FILE, cases)
    expected = expectation(reference, contract, trained.holdout.predictions.y_prob)
    files.write_json(folder / EXPECTATION_FILE, asdict(expected))
