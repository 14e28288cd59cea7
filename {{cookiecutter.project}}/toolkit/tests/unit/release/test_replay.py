"""Held-out customers are replayed, and every failure is counted."""

from __future__ import annotations

import time

from toolkit.release.canary.traffic import Replay
from toolkit.tests.listener import listening

CUSTOMER = {"age": 40}


def ask(address: str) -> Replay:
    """Replay for a moment."""
    replay = Replay(address, [CUSTOMER], per_second=100)
    with replay.running():
        time.sleep(0.3)
    return replay


def test_an_answer_is_neither_lost_nor_failed() -> None:
    with listening(body=b'{"churn_probability": 0.25}') as listener:
        replay = ask(listener.address)
    assert replay.asked == len(listener.requests) > 0
    assert (replay.failed, replay.unanswered()) == (0, 0)


def test_a_server_error_is_an_answer_that_has_failed() -> None:
    with listening(status=500) as listener:
        replay = ask(listener.address)
    assert replay.failed == replay.asked > 0
    assert replay.unanswered() == 0, "its log tells of it already"


def test_a_missing_server_leaves_requests_unanswered() -> None:
    with listening() as listener:
        address = listener.address
    replay = ask(address)
    assert replay.unanswered() == replay.asked > 0
