"""Held-out customers are replayed, and every failure is counted."""

from __future__ import annotations

import json
import time

from toolkit.release.canary.traffic import THREADS, Replay
from toolkit.tests.listener import listening

CUSTOMERS = [{"age": 40}, {"age": 41}]


def ask(*addresses: str) -> Replay:
    """Replay for a moment."""
    replay = Replay(addresses, CUSTOMERS, per_second=100)
    with replay.running():
        time.sleep(0.3)
    return replay


def test_an_answer_is_neither_lost_nor_failed() -> None:
    with listening(body=b'{"churn_probability": 0.25}') as listener:
        replay = ask(listener.address)
    assert replay.asked == len(listener.requests) > 0
    assert (replay.failed, replay.unanswered()) == (0, {})


def test_a_server_error_is_an_answer_that_has_failed() -> None:
    with listening(status=500) as listener:
        replay = ask(listener.address)
    assert replay.failed == replay.asked > 0
    assert replay.unanswered() == {}, "its log tells of it already"


def test_both_sides_get_the_same_requests() -> None:
    with listening() as one, listening() as other:
        ask(one.address, other.address)
    assert abs(len(one.requests) - len(other.requests)) <= THREADS
    for listener in (one, other):
        asked = {json.loads(body)["age"] for _, _, body in listener.requests}
        assert asked == {one["age"] for one in CUSTOMERS}


def test_a_missing_server_leaves_requests_unanswered() -> None:
    with listening() as listener:
        address = listener.address
    replay = ask(address)
    assert replay.unanswered() == {address: replay.asked}
    assert replay.asked > 0


def test_of_two_servers_the_silent_one_is_named() -> None:
    with listening() as gone:
        silent = gone.address
    with listening() as listener:
        replay = ask(listener.address, silent)
    assert set(replay.unanswered()) == {silent}
