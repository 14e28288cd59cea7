"""Computes again what a training has reported, for whoever does not believe a file.

`invoke build` runs it in an export of the commit, on copies of what is to be released. Only what
depends on the hour and the machine is believed: the time of a prediction, and when the champion
was fetched.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..data import contract as contracts
from ..data import reference as references
from ..data.contract import POINTER_FILE, Contract
from ..data.examination import TrainingData, load_training_data
from ..data.expectation import EXPECTATION_FILE
from ..data.reference import expectation
from ..data.snapshot import pointer
from ..errors import ToolkitError
from ..places import Places
from ..reports import gate_report, model_card
from . import (
    bundle,
    champion,
    evidence,
    gates,
    measurement,
    policy_file,
    predictor,
    smoke_cases,
    training,
)
from .bundle import SMOKE_FILE
from .policy import Policy
from .predictor import CONTRACT_FILE, MODEL_FILE

SCHEMA = 1
# Of the evidence, what follows from the rest of it.
FOLLOWS = ("verdict", "reasons", "warnings", "rules")
# Measured with a clock.
LATENCY = "latency_ms"
AGE = "age_days"
# Of the champion, for people: since when it serves, and why it cannot be scored.
WORDS = ("served_since", "why")
# Between two computations of a figure, by the same code from the same bytes.
TOLERANCE = 1e-6
SHOWN = 5

Document = Mapping[str, Any]


def differences(places: Places) -> Iterator[str]:
    """Yield a sentence for each thing in the reports that is not what can be computed again.

    Raises
    ------
    ToolkitError
        A file of the commit cannot be used.
    """
    try:
        document = json.loads((places.reports / "gate.json").read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        yield f"the evidence cannot be read: {error}"
        return
    if not isinstance(document, dict):
        yield "the evidence is no JSON object"
        return
    contract = contracts.load(places.contract)
    policy = policy_file.load(places.quality, contract.package)
    checks = [
        _inputs(document, places, contract),
        _verdict(document, places, policy),
        _policy_changes(document, places),
        _pages(document, places),
        _files(document, places),
        _smoke(places, contract),
    ]
    # An older repository may keep its table out of git without a pointer: then only the evidence
    # knows its digest.
    if contract.data.is_file() or contract.data.name == POINTER_FILE:
        checks.append(_figures(document, places, contract, policy))
    for check in checks:
        try:
            yield from check
        except ToolkitError as error:
            yield str(error)
        except Exception as error:  # Whatever an edited report leads to: it is no pass.
            yield f"the reports cannot be read: {error!r}"


def checksums(places: Places) -> dict[str, str]:
    """Return the SHA-256 of each file that a release serves with, by its name."""
    return {name: evidence.sha256(places.model / name) or "" for name in bundle.FILES}


def _inputs(document: Document, places: Places, contract: Contract) -> Iterator[str]:
    """Compare the digests of what the training has read with the files of the commit."""
    inputs = [
        (places.contract, document["contract_sha256"]),
        (places.quality, document["policy_sha256"]),
        (Path(evidence.LOCK), document["environment"]["lock_sha256"]),
    ]
    read = [(path, named, evidence.sha256(places.root / path)) for path, named in inputs]
    if contract.data.name == POINTER_FILE:
        read.append(
            (contract.data, document["data_sha256"], pointer.load(contract.data).content_sha256)
        )
    elif contract.data.is_file():
        read.append((contract.data, document["data_sha256"], evidence.sha256(contract.data)))
    if document.get("data_as_of") != (day := pointer.as_of(contract)):
        yield f"the evidence is of {document.get('data_as_of')}, {contract.data} of {day}"
    for path, named, found in read:
        if found is None or found != named:
            yield f"the evidence is of another {path}: it names {named}, the commit has {found}"


def _verdict(document: Document, places: Places, policy: Policy) -> Iterator[str]:
    """Decide again, from the figures of the evidence and the policy of the commit."""
    again = json.loads(json.dumps(gates.decide(document, policy).as_json()))
    yield from (f"the gate fails: {reason}" for reason in again["reasons"])
    for key in FOLLOWS:
        if document[key] != again[key]:
            yield f"the evidence's {key} are not what its figures and {places.quality} give"


def _policy_changes(document: Document, places: Places) -> Iterator[str]:
    """Compare the policies of the commit with those of the champion, again."""
    if document["policy_changes"] != champion.policy_changes(places.champion, places.root):
        yield "the evidence's policy changes are not those between the champion and this commit"


def _pages(document: Document, places: Places) -> Iterator[str]:
    """Write again what people read before they approve."""
    pages = {
        "gate.html": gate_report.to_html(document),
        "model_card.md": model_card.to_markdown(model_card.load(places.card), document),
    }
    for name, page in pages.items():
        if (places.reports / name).read_bytes() != page.encode():
            yield f"reports/{name} is not the page of this evidence"


def _files(document: Document, places: Places) -> Iterator[str]:
    """Compare the files of the model with the evidence and with the commit."""
    found = checksums(places)
    yield from (f"reports/model/{name} is missing" for name in found if not found[name])
    named = document["model_sha256"]
    if found[MODEL_FILE] != named:
        yield f"the model is {found[MODEL_FILE]}, the evidence is about {named}"
    if found[CONTRACT_FILE] != evidence.sha256(places.contract):
        yield f"reports/model/{CONTRACT_FILE} is not {places.contract}"


def _smoke(places: Places, contract: Contract) -> Iterator[str]:
    """Score the smoke cases with the model, by the code of the commit, and draw them again."""
    smoke = json.loads((places.model / SMOKE_FILE).read_bytes())
    expected = [case["response"] for case in smoke["cases"]]
    model, tolerance = predictor.load(places.model), smoke_cases.TOLERANCE
    answers = model.answer([one["request"] for one in smoke["cases"]])
    if not expected or not 0 <= smoke["tolerance"] <= tolerance:
        yield f"reports/model/{SMOKE_FILE} has no case, or a tolerance above {tolerance}"
    for path in _apart(answers, expected, tolerance, "answer"):
        yield f"the model does not predict what reports/model/{SMOKE_FILE} says: {path}"
        return
    again = smoke_cases.make(contract, references.load(contract), model)
    if apart := list(_apart(smoke, again, TOLERANCE, "")):
        yield f"reports/model/{SMOKE_FILE} is not what model and reference give: {_listed(apart)}"


def _figures(
    document: Document, places: Places, contract: Contract, policy: Policy
) -> Iterator[str]:
    """Measure the model again, on the held-out customers of the commit's table."""
    data = load_training_data(contract, policy)
    model = (places.model / MODEL_FILE).read_bytes()
    trained = training.of_model(model, data.dataset, contract, policy.training)
    again = measurement.measure(trained.holdout, contract, data.reference, policy)
    again["metrics"] |= measurement.of_the_model(trained)
    again["out_of_time"] = measurement.of_the_window(trained.out_of_time, policy)
    again["metrics"][LATENCY] = document["metrics"][LATENCY]
    if document["champion"]["release"] is not None:
        again["champion"] = _champion(places, trained, data, policy)
        again["champion"] |= {name: document["champion"][name] for name in (AGE, *WORDS)}
    if _subjects(document["data_warnings"]) != _subjects(data.warnings):
        yield "the evidence's data_warnings are not those of the table"
    expected = expectation(data.reference, contract, trained.holdout.predictions.y_prob)
    for name, said, computed in (
        ("gate.json", {key: document[key] for key in again}, again),
        (f"model/{EXPECTATION_FILE}", _json(places.model / EXPECTATION_FILE), asdict(expected)),
    ):
        apart = list(_apart(said, json.loads(json.dumps(computed)), TOLERANCE, ""))
        if apart:
            yield f"reports/{name} is not what the model and the table give: {_listed(apart)}"


def _subjects(warnings: Iterable[str]) -> list[str]:
    """Return what each sentence is about: its figures may differ in the last digit."""
    return [": ".join(sentence.split(": ")[:2]) for sentence in warnings]


def _champion(
    places: Places, trained: training.Trained, data: TrainingData, policy: Policy
) -> dict[str, Any]:
    requests = training.as_requests(trained.holdout.customers, data.contract)
    found = champion.load(places.champion, requests)
    return measurement.compare_with_champion(
        trained.holdout, found, data.contract, data.reference, policy
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _apart(said: Any, again: Any, tolerance: float, path: str) -> Iterator[str]:
    """Yield where two JSON values differ, numbers by more than a tolerance."""
    if isinstance(said, dict) and isinstance(again, dict) and said.keys() == again.keys():
        for key in said:
            yield from _apart(said[key], again[key], tolerance, f"{path}.{key}".lstrip("."))
    elif isinstance(said, list) and isinstance(again, list) and len(said) == len(again):
        for place, (one, other) in enumerate(zip(said, again, strict=True)):
            yield from _apart(one, other, tolerance, f"{path}[{place}]")
    elif isinstance(said, float) and isinstance(again, float):
        # Not `>`: a NaN agrees with nothing.
        if not math.isclose(said, again, rel_tol=tolerance, abs_tol=tolerance):
            yield f"{path} is {said:.6g}, not {again:.6g}"
    elif said != again or isinstance(said, bool) != isinstance(again, bool):
        yield f"{path} is {_short(said)}, not {_short(again)}"


def _short(value: Any) -> str:
    return json.dumps(value)[:60]


def _listed(sentences: list[str]) -> str:
    more = f" and {len(sentences) - SHOWN} others" if len(sentences) > SHOWN else ""
    return "; ".join(sentences[:SHOWN]) + more
