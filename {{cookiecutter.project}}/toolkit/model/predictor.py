"""The exported model in use: by the server, the export's comparison, and the smoke cases."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from ..data import contract as contracts
from ..data.contract import Contract
from ..errors import ConfigurationError
from .features import Features, Matrix

MODEL_FILE = "model.onnx"
CONTRACT_FILE = "contract.toml"
SMOKE_FILE = "smoke.json"

# Names inside the ONNX file.
INPUT = "features"
OUTPUT = "probabilities"
FEATURE_NAMES = "feature_names"
THRESHOLD = "decision_threshold"
CONTRACT_SHA256 = "contract_sha256"


class Predictor:
    """A model and the contract that it was trained under.

    Parameters
    ----------
    contract
        Whose input features the model has.
    model
        The ONNX file.

    Attributes
    ----------
    sha256
        Of the model's bytes: the model's identity.
    threshold
        The decision threshold: a customer at or above it is predicted to churn.
    features
        What makes its matrix of customers.

    Raises
    ------
    ConfigurationError
        The bytes are no ONNX model, or one of another contract.
    """

    def __init__(self, contract: Contract, model: bytes) -> None:
        self.contract = contract
        self.sha256 = hashlib.sha256(model).hexdigest()
        self.features = Features(contract)
        self._names = tuple(column.name for column in contract.features)
        self._session = _session(model)
        properties = self._session.get_modelmeta().custom_metadata_map
        _require(properties, CONTRACT_SHA256, contract.sha256)
        _require(properties, FEATURE_NAMES, json.dumps(self.features.names))
        self.threshold = float(properties[THRESHOLD])

    def probabilities(self, matrix: Matrix) -> npt.NDArray[np.float32]:
        """Return the churn probabilities, [n], of features [n, k]."""
        answer: npt.NDArray[np.float32] = self._session.run([OUTPUT], {INPUT: matrix})[0]
        return answer[:, 1]

    def matrix(self, customers: Sequence[Mapping[str, Any]]) -> Matrix:
        """Return the features, [n, k], of n customers with a value or None in every column."""
        columns = {name: [customer[name] for customer in customers] for name in self._names}
        return self.features.matrix(columns)

    def answer(self, customers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers for n customers with a value or None in every column."""
        return [
            {"churn_probability": probability, "churn": probability >= self.threshold}
            for probability in self.probabilities(self.matrix(customers)).tolist()
        ]


def load(folder: Path) -> Predictor:
    """Load the model and the contract from a folder.

    Raises
    ------
    ConfigurationError
        A file is missing or cannot be used, or the model is of another contract.
    """
    path = folder / MODEL_FILE
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", "choose another bundle") from None
    return Predictor(contracts.load(folder / CONTRACT_FILE), model)


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One prediction takes microseconds: threads and an arena would only cost memory.
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # The runtime's own errors have no base class but this one.
        reason = str(error).strip().splitlines()[0]
        raise ConfigurationError(
            f"the model cannot be loaded: {reason}", "train it again, or restore its file"
        ) from None


def _require(properties: Mapping[str, str], key: str, expected: str) -> None:
    if properties.get(key) != expected:
        raise ConfigurationError(
            f"the model does not belong to the contract: its {key} is {properties.get(key)}, "
            f"the contract gives {expected}",
            "train the model again under this contract",
        )
