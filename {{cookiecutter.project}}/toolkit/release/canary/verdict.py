"""The verdict on a canary: its measurements and the baseline's, compared by exact tests.

Pure functions: from windows and rules to a verdict with its reasons and figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from .exact_tests import binomial_at_least, binomial_at_most, fisher_more
from .exceedances import Exceedances, compare, p95

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"

# Errors that are no more probable than this at the allowed rate end a canary at once.
GUARDRAIL_RISK = 0.001
# From so many canary requests on, a pass rules out a regression worse than this. One margin of 10 %
# for both verdicts would let a perfect release pass only every third time. With some hundred
# requests, and four times as many of the baseline, the risk of 5 % is in fact 6 to 9 %.
PASS_SLOWDOWNS = ((500, 0.25), (93, 0.50))
FEWEST_REQUESTS = PASS_SLOWDOWNS[-1][0]
# Beside a thinner baseline the canary has requests above the threshold in nearly every window and
# the baseline in hardly any, by chance: up to 9 % false alarms at a fifth, 1 to 2 % at a half.
LEAST_BASELINE = 0.5
# No request takes as long. NaN, infinity and a broken clock's values are not between 0 and this.
DAY_MS = 86_400_000.0
TAIL = 0.05


@dataclass(frozen=True)
class Side:
    """The requests of one side in one window.

    Parameters
    ----------
    latencies_ms : tuple of float
        One for each request, also for failed ones.
    errors : int
        Requests answered with 5xx, or not at all.
    """

    latencies_ms: tuple[float, ...]
    errors: int

    @property
    def requests(self) -> int:
        """How many there were."""
        return len(self.latencies_ms)


@dataclass(frozen=True)
class Window:
    """A span of time in which both sides were measured."""

    baseline: Side
    canary: Side


@dataclass(frozen=True)
class Rules:
    """When a canary fails, and when it passes; `ValueError` names an impossible value.

    Parameters
    ----------
    max_slowdown : float
        By how much the canary's p95 may be above the baseline's, as a share of it.
    alpha : float
        The probability that a canary just within the rules fails, over all looks.
    pass_alpha : float
        The probability that a canary just worse than a pass permits passes, at one look.
    looks : int
        How often a canary is judged, at most.
    windows : int
        The number of windows before each look.
    slo_ms : float or None
        The upper limit of p95, whatever the baseline's is. None: no limit.
    max_error_rate : float
        More errors than this rate explains end the canary at once.
    error_floor : float
        A share of errors that exceeds the baseline's by less than this does not matter.
    """

    max_slowdown: float = 0.10
    alpha: float = 0.01
    pass_alpha: float = 0.05
    looks: int = 2
    windows: int = 10
    slo_ms: float | None = None
    max_error_rate: float = 0.001
    error_floor: float = 0.005

    def __post_init__(self) -> None:
        # NaN, which TOML can say, is in no interval.
        for holds, what in (
            (0 <= self.max_slowdown < math.inf, "max_slowdown must be at least 0"),
            (0 < self.alpha < 1, "alpha must be between 0 and 1"),
            (0 < self.pass_alpha < 1, "pass_alpha must be between 0 and 1"),
            (self.looks >= 1 and self.windows >= 1, "looks and windows must be at least 1"),
            (self.looks * self.windows <= 40, "looks times windows must be at most 40"),
            (self.slo_ms is None or 0 < self.slo_ms < math.inf, "slo_ms must be above 0"),
            (0 <= self.max_error_rate < 1, "max_error_rate must be at least 0 and below 1"),
            (0 <= self.error_floor < 1, "error_floor must be at least 0 and below 1"),
        ):
            if not holds:
                raise ValueError(what)

    @property
    def fail_alpha(self) -> float:
        """The largest p for a fail at one look."""
        return self.alpha / self.looks

    def pass_slowdown(self, requests: int) -> float:
        """Return the slowdown that a pass rules out with so many canary requests."""
        margins = (margin for least, margin in PASS_SLOWDOWNS if requests >= least)
        # A slowdown that the team permits need not be ruled out.
        return max(next(margins, PASS_SLOWDOWNS[-1][1]), self.max_slowdown)


@dataclass(frozen=True)
class Judgement:
    """The verdict on a canary at a planned look.

    Parameters
    ----------
    verdict : str
        `PASS`, `FAIL` or `INCONCLUSIVE`.
    reasons : tuple of str
        Those of this verdict.
    figures : dict
        All figures that it was computed from, for the record; can be written as JSON.
    is_of_tails : bool
        Whether a comparison of both sides' latencies is all that it rests on. The servers, and
        where the system has put them, differ too, and in every window in the same way: only other
        servers can tell them from the releases.
    """

    verdict: str
    reasons: tuple[str, ...]
    figures: dict[str, Any]
    is_of_tails: bool = False


@dataclass(frozen=True)
class _Finding:
    verdict: str
    reason: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    is_of_tails: bool = False


def guardrail(windows: Sequence[Window], rules: Rules) -> str:
    """Return why the canary must end at once, after any window; empty if it need not."""
    # Impossible counts are for `judge` to refuse; the others must not be lost with them.
    counted = [side for side in _sides(windows)["canary"] if 0 <= side.errors <= side.requests]
    errors, requests = _errors_of(counted), _requests_of(counted)
    p = binomial_at_least(errors, requests, rules.max_error_rate)
    if p > GUARDRAIL_RISK:
        return ""
    return (
        f"{errors} of {requests} requests of the canary failed ({_percent(errors / requests)}), "
        f"more than {_percent(rules.max_error_rate)} explains, p {p:.2g}"
    )


def judge(windows: Sequence[Window], rules: Rules) -> Judgement:
    """Judge a canary at a planned look: any fail fails it, and only all passes pass it.

    Parameters
    ----------
    windows : sequence of Window
        All since its start, also those without data: ``rules.windows`` of them, or twice as many,
        and so on. With any other number only the guardrail can fail it, because more looks than
        planned raise more false alarms.
    rules : Rules
    """
    planned = range(rules.windows, rules.looks * rules.windows + 1, rules.windows)
    impossible = _impossible(windows)
    findings = [_counts(windows)]
    if at_once := guardrail(windows, rules):
        findings.append(_Finding(FAIL, at_once))
    if len(windows) not in planned:
        looks = ", ".join(map(str, planned))
        findings.append(_doubt(f"a canary is judged after {looks} windows, not {len(windows)}"))
    elif impossible:
        findings.append(_doubt(impossible))
    else:
        findings += [_errors(windows, rules), _gaps(windows), _slowdown(windows, rules)]
        if rules.slo_ms is not None:
            findings.append(_slo(windows, rules.slo_ms, rules))
    verdicts = {finding.verdict for finding in findings}
    verdict = next(one for one in (FAIL, INCONCLUSIVE, PASS) if one in verdicts)
    figures: dict[str, Any] = {"rules": asdict(rules)}
    for finding in findings:
        figures |= finding.figures
    deciding = [finding for finding in findings if finding.verdict == verdict]
    reasons = tuple(finding.reason for finding in deciding if finding.reason)
    of_tails = all(finding.is_of_tails for finding in deciding)
    return Judgement(verdict, reasons, figures, of_tails)


def _counts(windows: Sequence[Window]) -> _Finding:
    sides = _sides(windows).items()
    requests = {name: [side.requests for side in each] for name, each in sides}
    errors = {name: [side.errors for side in each] for name, each in sides}
    return _Finding(PASS, figures={"requests": requests, "errors": errors})


def _impossible(windows: Sequence[Window]) -> str:
    """Return what in the windows is impossible, or an empty text."""
    for name, sides in _sides(windows).items():
        for number, side in enumerate(sides, start=1):
            for latency in side.latencies_ms:
                if not 0 < latency < DAY_MS:
                    return f"window {number} has a latency of {latency} ms of the {name}"
            if not 0 <= side.errors <= side.requests:
                return (
                    f"window {number} counts {side.errors} errors of the {name} "
                    f"in {side.requests} requests"
                )
    return ""


def _gaps(windows: Sequence[Window]) -> _Finding:
    """One window may be empty, as when metrics are late; two in a row are a lost measurement."""
    empty = [not (window.baseline.requests and window.canary.requests) for window in windows]
    for number, (one, following) in enumerate(pairwise(empty), start=1):
        if one and following:
            return _doubt(f"in windows {number} and {number + 1} a side has no request")
    return _Finding(PASS)


def _errors(windows: Sequence[Window], rules: Rules) -> _Finding:
    """Compare the canary's errors with the baseline's: Fisher's exact test, and a least effect."""
    sides = _sides(windows)
    k, n = _errors_of(sides["canary"]), _requests_of(sides["canary"])
    other_k, other_n = _errors_of(sides["baseline"]), _requests_of(sides["baseline"])
    if not (n and other_n):
        return _doubt(f"the canary has {n} requests, and the baseline {other_n}")
    p = fisher_more(k, n, other_k, other_n)
    figures = {"error_p": p, "error_difference": k / n - other_k / other_n}
    reason = (
        f"{k} of {n} requests of the canary failed ({_percent(k / n)}), "
        f"and {other_k} of {other_n} of the baseline ({_percent(other_k / other_n)}), p {p:.2g}"
    )
    certain = p <= rules.fail_alpha
    large = k / n - other_k / other_n >= rules.error_floor
    return _Finding(FAIL if certain and large else PASS, reason, figures)


def _slowdown(windows: Sequence[Window], rules: Rules) -> _Finding:
    """Compare the canary's tail with the baseline's, window by window."""
    both = [window for window in windows if window.baseline.requests and window.canary.requests]
    if not both:
        return _doubt("there is no window in which both sides have a request")
    baseline, canary = ([side.latencies_ms for side in sides] for sides in _sides(both).values())
    theirs = [latency for each in baseline for latency in each]
    # A client that keeps its connection stays with one server: of a canary with far more requests
    # than the baseline only some count, evenly spread over time.
    step = math.ceil(LEAST_BASELINE * sum(map(len, canary)) / len(theirs))
    canary = [each[:: max(1, step)] for each in canary]
    ours = [latency for each in canary for latency in each]
    old, new = p95(theirs), p95(ours)
    slower = compare(baseline, canary, rules.max_slowdown)
    within = compare(baseline, canary, rules.pass_slowdown(len(ours)))
    figures = {
        "p95_ms": {"baseline": old, "canary": new},
        "ratio": new / old,
        "slower": _recorded(slower) | {"p": slower.p_slower, "alpha": rules.fail_alpha},
        "within": _recorded(within) | {"p": within.p_within, "alpha": rules.pass_alpha},
    }
    seen = f"p95 of the canary is {new / old:.2f} times the baseline's, {_ms(new)} to {_ms(old)} ms"
    if slower.p_slower <= rules.fail_alpha and new > (1 + rules.max_slowdown) * old:
        return _Finding(FAIL, f"{seen}, p {slower.p_slower:.2g}", figures, is_of_tails=True)
    if len(ours) < FEWEST_REQUESTS:
        few = f"the canary has {len(ours)} requests, of the {FEWEST_REQUESTS} that a pass needs"
        return _Finding(INCONCLUSIVE, few, figures)
    ruled_out = f"a regression worse than {_percent(within.margin)} is"
    if within.p_within <= rules.pass_alpha:
        risk = _percent(rules.pass_alpha)
        return _Finding(PASS, f"{ruled_out} ruled out ({risk} risk)", figures)
    return _Finding(
        INCONCLUSIVE, f"{ruled_out} not ruled out: {seen}, p {within.p_within:.2g}", figures
    )


def _slo(windows: Sequence[Window], slo_ms: float, rules: Rules) -> _Finding:
    """Compare the canary's p95 with a fixed limit: binomial to reject it, Wilks to show it."""
    latencies = [latency for window in windows for latency in window.canary.latencies_ms]
    n, k = len(latencies), sum(latency > slo_ms for latency in latencies)
    p_above, p_within = binomial_at_least(k, n, TAIL), binomial_at_most(k, n, TAIL)
    figures = {"slo": {"requests": n, "above": k, "p_above": p_above, "p_within": p_within}}
    seen = f"{k} of {n} requests of the canary took longer than {_ms(slo_ms)} ms"
    if p_above <= rules.fail_alpha:
        return _Finding(FAIL, f"{seen} ({_percent(k / n)}, not {_percent(TAIL)})", figures)
    if p_within <= rules.pass_alpha:
        risk = _percent(rules.pass_alpha)
        return _Finding(PASS, f"p95 is within {_ms(slo_ms)} ms ({risk} risk)", figures)
    # Wilks: the number of requests that shows it if none is above the limit.
    fewest = math.ceil(math.log(rules.pass_alpha) / math.log(1 - TAIL))
    few = f", and {fewest} are the fewest that can show p95" if n < fewest else ""
    return _Finding(INCONCLUSIVE, f"{seen}: not shown to be within it{few}", figures)


def _doubt(reason: str) -> _Finding:
    return _Finding(INCONCLUSIVE, reason)


def _sides(windows: Sequence[Window]) -> dict[str, list[Side]]:
    return {
        "baseline": [window.baseline for window in windows],
        "canary": [window.canary for window in windows],
    }


def _requests_of(sides: Sequence[Side]) -> int:
    return sum(side.requests for side in sides)


def _errors_of(sides: Sequence[Side]) -> int:
    return sum(side.errors for side in sides)


def _recorded(comparison: Exceedances) -> dict[str, Any]:
    return {
        "margin": comparison.margin,
        "threshold_ms": comparison.threshold_ms,
        "shares": {
            "baseline": [float(share) for share in comparison.baseline],
            "canary": [float(share) for share in comparison.canary],
        },
        "differences": [float(difference) for difference in comparison.differences],
    }


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
