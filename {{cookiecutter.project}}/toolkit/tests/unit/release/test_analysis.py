"""A canary is compared with its control alone, and only when both are steady.

The cluster is a script: servers with customers of their own, whose connections are kept, and two
young ones that get new connections. A server that has less to do answers more slowly.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from toolkit.release.analysis import Analysis, analyse
from toolkit.release.canary.traffic import Replay
from toolkit.release.canary.verdict import Side
from toolkit.release.errors import NotServing
from toolkit.release.platforms.protocol import (
    CANARY,
    CONTROL,
    STABLE,
    Instance,
    Observation,
    Platform,
)
from toolkit.release.policy import WARM_UP, CanaryPolicy
from toolkit.release.progress import Progress
from toolkit.release.records import Record

POLICY = CanaryPolicy(windows=8, looks=2, window_s=0)
RECORD = cast(Record, type("Record", (), {"version": "new"}))
CASES = json.dumps({"replay": [{"age": 40}]}).encode()
# Requests in a window of a server that customers have kept, and of a young one.
BUSY, IDLE = 400, 60
# So much slower answers a server that has little to do.
COLD_CACHES = 1.3


class SilentReplay(Replay):
    """Replays nothing: the script says what each server has answered."""

    @contextmanager
    def running(self) -> Iterator[None]:
        yield


@dataclass
class ScriptedCluster:
    """The canary, its control, and two servers that have served for long.

    Parameters
    ----------
    slower : float
        How many times as long the canary takes.
    young : sequence of float
        How many times as long the two young servers take in their first windows.
    has_control : bool
        Whether the platform says which server is the control.
    fails_young : bool
        Whether the canary answers its first windows with errors.
    """

    slower: float = 1.0
    young: Sequence[float] = ()
    has_control: bool = True
    fails_young: bool = False
    instances: list[Instance] = field(init=False)
    reads: dict[str, int] = field(init=False, default_factory=dict)
    rng: random.Random = field(init=False, default_factory=lambda: random.Random(19))

    def __post_init__(self) -> None:
        tracks = {"a": STABLE, "b": STABLE, "control": CONTROL, "canary": CANARY}
        self.instances = [
            Instance(
                *("new" if name == "canary" else "old", "", name, 1, "ready", 0),
                track if self.has_control else STABLE,
            )
            for name, track in tracks.items()
        ]

    def observe(self) -> Observation:
        return Observation("http://127.0.0.1:1", tuple(self.instances), "")

    def answered(self, address: str, mark: str) -> tuple[Side, str]:
        if not mark:
            return Side((), 0), "0"
        number = int(mark)
        is_young = address in ("control", "canary")
        count = IDLE if is_young else BUSY
        times = COLD_CACHES if is_young else 1.0
        if is_young and number < len(self.young):
            times *= self.young[number]
        if address == "canary":
            times *= self.slower
        latencies = tuple(times * self.rng.lognormvariate(0, 0.15) for _ in range(count))
        fails = self.fails_young and address == "canary" and number < 2
        return Side(latencies, count if fails else 0), str(number + 1)

    def replay(self, requests: Sequence[Any], per_second: int) -> Replay:
        return SilentReplay([], requests, per_second)


def result(cluster: ScriptedCluster) -> Analysis:
    """Analyse a canary in a cluster."""
    platform = cast(Platform, cluster)
    return analyse(platform, RECORD, "old", CASES, POLICY, Progress(), lambda: None)


def test_38_customers_who_keep_their_connections_to_other_servers_raise_no_false_alarm() -> None:
    found = result(ScriptedCluster())
    assert found.judgement.verdict == "pass"
    assert sum(window.baseline.requests for window in found.windows) == 8 * IDLE


def test_38_a_slower_release_is_found_beside_busy_servers_that_are_faster_anyhow() -> None:
    found = result(ScriptedCluster(slower=1.3))
    assert found.judgement.verdict == "fail" and found.is_slower
    assert 1.2 < found.judgement.figures["ratio"] < 1.4


def test_windows_do_not_count_until_both_sides_are_steady() -> None:
    assert result(ScriptedCluster()).warm_up == 2
    # The first window only counts requests; in the third the servers have become faster still.
    found = result(ScriptedCluster(young=(9, 2, 1)))
    assert found.warm_up == 3
    assert max(max(window.canary.latencies_ms) for window in found.windows) < 2 * COLD_CACHES


def test_the_wait_for_steady_servers_ends() -> None:
    ever_faster = [2.0**-number for number in range(100)]
    assert result(ScriptedCluster(young=ever_faster)).warm_up == WARM_UP


def test_errors_count_before_the_servers_are_steady() -> None:
    found = result(ScriptedCluster(fails_young=True))
    assert found.judgement.verdict == "fail" and not found.is_slower
    assert "requests of the canary failed" in found.judgement.reasons[0]
    assert len(found.windows) == 1, "it ended at once"


def test_compared_with_busy_servers_an_equal_release_would_fail() -> None:
    found = result(ScriptedCluster(has_control=False))
    assert found.windows[0].baseline.requests == 2 * BUSY + IDLE
    assert found.judgement.verdict == "fail"


@pytest.mark.parametrize(("name", "number"), [("control", 2), ("canary", 3)])
def test_a_side_that_crashes_ends_the_canary(
    monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    cluster = ScriptedCluster()
    answered = cluster.answered

    def crash(address: str, mark: str) -> tuple[Side, str]:
        cluster.instances[number] = replace(cluster.instances[number], restarts=1)
        return answered(address, mark) if mark else (Side((), 0), "0")

    monkeypatch.setattr(cluster, "answered", crash)
    with pytest.raises(NotServing, match=f"the {name}'s server {name} was lost, or restarted"):
        analyse(
            *(cast(Platform, cluster), RECORD, "old", CASES),
            *(replace(POLICY, window_s=1), Progress(), lambda: None),
        )
