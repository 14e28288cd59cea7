"""The smoke cases of a release: requests that its servers must answer as the gated model did.

They are about synthetic customers, because a release goes where the table may not: into git, into
images, onto every machine that serves.
"""

from typing import Any

from ..data import synthetic
from ..data.contract import Contract
from ..data.reference import Reference
from .predictor import Predictor

CASES = 8
REPLAY_CASES = 100
TOLERANCE = 1e-5


def make(contract: Contract, reference: Reference, predictor: Predictor) -> dict[str, Any]:
    """Return a few requests, each with the answer that /predict must give.

    More requests follow without an answer, for a canary to replay.
    """
    replay = synthetic.requests(contract, reference, REPLAY_CASES)
    requests = replay[:CASES]
    answers = predictor.answer(requests)
    return {
        "tolerance": TOLERANCE,
        "cases": [
            {"request": request, "response": answer}
            for request, answer in zip(requests, answers, strict=True)
        ],
        "replay": replay,
    }
