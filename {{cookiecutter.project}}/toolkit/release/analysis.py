"""The analysis of a canary: a release serves a share of the requests, beside the one before it.

Both sides are measured window by window until `canary.verdict` says pass, fail or inconclusive.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

from .canary.answers import warning
from .canary.traffic import TIMEOUT_S, Replay
from .canary.verdict import FAIL, INCONCLUSIVE, PASS, Judgement, Side, Window, guardrail, judge
from .errors import NotServing, ReleaseFailed, Undecided
from .platforms.protocol import CONTROL, Instance, Platform
from .policy import WARM_UP, CanaryPolicy
from .progress import Progress
from .records import Record

SCHEMA = 1
# From this many requests on an analysis rules out a regression of 25 % and not only of 50 %.
ENOUGH_REQUESTS = 500
# A server is steady when its median is no more than this share below that of the window before, and
# so many requests say so.
STEADY, FEWEST_TO_TELL = 0.1, 20
QUANTILES = 100
# With docker each look at a server is a process beside it, in its own share of the machine.
LOOK_EVERY_S = 2.0


@dataclass(frozen=True)
class Analysis:
    """The result of a canary.

    Parameters
    ----------
    judgement : Judgement
    windows : tuple of Window
    synthetic : bool
        Whether held-out customers were sent, because too few real requests came.
    warm_up : int
        The windows before them, which do not count.
    policy : CanaryPolicy
    warning : str
        How the answers differ from those of the release before, or empty.
    first : Analysis or None
        That of the first servers, if these are others.
    """

    judgement: Judgement
    windows: tuple[Window, ...]
    synthetic: bool
    warm_up: int
    policy: CanaryPolicy
    warning: str = ""
    first: Analysis | None = None

    def __str__(self) -> str:
        text = f"{self.judgement.verdict}: {'; '.join(self.judgement.reasons)}"
        text += " (replayed requests)" if self.synthetic else ""
        text += f"; warning: {self.warning}" if self.warning else ""
        return f"{text}; on other servers before: {self.first}" if self.first else text

    @property
    def is_slower(self) -> bool:
        """Whether it failed for its latencies alone, which other servers may contradict."""
        return self.judgement.verdict == FAIL and self.judgement.is_of_tails

    def to_json(self) -> bytes:
        """Write everything that a later reader needs: counts, thresholds, margins, quantiles."""
        return (json.dumps(self._document(), indent=2, sort_keys=True) + "\n").encode()

    def _document(self) -> dict[str, Any]:
        sides = {
            "baseline": _all_of(self.windows, "baseline"),
            "canary": _all_of(self.windows, "canary"),
        }
        return {
            "schema": SCHEMA,
            "verdict": self.judgement.verdict,
            "reasons": self.judgement.reasons,
            "synthetic": self.synthetic,
            "warm_up": self.warm_up,
            "warning": self.warning,
            "policy": asdict(self.policy),
            "figures": self.judgement.figures,
            "windows": [
                {
                    name: {"requests": side.requests, "errors": side.errors}
                    for name, side in (("baseline", window.baseline), ("canary", window.canary))
                }
                for window in self.windows
            ],
            "quantiles_ms": {name: quantiles(side.latencies_ms) for name, side in sides.items()},
            "first": self.first._document() if self.first else None,
        }


def quantiles(latencies_ms: tuple[float, ...]) -> list[float]:
    """Return the minimum, every percentile and the maximum, in milliseconds; 101 of them."""
    ordered = sorted(latencies_ms)
    if not ordered:
        return []
    last = len(ordered) - 1
    return [round(ordered[round(last * part / QUANTILES)], 3) for part in range(QUANTILES + 1)]


def _all_of(windows: tuple[Window, ...], name: str) -> Side:
    sides = [getattr(window, name) for window in windows]
    latencies = tuple(latency for side in sides for latency in side.latencies_ms)
    return Side(latencies, sum(side.errors for side in sides))


def analyse(
    platform: Platform,
    record: Record,
    before: str,
    cases: bytes,
    policy: CanaryPolicy,
    progress: Progress,
    guard: Callable[[], None],
) -> Analysis:
    """Measure both sides window by window until there is a verdict, or no time is left.

    Parameters
    ----------
    platform : Platform
        Runs the canary and its control already.
    record : Record
        The release that is tried.
    before : str
        The release that the control runs.
    cases : bytes
        The bundle's ``smoke.json``: the requests to replay where too few real ones come.
    guard : callable
        Raises when another command has taken over the environment.
    """
    watch = _Watch(platform, record, policy, progress, guard)
    synthetic = not watch.has_enough_traffic()
    replay = platform.replay(json.loads(cases)["replay"], policy.requests_per_s)
    warm_up: list[Window] = []
    windows: list[Window] = []
    judgement = Judgement(INCONCLUSIVE, ("no window has ended",), {})
    with replay.running() if synthetic else nullcontext():
        # Errors count from the first window on, and end this at once.
        while not (_is_warm(warm_up) or guardrail(warm_up, policy)):
            warm_up.append(watch.window(replay))
        for number in range(1, policy.looks * policy.windows + 1):
            windows.append(watch.window(replay))
            watch.show(number, windows[-1])
            broken = guardrail([*warm_up, *windows], policy)
            if broken:
                judgement = Judgement(FAIL, (broken,), judge(windows, policy).figures)
                break
            if number % policy.windows == 0:
                judgement = judge(windows, policy)
                if judgement.verdict in (PASS, FAIL):
                    break
    difference = warning(replay.answers(before), replay.answers(record.version))
    return Analysis(judgement, tuple(windows), synthetic, len(warm_up), policy, difference)


def conclude(analysis: Analysis) -> None:
    """Return after a pass; a fail raises `ReleaseFailed`, an inconclusive analysis `Undecided`."""
    if analysis.judgement.verdict == FAIL:
        raise ReleaseFailed(f"the canary failed: {'; '.join(analysis.judgement.reasons)}")
    if analysis.judgement.verdict != PASS:
        raise Undecided(f"the canary is inconclusive: {'; '.join(analysis.judgement.reasons)}")


@dataclass
class _Watch:
    """Measures the servers of both sides, and waits from window to window."""

    platform: Platform
    record: Record
    policy: CanaryPolicy
    progress: Progress
    guard: Callable[[], None]
    # How far each server's answers were read, by its address.
    _marks: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._canary, self._baseline = self._sides()
        for instance in (*self._canary, *self._baseline):
            _, self._marks[instance.address] = self.platform.answered(instance.address, "")

    def has_enough_traffic(self) -> bool:
        """Measure one window: do real customers send as many requests as a verdict needs?"""
        seen = self.window(None)
        enough = ENOUGH_REQUESTS / self.policy.windows
        return min(seen.canary.requests, seen.baseline.requests) >= enough

    def window(self, replay: Replay | None) -> Window:
        """Wait for the end of a window and return the requests of both sides in it."""
        until = time.monotonic() + self.policy.window_s
        while time.monotonic() < until:
            time.sleep(min(LOOK_EVERY_S, max(0.0, until - time.monotonic())))
            self._require_ready()
        self.guard()
        baseline, canary = self._side(self._baseline), self._side(self._canary)
        unanswered = replay.unanswered() if replay else Counter[str]()
        lost = sum(unanswered.pop(one.address, 0) for one in self._baseline)
        # Where nobody can tell which side has not answered, it counts against the new one.
        return Window(_with_lost(baseline, lost), _with_lost(canary, unanswered.total()))

    def show(self, number: int, window: Window) -> None:
        """Show how far the analysis has come."""
        self.progress.pass_by(
            f"window {number}, judged every {self.policy.windows}: "
            f"{window.canary.requests} requests, "
            f"{window.canary.errors} failed; baseline {window.baseline.requests}, "
            f"{window.baseline.errors} failed"
        )

    def _side(self, instances: Sequence[Instance]) -> Side:
        """Return the requests that these servers have answered since they were read last."""
        latencies: list[float] = []
        errors = 0
        for instance in instances:
            mark = self._marks[instance.address]
            one, self._marks[instance.address] = self.platform.answered(instance.address, mark)
            latencies += one.latencies_ms
            errors += one.errors
        return Side(tuple(latencies), errors)

    def _sides(self) -> tuple[list[Instance], list[Instance]]:
        observation = self.platform.observe()
        serving = [one for one in observation.instances if one.state != "draining"]
        canary = [one for one in serving if one.release == self.record.version]
        others = [one for one in serving if one.release != self.record.version]
        # A supervisor that an earlier version has started does not say which is the control.
        control = [one for one in others if one.track == CONTROL] or others
        if observation.trouble or not canary or not control:
            raise NotServing(observation.trouble or "the two sides of the canary do not both run")
        return canary, control

    def _require_ready(self) -> None:
        """Raise `NotServing` when a server of the canary or its control was lost or restarted."""
        sides = zip(
            ("canary", "control"), (self._canary, self._baseline), self._sides(), strict=True
        )
        for name, before, now in sides:
            known = {one.address: one.restarts for one in before}
            for one in now:
                if one.state != "ready" or one.restarts != known.get(one.address):
                    raise NotServing(f"the {name}'s server {one.address} was lost, or restarted")
            if len(now) != len(known):
                raise NotServing(f"the {name} has lost a server")


def _is_warm(windows: Sequence[Window]) -> bool:
    """Return whether no side gets faster any more, as young servers do, or whether that is enough.

    What is compared is how the releases serve, not how they start.
    """
    if len(windows) < 2:
        return False
    before, now = windows[-2:]
    are_steady = _is_steady(before.canary, now.canary) and _is_steady(before.baseline, now.baseline)
    return are_steady or len(windows) == WARM_UP


def _is_steady(before: Side, now: Side) -> bool:
    if min(before.requests, now.requests) < FEWEST_TO_TELL:
        return False
    earlier, later = (statistics.median(side.latencies_ms) for side in (before, now))
    return later >= (1 - STEADY) * earlier


def _with_lost(side: Side, lost: int) -> Side:
    """Return a side with requests that were never answered."""
    return Side((*side.latencies_ms, *[TIMEOUT_S * 1000.0] * lost), side.errors + lost)
