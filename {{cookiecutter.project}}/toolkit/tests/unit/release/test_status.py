"""The status of an environment, for people."""

from __future__ import annotations

from toolkit.release.event import Event
from toolkit.release.platforms.protocol import Instance, Observation
from toolkit.release.status import describe, story

READY = Instance("A", "sha256:1", "http://127.0.0.1:1", 1, "ready", 0)
ROLLBACK = Event(
    "rollback",
    "0123456789ab-01234567",
    "sha256:1",
    "verified",
    previous="ba9876543210-76543210",
    actor="Ada Lovelace <ada@example.com>",
    reason="customers complained",
    duration_s="2.8",
    time="2026-03-29T03:30:00+02:00",
)


def test_an_event_is_one_line_in_utc() -> None:
    assert describe(ROLLBACK) == (
        "2026-03-29 01:30:00Z  rollback  0123456789ab-01234567  verified     Ada Lovelace, "
        "from ba9876543210-76543210, in 2.8 s, because: customers complained"
    )


def test_a_change_is_shown_once_and_as_unfinished_without_an_outcome() -> None:
    begun = Event("promote", "A", "", "pending", sha="1")
    ended = Event("promote", "A", "", "verified", sha="2", caused_by="1")
    preempted = Event("promote", "B", "", "pending", sha="3")
    held = Event("rollback", "A", "", "pending", sha="4")
    outcomes = [(event.sha, event.outcome) for event in story([held, preempted, ended, begun])]
    assert outcomes == [("4", "pending"), ("3", "unfinished"), ("2", "verified")]


def test_drift_says_what_runs_instead() -> None:
    unready = Instance("A", "sha256:1", "http://127.0.0.1:2", 2, "failed", 3)
    serving = Observation("http://127.0.0.1:8", (READY, READY), "")
    assert serving.drift("A") == ""
    assert serving.drift("B") == "A runs"
    assert serving.drift("") == "servers run, though none should"
    assert Observation("", (), "").drift("A") == "nothing runs"
    assert Observation("", (), "nothing runs").drift("") == ""
    assert Observation("", (READY, unready), "").drift("A") == "http://127.0.0.1:2 not ready"
