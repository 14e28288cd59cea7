"""A server's metrics give latencies that are fine enough for a canary's verdict."""

from __future__ import annotations

import random
from bisect import bisect_right

import pytest

from toolkit.release.canary.histogram import Counts, counts_in
from toolkit.release.canary.verdict import FAIL, PASS, Rules, Side, Window, judge
from toolkit.tests.kubectl import BOUNDS_S, sample

NONE = Counts({"+Inf": 0}, 0)


def counted(latencies_ms: list[float], bounds: list[float] = BOUNDS_S) -> Side:
    """Return a histogram of some latencies."""
    ordered = sorted(latencies_ms)
    within = {str(bound): bisect_right(ordered, 1000 * bound) for bound in bounds}
    return Counts(within | {"+Inf": len(ordered)}, 0).since(NONE)


def metrics(*lines: str) -> str:
    return "\n".join(["# TYPE churn_request_seconds histogram", *lines, "up 1.0"])


def test_what_came_between_two_readings_lies_in_its_buckets() -> None:
    before = Counts({"0.001": 5, "0.01": 9, "+Inf": 10}, 1)
    after = Counts({"0.001": 5, "0.01": 12, "+Inf": 14}, 2)
    came = after.since(Counts.read(before.mark()))
    assert (came.requests, came.errors) == (4, 1)
    assert all(1 < latency < 10 for latency in came.latencies_ms[:3])
    assert came.latencies_ms[3] > 10


def test_a_restarted_server_has_started_from_zero() -> None:
    before, after = Counts({"+Inf": 90}, 3), Counts({"+Inf": 4}, 1)
    assert (after.since(before).requests, after.since(before).errors) == (4, 1)


def test_only_predictions_are_read() -> None:
    bucket, total = "churn_request_seconds_bucket", "churn_requests_total"
    text = metrics(
        sample(bucket, 2, le="0.001"),
        sample(bucket, 3, le="+Inf"),
        sample(bucket, 99, le="+Inf").replace("/predict", "/health"),
        sample(total, 2, status="200"),
        sample(total, 1, status="503"),
        sample(total, 99, status="500").replace("/predict", "/health"),
    )
    assert counts_in(text) == Counts({"0.001": 2, "+Inf": 3}, 1)
    assert counts_in("up 1.0\n").since(NONE).requests == 0


@pytest.mark.parametrize(
    "line",
    [
        sample("churn_request_seconds_bucket", float("nan"), le="0.001"),
        sample("churn_request_seconds_bucket", -1, le="0.001"),
        sample("churn_request_seconds_bucket", 1.5, le="0.001"),
        sample("churn_request_seconds_bucket", 1),
        sample("churn_request_seconds_bucket", 9, le="0.0001"),
        sample("churn_requests_total", 1),
        "churn_requests_total 17",
    ],
)
def test_37_impossible_counts_are_refused(line: str) -> None:
    whole = sample("churn_request_seconds_bucket", 1, le="+Inf")
    with pytest.raises(ValueError):
        counts_in(metrics(whole, line))


def verdicts(slowdown: float, trials: int = 20) -> list[str]:
    """Judge a canary by histograms, wherever its latencies lie between their bounds."""
    rng = random.Random(37)
    output = []
    for _ in range(trials):
        median_ms = 20 * rng.uniform(1, 2)
        windows = [
            Window(
                *(
                    counted([median_ms * factor * rng.lognormvariate(0, 0.5) for _ in range(count)])
                    for factor, count in ((1.0, 800), (slowdown, 200))
                )
            )
            for _ in range(10)
        ]
        output.append(judge(windows, Rules()).verdict)
    return output


def test_38_a_histogram_shows_a_tail_that_is_slower_and_no_other() -> None:
    assert set(verdicts(1.0)) == {PASS}
    assert PASS not in verdicts(1.3)
    assert set(verdicts(1.5)) == {FAIL}
