"""The canary's verdict: when it is fail, pass or inconclusive."""

from __future__ import annotations

import json
import math
import random
import statistics
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.release.canary.exceedances import compare, p95
from toolkit.release.canary.verdict import (
    DAY_MS,
    FAIL,
    INCONCLUSIVE,
    PASS,
    Rules,
    Side,
    Window,
    guardrail,
    judge,
)

NOTHING = Side((), 0)
ONE_LOOK = Rules(looks=1)
STEADY = settings(derandomize=True, database=None, deadline=None)


def traffic(
    requests: int,
    *,
    seed: int = 1,
    slowdown: float = 1.0,
    tail: float = 0.0,
    pods: float = 0.0,
    errors: int = 0,
    windows: int = 10,
) -> list[Window]:
    """Draw latencies of both sides: lognormal, p95 182 ms, the canary has a fifth of the traffic.

    ``requests`` of the canary in all, ``tail`` of them three times slower, ``errors`` in its first
    window; ``pods`` is the deviation of what all requests of one window and side have in common.
    """
    rng = random.Random(seed)

    def side(count: int, factor: float, share: float) -> Side:
        common = factor * math.exp(rng.gauss(0, pods))
        drawn = (
            common * (3 if rng.random() < share else 1) * rng.lognormvariate(math.log(80), 0.5)
            for _ in range(count)
        )
        return Side(tuple(drawn), 0)

    each = requests // windows
    drawn = [Window(side(4 * each, 1, 0), side(each, slowdown, tail)) for _ in range(windows)]
    drawn[0] = replace(drawn[0], canary=replace(drawn[0].canary, errors=errors))
    return drawn


def slow_ones(*counts: int, fast: float = 138, slow: float = 210) -> list[Window]:
    """Return windows of 20 requests a side in which so many of the canary's were slow."""
    quick = Side((fast,) * 20, 0)
    return [Window(quick, Side((slow,) * n + (fast,) * (20 - n), 0)) for n in counts]


def failed(canary: int, of: int, baseline: int, beside: int) -> list[Window]:
    """Return ten windows of which the first holds all errors."""
    windows = [Window(Side((100.0,) * (beside // 10), 0), Side((100.0,) * (of // 10), 0))] * 10
    return [
        Window(
            replace(windows[0].baseline, errors=baseline),
            replace(windows[0].canary, errors=canary),
        ),
        *windows[1:],
    ]


GOOD = traffic(500)


def test_p95_is_a_latency_that_was_seen() -> None:
    assert p95([float(n) for n in range(1, 101)]) == 95
    assert p95([float(n) for n in range(1, 20)]) == 19
    assert p95([7.0]) == 7


latencies = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=3, max_size=3)


@given(latencies, latencies, st.integers(1, 3))
@settings(STEADY)
def test_a_uniformly_slower_canary_never_looks_better(
    baseline: list[list[float]], canary: list[list[float]], factor: int
) -> None:
    slower = [[factor * latency for latency in window] for window in canary]
    before, after = compare(baseline, canary, 0.25), compare(baseline, slower, 0.25)
    assert after.p_slower <= before.p_slower
    assert after.p_within >= before.p_within


def test_a_good_canary_passes_and_says_what_is_ruled_out() -> None:
    judgement = judge(GOOD, Rules())
    assert judgement.verdict == PASS
    assert "a regression worse than 25 % is ruled out (5 % risk)" in judgement.reasons


def test_a_fail_says_how_much_slower_it_is() -> None:
    judgement = judge(slow_ones(*[2] * 10), Rules())
    assert judgement.verdict == FAIL
    assert judgement.reasons == (
        "p95 of the canary is 1.52 times the baseline's, 210 to 138 ms, p 0.00098",
    )


def test_the_figures_are_those_computed_by_hand_and_can_be_written() -> None:
    figures = judge(slow_ones(*[2] * 8, 1, 0), ONE_LOOK).figures
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    # 17 are above the baseline's slowed-down 138, and 3 of those 200 make the 20 that 5 % are.
    # With or without the sign of the one window in which the canary was better.
    assert figures["slower"] == {
        "margin": 0.10,
        "threshold_ms": pytest.approx(138 * 1.1),
        "shares": {"baseline": [0.015] * 10, "canary": [0.1] * 8 + [0.05, 0]},
        "differences": pytest.approx([0.085] * 8 + [0.035, -0.015]),
        "p": 2 / 1024,
        "alpha": 0.01,
    }
    assert figures["within"]["margin"] == 0.50
    assert figures["p95_ms"] == {"baseline": 138, "canary": 210}
    assert figures["requests"] == {"baseline": [20] * 10, "canary": [20] * 10}
    assert figures["rules"]["max_slowdown"] == 0.10


def test_alpha_is_shared_by_the_planned_looks() -> None:
    windows = slow_ones(*[3] * 7, 0, 0, 0)
    assert judge(windows, ONE_LOOK).figures["slower"]["p"] == 1 / 128
    assert judge(windows, ONE_LOOK).verdict == FAIL
    assert judge(windows, Rules(looks=2)).verdict == INCONCLUSIVE


@pytest.mark.parametrize("count", [0, 9, 11, 30])
def test_nothing_is_judged_between_the_planned_looks(count: int) -> None:
    judgement = judge((slow_ones(2) * 30)[:count], Rules())
    assert judgement.verdict == INCONCLUSIVE
    assert judgement.reasons == (f"a canary is judged after 10, 20 windows, not {count}",)


def test_a_slowdown_within_what_is_allowed_does_not_fail() -> None:
    windows = slow_ones(*[2] * 10)
    assert judge(windows, Rules(max_slowdown=0.6)).verdict == PASS


def test_few_slow_requests_in_small_windows_do_not_fail_while_p95_is_the_same() -> None:
    many = Side((138.0,) * 1000, 0)
    judgement = judge([*slow_ones(*[4] * 9), Window(many, many)], Rules())
    assert judgement.figures["slower"]["p"] == 2 / 1024
    assert judgement.figures["ratio"] == 1
    assert judgement.verdict == INCONCLUSIVE


def test_latencies_that_are_all_the_same_can_be_told_apart() -> None:
    assert judge(failed(0, of=500, baseline=0, beside=500), Rules()).verdict == PASS
    assert judge(slow_ones(*[20] * 10), Rules()).verdict == FAIL


def test_a_pass_rules_out_less_with_fewer_requests_and_nothing_with_a_few() -> None:
    assert judge(traffic(400), Rules()).reasons[-1] == (
        "a regression worse than 50 % is ruled out (5 % risk)"
    )
    assert judge(traffic(90), Rules()).reasons == (
        "the canary has 90 requests, of the 93 that a pass needs",
    )


def test_what_is_neither_certain_is_inconclusive() -> None:
    judgement = judge(traffic(500, slowdown=1.15), Rules())
    assert judgement.verdict == INCONCLUSIVE
    assert judgement.reasons[0].startswith("a regression worse than 25 % is not ruled out: p95")


def thinned(windows: list[Window], count: int) -> list[Window]:
    """Return the windows with so few requests of the baseline."""
    return [
        Window(Side(window.baseline.latencies_ms[:count], 0), window.canary) for window in windows
    ]


def test_beside_a_thin_baseline_a_canary_is_thinned_too() -> None:
    # As where one client keeps a connection to the canary, and sends more than all others.
    busy = traffic(2000)
    thin = thinned([Window(window.canary, window.baseline) for window in busy], 60)
    counts = [len(window.canary.latencies_ms) for window in thin]
    assert min(counts) > 10 * 60
    assert judge(thin, Rules()).verdict == PASS
    slow = [
        Window(window.baseline, Side(tuple(1.5 * ms for ms in window.canary.latencies_ms), 0))
        for window in thin
    ]
    assert judge(slow, Rules()).verdict == FAIL


def test_beside_hardly_any_baseline_a_canary_does_not_pass() -> None:
    judgement = judge(thinned(GOOD, 1), Rules())
    assert judgement.verdict == INCONCLUSIVE
    assert "of the 93 that a pass needs" in judgement.reasons[0]


def test_37_a_canary_without_traffic_is_inconclusive() -> None:
    lost = [Window(window.baseline, NOTHING) for window in GOOD]
    assert judge(lost, Rules()).verdict == INCONCLUSIVE
    assert judge([Window(NOTHING, NOTHING)] * 10, Rules()).verdict == INCONCLUSIVE
    assert judge([Window(NOTHING, NOTHING)], Rules(windows=1)).verdict == INCONCLUSIVE


@pytest.mark.parametrize("side", ["baseline", "canary"])
def test_37_no_data_in_two_windows_in_a_row_is_inconclusive(side: str) -> None:
    windows = list(GOOD)
    windows[3] = replace(windows[3], **{side: NOTHING})
    windows[6] = replace(windows[6], **{side: NOTHING})
    assert judge(windows, Rules()).verdict == PASS
    windows[4] = Window(NOTHING, NOTHING)
    judgement = judge(windows, Rules())
    assert judgement.verdict == INCONCLUSIVE
    assert judgement.reasons == ("in windows 4 and 5 a side has no request",)


@given(
    window=st.integers(0, 9),
    side=st.sampled_from(["baseline", "canary"]),
    place=st.integers(0, 49),
    value=st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, DAY_MS]),
)
@settings(STEADY, max_examples=50)
def test_37_an_impossible_latency_never_passes(
    window: int, side: str, place: int, value: float
) -> None:
    windows = list(GOOD)
    latencies_ms = list(getattr(windows[window], side).latencies_ms)
    latencies_ms[place] = value
    windows[window] = replace(windows[window], **{side: Side(tuple(latencies_ms), 0)})
    judgement = judge(windows, Rules())
    assert judgement.verdict == INCONCLUSIVE
    assert judgement.reasons == (f"window {window + 1} has a latency of {value} ms of the {side}",)
    json.dumps(judgement.figures, allow_nan=False)


@pytest.mark.parametrize("errors", [-1, 51])
def test_37_errors_that_cannot_be_counted_never_pass(errors: int) -> None:
    windows = traffic(500, errors=errors)
    assert guardrail(windows, Rules()) == ""
    assert judge(windows, Rules()).reasons == (
        f"window 1 counts {errors} errors of the canary in 50 requests",
    )


def test_38_a_regression_of_the_tail_alone_fails() -> None:
    windows = traffic(2000, tail=0.08)
    medians = [
        statistics.median(latency for side in sides for latency in side.latencies_ms)
        for sides in zip(*((w.baseline, w.canary) for w in windows), strict=True)
    ]
    assert medians[1] < 1.1 * medians[0]
    assert judge(windows, Rules()).verdict == FAIL


def test_38_no_change_passes() -> None:
    assert judge(traffic(2000), Rules()).verdict == PASS


def test_38_noisy_pods_raise_no_false_alarm() -> None:
    verdicts = {judge(traffic(500, seed=seed, pods=0.15), Rules()).verdict for seed in range(30)}
    assert verdicts == {PASS, INCONCLUSIVE}


def test_errors_that_the_allowed_rate_does_not_explain_fail_after_any_window() -> None:
    two_of_45 = [Window(NOTHING, Side((100.0,) * 45, 2))]
    assert guardrail(two_of_45, Rules()) == (
        "2 of 45 requests of the canary failed (4.44 %), more than 0.1 % explains, p 0.00096"
    )
    assert judge(two_of_45, Rules()).verdict == FAIL
    assert guardrail([Window(NOTHING, Side((100.0,) * 46, 2))], Rules()) == ""
    assert guardrail(two_of_45, Rules(max_error_rate=0.01)) == ""


def test_errors_add_up_over_windows() -> None:
    one_of_20 = Window(NOTHING, Side((100.0,) * 20, 1))
    assert guardrail([one_of_20], Rules()) == ""
    assert guardrail([one_of_20, one_of_20], Rules())


def test_impossible_counts_do_not_hide_the_errors_of_other_windows() -> None:
    windows = [Window(NOTHING, Side((100.0,) * 20, 10)), Window(NOTHING, Side((100.0,), -20))]
    assert judge(windows, Rules()).verdict == FAIL


def test_more_errors_than_the_baselines_fail() -> None:
    judgement = judge(failed(20, of=500, baseline=10, beside=2000), Rules(max_error_rate=0.04))
    assert judgement.verdict == FAIL
    assert judgement.reasons[0].startswith(
        "20 of 500 requests of the canary failed (4 %), and 10 of 2000 of the baseline (0.5 %), p"
    )


def test_errors_that_the_baseline_has_too_do_not_fail() -> None:
    windows = failed(20, of=500, baseline=60, beside=2000)
    assert judge(windows, Rules(max_error_rate=0.04)).verdict == PASS


def test_more_errors_by_less_than_the_floor_do_not_fail() -> None:
    windows = failed(40, of=10_000, baseline=10, beside=10_000)
    rules = Rules(max_error_rate=0.04)
    judgement = judge(windows, rules)
    assert judgement.figures["error_p"] < 0.001
    assert judgement.verdict == PASS
    assert judge(windows, replace(rules, error_floor=0.003)).verdict == FAIL


def test_a_p95_above_the_slo_fails_though_the_baseline_is_as_slow() -> None:
    windows = traffic(500)
    judgement = judge(windows, Rules(slo_ms=150))
    assert judgement.verdict == FAIL
    assert "requests of the canary took longer than 150 ms" in judgement.reasons[0]
    assert judge(windows, Rules(slo_ms=182)).verdict == INCONCLUSIVE
    assert "p95 is within 250 ms (5 % risk)" in judge(windows, Rules(slo_ms=250)).reasons


def test_an_slo_cannot_be_shown_with_fewer_than_59_requests() -> None:
    reasons = judge(traffic(50), Rules(slo_ms=10_000)).reasons
    assert (
        "0 of 50 requests of the canary took longer than 10000 ms: not shown to be within it, "
        in (reasons[-1])
    )
    assert "59 are the fewest" in reasons[-1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_slowdown", math.nan),
        ("alpha", 0.0),
        ("pass_alpha", 1.0),
        ("looks", 0),
        ("windows", 21),
        ("slo_ms", 0.0),
        ("max_error_rate", 1.0),
        ("error_floor", -0.1),
    ],
)
def test_an_impossible_rule_is_refused(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=setting):
        replace(Rules(), **{setting: value})
