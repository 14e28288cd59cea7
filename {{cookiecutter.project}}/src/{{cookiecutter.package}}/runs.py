"""The three runs of the quality door: each leaves its reports, and tells if all was well.

A run that cannot be carried out leaves a failed report too, and raises what is wrong.
"""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import contract as contracts
from . import dataset as tables
from . import evidence, gates, reports, training
from .contract import Contract
from .dataset import Dataset
from .errors import DataError, ModelWingError
from .gates import Policy, Verdict
from .predictor import CONTRACT_FILE, MODEL_FILE
from .training import Measured
from .validation import validate

SCHEMA = 1


@dataclass(frozen=True)
class Places:
    """Where a run reads and writes.

    Attributes
    ----------
    root
        The repository.
    contract, quality
        The data contract and the policy.
    reports
        The folder that reports go to.
    """

    root: Path
    contract: Path
    quality: Path
    reports: Path

    @property
    def model(self) -> Path:
        """The folder that a full training leaves its model in."""
        return self.reports / "model"


def check_data(places: Places) -> bool:
    """Hold the table against its contract; leaves data.json and data.md."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "verdict": "failed",
        "reasons": [],
        "contract": str(places.contract),
        "contract_sha256": evidence.sha256(places.contract),
        "created": evidence.now(),
        "findings": [],
    }
    try:
        contract = contracts.load(places.contract)
        document |= {"file": str(contract.data), "data_sha256": evidence.sha256(contract.data)}
        text = tables.read_text(contract)
        findings = validate(text, contract)
        document["rows"] = len(text)
        document["findings"] = [asdict(finding) for finding in findings]
        document["reasons"] = [f"{contract.data}: {finding}" for finding in findings]
        document["verdict"] = "failed" if findings else "passed"
    except ModelWingError as error:
        document["reasons"] = [str(error)]
        raise
    finally:
        _leave(places, "data", document, reports.data_page(document))
    training.say("\n".join(document["reasons"]) or f"{contract.data}: {len(text)} rows are sound")
    return not findings


def gate(places: Places) -> bool:
    """Hold a quick training against the policy; leaves quick-gate.json and quick-gate.md."""

    def measure(contract: Contract, policy: Policy) -> tuple[Measured, None]:
        dataset = _sound_dataset(contract)
        return training.measure_quickly(dataset, contract, policy.training), None

    return _judge(places, "quick", "quick-gate", measure)


def train(places: Places) -> bool:
    """Train fully and hold the model against the policy; leaves model/, gate.json and gate.md."""
    shutil.rmtree(places.model, ignore_errors=True)

    def measure(contract: Contract, policy: Policy) -> tuple[Measured, str | None]:
        trained = training.train(_sound_dataset(contract), contract, policy.training)
        reports.write_bytes(places.model / MODEL_FILE, trained.model)
        reports.write_bytes(places.model / CONTRACT_FILE, contract.path.read_bytes())
        reports.write_json(places.model / "smoke.json", trained.smoke)
        return trained.measured, evidence.sha256(places.model / MODEL_FILE)

    return _judge(places, "full", "gate", measure)


def _sound_dataset(contract: Contract) -> Dataset:
    text = tables.read_text(contract)
    findings = validate(text, contract)
    if findings:
        raise DataError(
            "\n".join(f"{contract.data}: {finding}" for finding in findings),
            f"mend the data, or {contract.path} if it is the contract that is wrong",
        )
    return tables.from_text(text, contract)


def _judge(
    places: Places,
    kind: str,
    name: str,
    measure: Callable[[Contract, Policy], tuple[Measured, str | None]],
) -> bool:
    """Measure, decide, and leave the evidence: also of a run that could not be carried out."""
    started = time.monotonic()
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "training": kind,
        "verdict": "failed",
        "reasons": ["the run was interrupted"],
        "commit": evidence.commit(places.root),
        "tree_clean": evidence.tree_is_clean(places.root),
        "data_sha256": None,
        "contract_sha256": evidence.sha256(places.contract),
        "model_sha256": None,
        "created": evidence.now(),
        "seconds": 0.0,
        "environment": evidence.environment(places.root),
        "rows": {},
        "metrics": {},
        "rules": [],
    }
    try:
        contract = contracts.load(places.contract)
        document["data_sha256"] = evidence.sha256(contract.data)
        policy = gates.load(places.quality)
        measured, document["model_sha256"] = measure(contract, policy)
        verdict = gates.decide(measured.metrics, policy)
        document |= _as_json(measured, verdict)
    except ModelWingError as error:
        document["reasons"] = str(error).splitlines()
        raise
    finally:
        document["seconds"] = round(time.monotonic() - started, 3)
        _leave(places, name, document, reports.gate_page(document))
    training.say("\n".join((*verdict.reasons, f"gate: {document['verdict']}")))
    return verdict.passed


def _as_json(measured: Measured, verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": "passed" if verdict.passed else "failed",
        "reasons": list(verdict.reasons),
        "rows": measured.rows,
        # JSON has no NaN: it is written as null, and the reasons name it.
        "metrics": {
            metric: value if math.isfinite(value) else None
            for metric, value in measured.metrics.items()
        },
        "rules": [
            {
                "metric": outcome.rule.metric,
                "bound": outcome.rule.bound,
                "threshold": outcome.rule.threshold,
                "value": outcome.value,
                "passed": outcome.passed,
                "reason": outcome.rule.reason,
            }
            for outcome in verdict.outcomes
        ],
    }


def _leave(places: Places, name: str, document: dict[str, Any], page: str) -> None:
    reports.write_bytes(places.reports / f"{name}.md", page.encode())
    reports.write_json(places.reports / f"{name}.json", document)
