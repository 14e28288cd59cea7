"""A canary's trial: some servers run the release, the others what served, and both are watched."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass

from ..errors import NotServing, Undecided
from ..platforms import Instance, Platform
from ..policy import CanaryPolicy
from ..progress import Progress
from ..records import Record
from .answers import warning
from .traffic import TIMEOUT_S, Readers, Replay
from .verdict import FAIL, INCONCLUSIVE, PASS, Judgement, Side, Window, guardrail, judge

SCHEMA = 1
# From this many requests on a trial rules out a regression of 25 % and not only of 50 %.
ENOUGH_REQUESTS = 500
QUANTILES = 100


@dataclass(frozen=True)
class Trial:
    """What a trial has shown.

    Parameters
    ----------
    judgement : Judgement
    windows : tuple of Window
    synthetic : bool
        Whether held-out customers were asked about, because too few real ones came.
    policy : CanaryPolicy
    warning : str
        How the release answers otherwise than the one before, or empty.
    """

    judgement: Judgement
    windows: tuple[Window, ...]
    synthetic: bool
    policy: CanaryPolicy
    warning: str = ""

    def __str__(self) -> str:
        told = f"{self.judgement.verdict}: {'; '.join(self.judgement.reasons)}"
        told += " (replayed requests)" if self.synthetic else ""
        return f"{told}; warning: {self.warning}" if self.warning else told

    def to_json(self) -> bytes:
        """Write what a later reader asks about: counts, thresholds, margins and distributions."""
        sides = {
            "baseline": _whole(self.windows, "baseline"),
            "canary": _whole(self.windows, "canary"),
        }
        document = {
            "schema": SCHEMA,
            "verdict": self.judgement.verdict,
            "reasons": self.judgement.reasons,
            "synthetic": self.synthetic,
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
        }
        return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def quantiles(latencies_ms: tuple[float, ...]) -> list[float]:
    """Return the minimum, every percentile and the maximum, in milliseconds; 101 of them."""
    ordered = sorted(latencies_ms)
    if not ordered:
        return []
    last = len(ordered) - 1
    return [round(ordered[round(last * part / QUANTILES)], 3) for part in range(QUANTILES + 1)]


def _whole(windows: tuple[Window, ...], name: str) -> Side:
    sides = [getattr(window, name) for window in windows]
    latencies = tuple(latency for side in sides for latency in side.latencies_ms)
    return Side(latencies, sum(side.errors for side in sides))


def try_out(
    platform: Platform,
    record: Record,
    before: str,
    cases: bytes,
    policy: CanaryPolicy,
    progress: Progress,
    guard: Callable[[], None],
) -> Trial:
    """Watch both sides window by window until there is a verdict, or no time is left.

    Parameters
    ----------
    platform : Platform
        Runs the release on `CanaryPolicy.instances` servers already, and on the others another.
    record : Record
        The release that is tried.
    before : str
        The release that the other servers run.
    cases : bytes
        The bundle's ``smoke.json``: whom to ask about where too few real customers come.
    guard : callable
        Raises when the environment was taken over meanwhile.
    """
    watch = _Watch(platform, record, policy, progress, guard)
    synthetic = not watch.hears_enough()
    replay = platform.replay(json.loads(cases)["replay"], policy.requests_per_s)
    windows: list[Window] = []
    judgement = Judgement(INCONCLUSIVE, ("no window has ended",), {})
    with replay.running() if synthetic else nullcontext():
        for number in range(1, policy.looks * policy.windows + 1):
            windows.append(watch.window(replay if synthetic else None))
            watch.tell(number, windows[-1])
            broken = guardrail(windows, policy)
            if broken:
                judgement = Judgement(FAIL, (broken,), judge(windows, policy).figures)
                break
            if number % policy.windows == 0:
                judgement = judge(windows, policy)
                if judgement.verdict in (PASS, FAIL):
                    break
    told = warning(replay.answers(before), replay.answers(record.version))
    return Trial(judgement, tuple(windows), synthetic, policy, told)


def conclude(trial: Trial) -> None:
    """Let a sound release go on; `NotServing` stops a bad one, `Undecided` any other."""
    if trial.judgement.verdict == FAIL:
        raise NotServing(f"the canary failed: {'; '.join(trial.judgement.reasons)}")
    if trial.judgement.verdict != PASS:
        raise Undecided(f"the canary is inconclusive: {'; '.join(trial.judgement.reasons)}")


@dataclass
class _Watch:
    """Looks at the servers of a trial, and waits from window to window."""

    platform: Platform
    record: Record
    policy: CanaryPolicy
    progress: Progress
    guard: Callable[[], None]

    def __post_init__(self) -> None:
        self._readers = Readers(self.platform)
        self._canary, self._baseline = self._sides()
        self._readers.skip([*self._canary, *self._baseline])

    def hears_enough(self) -> bool:
        """Listen for one window: do real customers ask as often as the judgement wants?"""
        heard = self.window(None)
        enough = ENOUGH_REQUESTS / self.policy.windows
        return min(heard.canary.requests, heard.baseline.requests) >= enough

    def window(self, replay: Replay | None) -> Window:
        """Wait for the end of a window and return what was asked in it."""
        until = time.monotonic() + self.policy.window_s
        while time.monotonic() < until:
            time.sleep(min(0.5, max(0.0, until - time.monotonic())))
            self._require_ready()
        self.guard()
        window = self._readers.window(self._canary, self._baseline)
        lost = replay.unanswered() if replay else 0
        if lost:
            # Nobody can tell which side has not answered: it counts against the new one.
            latencies = (*window.canary.latencies_ms, *[TIMEOUT_S * 1000.0] * lost)
            window = Window(window.baseline, Side(latencies, window.canary.errors + lost))
        return window

    def tell(self, number: int, window: Window) -> None:
        """Show how far the trial has come."""
        self.progress.pass_by(
            f"window {number}, judged every {self.policy.windows}: "
            f"{window.canary.requests} requests, "
            f"{window.canary.errors} failed; baseline {window.baseline.requests}, "
            f"{window.baseline.errors} failed"
        )

    def _sides(self) -> tuple[list[Instance], list[Instance]]:
        observation = self.platform.observe()
        serving = [one for one in observation.instances if one.state != "draining"]
        canary = [one for one in serving if one.release == self.record.version]
        baseline = [one for one in serving if one.release != self.record.version]
        if observation.trouble or not canary or not baseline:
            raise NotServing(observation.trouble or "the two sides of the canary do not both run")
        return canary, baseline

    def _require_ready(self) -> None:
        """`NotServing` when a server of the canary was lost or started again."""
        canary, _ = self._sides()
        known = {one.address for one in self._canary}
        for one in canary:
            if one.state != "ready" or one.restarts or one.address not in known:
                raise NotServing(f"the canary's server {one.address} was lost, or started again")
        if len(canary) != len(known):
            raise NotServing("the canary has lost a server")
