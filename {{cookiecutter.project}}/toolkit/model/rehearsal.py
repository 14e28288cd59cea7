"""Rehearses the checks of a repository on what an adoption is about to write."""

from collections.abc import Iterator
from dataclasses import replace

from ..data.examination import TrainingData
from ..data.progress import step
from . import consistency, gates, measurement
from .champion import NONE_YET, Champion
from .first_training import FirstTraining
from .other_process import OtherProcess
from .policy import Policy
from .purity import Given
from .training import Evaluation

# Each column has several slices, and each slice takes a hundredth of a second.
MAX_COLUMNS_IN_SLICES = 100
NEVER = 10**9


def failures(
    data: TrainingData,
    policy: Policy,
    trained: FirstTraining,
    other: OtherProcess,
    given: Given,
) -> Iterator[str]:
    """Yield why ``nox -s features``, ``gate`` or ``train`` would fail, a sentence each.

    Parameters
    ----------
    data
        That has passed the data check.
    policy
        With the thresholds and the estimator of the adoption.
    trained
        Under this policy.
    other, given
        The process that tests the purity of the owner's code, and what it was given.

    Notes
    -----
    Of a contract with more than `MAX_COLUMNS_IN_SLICES` features the slices are not rehearsed.
    """
    if len(data.contract.features) > MAX_COLUMNS_IN_SLICES:
        policy = replace(policy, slices=replace(policy.slices, min_rows=NEVER))
    with step("rehearsing the features"):
        compared = consistency.compare(data, policy.training, other, given)
    yield from (f"features: {one}" for one in compared.differences)
    with step("rehearsing the gate"):
        yield from (f"gate: {one}" for one in _reasons("quick", trained.quick, {}, data, policy))
    with step("rehearsing the training's gate"):
        figures = measurement.of_the_model(trained.trained)
        found = _reasons("full", trained.trained.holdout, figures, data, policy)
        yield from (f"train: {one}" for one in found)


def _reasons(
    training: str,
    evaluation: Evaluation,
    figures: measurement.Document,
    data: TrainingData,
    policy: Policy,
) -> list[str]:
    measured = measurement.decided_by(evaluation, data.contract, data.reference, policy)
    measured["metrics"] |= figures
    nothing = Champion(NONE_YET, "nothing was released yet")
    document = measured | {
        "schema": gates.EVIDENCE_SCHEMA,
        "training": training,
        "policy_sha256": policy.sha256,
        "data_warnings": [],
        "champion": measurement.compare_with_champion(
            evaluation, nothing, data.contract, data.reference, policy
        ),
    }
    return list(gates.decide(document, policy).reasons)
