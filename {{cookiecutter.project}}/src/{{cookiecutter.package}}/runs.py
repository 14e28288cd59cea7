"""The runs that train: each leaves its evidence, and tells if all was well.

A run that cannot be carried out leaves a failed report too, and raises what is wrong.
"""

import math
import shutil
import time
from collections.abc import Callable
from typing import Any

from . import contract as contracts
from . import evidence, gates, reports, training
from . import policy as policies
from .contract import Contract
from .errors import ModelWingError
from .examination import sound_dataset
from .gates import Verdict
from .places import Places
from .policy import Policy
from .predictor import CONTRACT_FILE, MODEL_FILE
from .progress import say
from .training import Measured

SCHEMA = 1


def gate(places: Places) -> bool:
    """Hold a quick training against the policy; leaves quick-gate.json and quick-gate.md."""

    def measure(contract: Contract, policy: Policy) -> tuple[Measured, None]:
        dataset = sound_dataset(contract, policy.drift)
        return training.measure_quickly(dataset, contract, policy.training), None

    return _judge(places, "quick", "quick-gate", measure)


def train(places: Places) -> bool:
    """Train fully and hold the model against the policy; leaves model/, gate.json and gate.md."""
    shutil.rmtree(places.model, ignore_errors=True)

    def measure(contract: Contract, policy: Policy) -> tuple[Measured, str | None]:
        trained = training.train(sound_dataset(contract, policy.drift), contract, policy.training)
        reports.write_bytes(places.model / MODEL_FILE, trained.model)
        reports.write_bytes(places.model / CONTRACT_FILE, contract.path.read_bytes())
        reports.write_json(places.model / "smoke.json", trained.smoke)
        return trained.measured, evidence.sha256(places.model / MODEL_FILE)

    return _judge(places, "full", "gate", measure)


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
        policy = policies.load(places.quality)
        measured, document["model_sha256"] = measure(contract, policy)
        verdict = gates.decide(measured.metrics, policy)
        document |= _as_json(measured, verdict)
    except ModelWingError as error:
        document["reasons"] = str(error).splitlines()
        raise
    finally:
        document["seconds"] = round(time.monotonic() - started, 3)
        reports.leave(places.reports, name, document, reports.gate_page(document))
    say("\n".join((*verdict.reasons, f"gate: {document['verdict']}")))
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
