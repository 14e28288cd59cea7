"""The runs that train: each writes its evidence, and returns whether it passed.

A run that cannot be carried out writes a failed report too, and raises the error.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data import contract as contracts
from ..data.contract import Contract
from ..data.examination import TrainingData, load_training_data
from ..data.progress import say, step
from ..data.snapshot import pointer, ripeness
from ..errors import ToolkitError
from ..places import Places
from ..reports import files as reports
from ..reports import gate_report, model_card
from . import (
    bundle,
    champion,
    decay,
    evidence,
    gates,
    measurement,
    policy_file,
    training,
    verification,
)
from . import nightly as nights
from .decay import Decay
from .evaluation import best_threshold
from .policy import Policy
from .predictor import MODEL_FILE
from .training import Evaluation, Trained

Document = dict[str, Any]
Measure = Callable[[TrainingData, Policy], Document]


def gate(places: Places) -> bool:
    """Check a quick training against the policy; writes quick-gate.json, .md and .html."""

    def measure(data: TrainingData, policy: Policy) -> Document:
        evaluation = training.cross_validate(data.dataset, data.contract, policy.training)
        measured = _measure(evaluation, data, policy)
        challenger, predictions = evaluation, evaluation.predictions
        threshold = best_threshold(predictions.y_true, predictions.y_prob)
        newest = training.try_out_of_time(data.dataset, data.contract, policy.training, threshold)
        measured["out_of_time"] = measurement.of_the_window(newest, policy)
        if places.champion.is_dir():
            challenger = training.train_challenger(
                data.dataset, data.contract, policy.training, threshold
            )
        return measured | {"champion": _compare(places.champion, challenger, data, policy)}

    return _passed(_check(places, "quick", "quick-gate", measure))


def train(places: Places) -> bool:
    """Train fully and check the model against the policy; writes model/, gate.* and the card."""

    def measure(data: TrainingData, policy: Policy) -> Document:
        return _measure_fully(places, _train(places, data, policy), data, policy)

    return _passed(_check_fully(places, measure))


def nightly(places: Places) -> bool:
    """Train fully, and decide whether the model is better than the champion of some days ago.

    Nothing is trained where the release that serves was trained on this very table, by this very
    code. Judges also whether that release still ranks customers as it did, where labels become
    known. Writes proposal.md only if the model is better. Fails only if the two could not be
    compared, or the release not be judged.
    """
    for name in ("nightly", "proposal"):
        reports.remove(places.reports, name)  # Of another night.
    contract = contracts.load(places.contract)
    policy = policy_file.load(places.quality, contract.package)
    trained: Document = {"model_sha256": None, "earlier_champion": None}
    judged = None
    if released := _trained_before(places, contract):
        decision, document = nights.nothing_new(*released), released[1]
    else:
        document, earlier, judged = _train_tonight(places, policy.nightly.days_ago)
        decision = nights.decide(document, earlier, policy.nightly)
        trained = {"model_sha256": document["model_sha256"], "earlier_champion": earlier}
    report = {
        "schema": nights.SCHEMA,
        **decision.as_json(),
        **trained,
        "decay": judged.as_json() if judged else None,
    }
    page = nights.to_markdown(decision, document, judged)
    reports.write_report(places.reports, "nightly", report, page)
    if decision.decision == nights.PROPOSE:
        reports.write_bytes(places.reports / "proposal.md", page.encode())
    say(f"nightly: {decision.sentence}")
    if judged:
        say(f"decay: {judged.state}: {judged.sentence}")
    is_judged = judged is None or judged.state != decay.UNKNOWN
    return decision.decision != nights.UNKNOWN and is_judged


def _trained_before(places: Places, contract: Contract) -> tuple[str, Document] | None:
    """Return the release that serves, with its evidence, if training would only repeat it."""
    found = champion.evidence_of(places.champion)
    if found is None:
        return None
    said = found[1]
    is_same_table = said.get("data_sha256") == pointer.content_of(contract)
    is_same = is_same_table and evidence.is_recipe_of(places.root, str(said.get("commit")))
    return found if is_same else None


def _train_tonight(places: Places, days_ago: int) -> tuple[Document, Document, Decay | None]:
    """Return the evidence, the comparison with the earlier champion, and how the present one is."""
    earlier: Document = {}
    watched: list[Decay] = []

    def measure(data: TrainingData, policy: Policy) -> Document:
        trained = _train(places, data, policy)
        folder = places.earlier_champion(days_ago)
        earlier.update(_compare(folder, trained.holdout, data, policy))
        labels = ripeness.labels_of(data.contract)
        found = decay.watch(places.champion, data.dataset, data.contract, labels, policy)
        watched.extend([found] if found else [])
        return _measure_fully(places, trained, data, policy)

    document = _check_fully(places, measure)
    return document, earlier, next(iter(watched), None)


def verify(places: Places) -> bool:
    """Compute again what the reports of a full training say; writes verified.json."""
    reports.remove(places.reports, "verified")
    found = list(verification.differences(places))
    answer = {
        "schema": verification.SCHEMA,
        "verdict": "failed" if found else "passed",
        "reasons": found,
        "files": verification.checksums(places),
    }
    reports.write_json(places.reports / "verified.json", answer)
    for sentence in found:
        say(sentence)
    say(f"verify: {answer['verdict']}")
    return not found


def _train(places: Places, data: TrainingData, policy: Policy) -> Trained:
    model_card.load(places.card)  # Better refused before the training than after it.
    trained = training.train(data.dataset, data.contract, policy.training)
    bundle.write(places.model, trained, data.contract, data.reference)
    return trained


def _measure_fully(
    places: Places, trained: Trained, data: TrainingData, policy: Policy
) -> Document:
    measured = _measure(trained.holdout, data, policy)
    measured["metrics"] |= measurement.of_the_model(trained)
    measured["out_of_time"] = measurement.of_the_window(trained.out_of_time, policy)
    return measured | {
        "model_sha256": evidence.sha256(places.model / MODEL_FILE),
        "champion": _compare(places.champion, trained.holdout, data, policy),
    }


def _measure(evaluation: Evaluation, data: TrainingData, policy: Policy) -> Document:
    with step(f"evaluating on {len(evaluation.customers)} customers"):
        return measurement.measure(evaluation, data.contract, data.reference, policy)


def _compare(folder: Path, evaluation: Evaluation, data: TrainingData, policy: Policy) -> Document:
    with step("comparing with the champion on the same customers"):
        requests = training.as_requests(evaluation.customers, data.contract)
        return measurement.compare_with_champion(
            evaluation, champion.load(folder, requests), data.contract, data.reference, policy
        )


def _check_fully(places: Places, measure: Measure) -> Document:
    """Check a full training, whose model must not be taken for that of an earlier one."""
    shutil.rmtree(places.model, ignore_errors=True)
    reports.remove(places.reports, model_card.NAME)
    document = _check(places, "full", "gate", measure)
    model_card.write(places, document)
    return document


def _check(places: Places, kind: str, name: str, measure: Measure) -> Document:
    """Measure, decide, and write the evidence, also of a run that could not be carried out."""
    started = time.monotonic()
    document: Document = {
        "schema": gates.EVIDENCE_SCHEMA,
        "training": kind,
        "verdict": "failed",
        "reasons": ["the run was interrupted"],
        "warnings": [],
        "commit": evidence.commit(places.root),
        "tree_clean": evidence.tree_is_clean(places.root),
        "data_sha256": None,
        "data_as_of": None,
        "contract_sha256": evidence.sha256(places.contract),
        "policy_sha256": evidence.sha256(places.quality),
        "model_sha256": None,
        "created": evidence.now(),
        "seconds": 0.0,
        "environment": evidence.environment(places.root),
        "data_warnings": [],
        "rows": {},
        "evaluate": None,
        "metrics": {},
        "out_of_time": None,
        "slices": [],
        "fairness": [],
        "permutation_importance": None,
        "curves": {},
        "champion": None,
        "policy_changes": [],
        "rules": [],
    }
    try:
        document["policy_changes"] = champion.policy_changes(places.champion, places.root)
        contract = contracts.load(places.contract)
        policy = policy_file.load(places.quality, contract.package)
        data = load_training_data(contract, policy)
        document["data_sha256"], document["data_as_of"] = data.sha256, pointer.as_of(contract)
        document["data_warnings"] = list(data.warnings)
        document |= measure(data, policy)
        verdict = gates.decide(document, policy)
        document |= verdict.as_json()
    except ToolkitError as error:
        document["reasons"] = str(error).splitlines()
        raise
    finally:
        document["seconds"] = round(time.monotonic() - started, 3)
        reports.write_report(places.reports, name, document, gate_report.to_markdown(document))
        page = gate_report.to_html(document)
        reports.write_bytes(places.reports / f"{name}.html", page.encode())
    for sentence in (*verdict.reasons, *verdict.warnings, *gate_report.laxer_sentences(document)):
        say(sentence)
    say(f"gate: {document['verdict']}, see {places.reports / name}.html")
    return document


def _passed(document: Document) -> bool:
    return bool(document["verdict"] == "passed")
