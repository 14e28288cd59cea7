"""How often the canary's verdict is right: false alarms, regressions found, good releases passed.

    nox -s benchmark_canary

What is simulated: ten windows, one look. Latencies are lognormal with a median of 80 ms and a
deviation of 0.5 of their logarithm, so the baseline's true p95 is 182 ms. The canary has a fifth of
the traffic, the same number of requests in each window, and the baseline four times that. Noise
between pods is one lognormal factor for all requests of one side in one window, drawn anew for every
window and side: requests of a window are correlated, and windows are not. A regression multiplies all
of the canary's latencies, or, where it is one of the tail alone, makes 8 % of its requests three times
slower. Nothing fails, and no SLO is set.

Expected are the figures that the method was chosen by, of which two digits are known. They were
simulated too, with how many trials is not known; they scatter around this simulation's as those of
about 400 would. A figure is off if it differs by more than 0.01 and three standard errors of the
difference of two such simulations. The rates of false alarms must be at most alpha, and three of
theirs.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from toolkit.release.canary import verdict
from toolkit.release.canary.exceedances import compare

REPETITIONS = 1000
EXPECTED_TRIALS = 400
ALPHA = 0.01
SEED = 20261124
WINDOWS = 10
MEDIAN_MS, DEVIATION = 80, 0.5
BASELINE_TIMES = 4
TAIL_SHARE, TAIL_TIMES = 0.08, 3
MARGINS = (0.10, 0.25, 0.50)
BATCH = 50

COLUMNS = (
    *(f"no change: PASS at {margin:.2f}" for margin in MARGINS),
    "true 1.15: FAIL",
    "true 1.30: FAIL",
    "true 1.30: PASS at 0.25",
    "true 1.50: FAIL",
)
AT_THE_MARGIN = "true 1.10: FAIL"
TAIL = "tail alone: FAIL"
FALSE_PASS = "as bad as a pass rules out: PASS"
OTHERS = (AT_THE_MARGIN, TAIL, FALSE_PASS)


@dataclass(frozen=True)
class Row:
    """So many canary requests, the noise between pods, and what is expected in `COLUMNS`."""

    requests: int
    pods: float
    expected: tuple[float, ...]


ROWS = (
    Row(200, 0.00, (0.28, 0.76, 0.99, 0.01, 0.17, 0.04, 0.76)),
    Row(200, 0.15, (0.21, 0.51, 0.92, 0.01, 0.07, 0.02, 0.47)),
    Row(500, 0.00, (0.49, 0.97, 1.00, 0.05, 0.60, 0.01, 0.99)),
    Row(500, 0.15, (0.25, 0.75, 0.99, 0.02, 0.20, 0.03, 0.75)),
    Row(2000, 0.00, (0.94, 1.00, 1.00, 0.17, 1.00, 0.00, 1.00)),
    Row(2000, 0.15, (0.31, 0.86, 1.00, 0.02, 0.36, 0.02, 0.88)),
)

Latencies = list[list[float]]


def draw(rng: random.Random, requests: int, pods: float) -> Latencies:
    """Draw the latencies of one side in milliseconds, one list a window."""
    location = math.log(MEDIAN_MS)
    return [
        [
            math.exp(common + rng.gauss(0, DEVIATION))
            for common in [location + rng.gauss(0, pods)]
            for _ in range(requests // WINDOWS)
        ]
        for _ in range(WINDOWS)
    ]


def times(factor: float, windows: Latencies) -> Latencies:
    """Make every request slower."""
    return [[factor * latency for latency in window] for window in windows]


def tail_alone(rng: random.Random, windows: Latencies) -> Latencies:
    """Make some requests slower."""
    return [
        [latency * (TAIL_TIMES if rng.random() < TAIL_SHARE else 1) for latency in window]
        for window in windows
    ]


def trials(requests: int, pods: float, seed: str, count: int) -> Counter[str]:
    """Count in how many trials each thing happened."""
    rules = verdict.Rules(alpha=ALPHA, looks=1, windows=WINDOWS)
    pass_slowdown = rules.pass_slowdown(requests)
    rng = random.Random(seed)
    happened: Counter[str] = Counter()

    def says(baseline: Latencies, canary: Latencies) -> str:
        return str(
            verdict.judge(
                [
                    verdict.Window(verdict.Side(tuple(old), 0), verdict.Side(tuple(new), 0))
                    for old, new in zip(baseline, canary, strict=True)
                ],
                rules,
            ).verdict
        )

    def one_trial() -> Iterator[str]:
        baseline = draw(rng, BASELINE_TIMES * requests, pods)
        canary = draw(rng, requests, pods)
        for margin in MARGINS:
            if compare(baseline, canary, margin).p_within <= rules.pass_alpha:
                yield f"no change: PASS at {margin:.2f}"
        slower = {truth: times(truth, canary) for truth in (1.10, 1.15, 1.30, 1.50)}
        for truth, windows in slower.items():
            if says(baseline, windows) == verdict.FAIL:
                yield f"true {truth:.2f}: FAIL"
        if compare(baseline, slower[1.30], 0.25).p_within <= rules.pass_alpha:
            yield "true 1.30: PASS at 0.25"
        if says(baseline, tail_alone(rng, canary)) == verdict.FAIL:
            yield TAIL
        if says(baseline, times(1 + pass_slowdown, canary)) == verdict.PASS:
            yield FALSE_PASS

    for _ in range(count):
        happened.update(one_trial())
    return happened


def error(share: float, repetitions: int) -> float:
    """Return the standard error of a share; a printed 1.00 may have been 0.995."""
    share = min(max(share, 0.005), 0.995)
    return math.sqrt(share * (1 - share) / repetitions)


def simulate(repetitions: int) -> list[Counter[str]]:
    """Count what happened, one row each, on all cores."""
    with ProcessPoolExecutor(cores()) as pool:
        rows = [
            [
                pool.submit(trials, row.requests, row.pods, f"{SEED} {number} {start}", count)
                for start in range(0, repetitions, BATCH)
                for count in [min(BATCH, repetitions - start)]
            ]
            for number, row in enumerate(ROWS)
        ]
        return [sum((batch.result() for batch in batches), Counter()) for batches in rows]


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print Markdown, each row beginning with the setting that it is of."""
    print(f"\n| canary requests | noise between pods | {' | '.join(header)} |")
    print("|" + " --- |" * (2 + len(header)))
    for row, cells in zip(ROWS, rows, strict=True):
        print(f"| {row.requests} | {row.pods or 'none'} | {' | '.join(cells)} |")


def cores() -> int:
    """Return how many this process may use."""
    return len(os.sched_getaffinity(0))


def main() -> None:
    """Print the tables; exit with 1 if a figure is off."""
    parser = argparse.ArgumentParser(description="How often the canary's verdict is right.")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="trials of each row")
    repetitions = parser.parse_args().repetitions
    began = time.monotonic()
    shares = [
        {column: happened[column] / repetitions for column in (*COLUMNS, *OTHERS)}
        for happened in simulate(repetitions)
    ]
    print(
        f"\n{cores()} cores, Python {platform.python_version()}; {repetitions} trials of each row"
    )
    print(f"seed {SEED}; simulated, and in brackets what was expected")
    beside = [
        [(name, share[name], wanted) for name, wanted in zip(COLUMNS, row.expected, strict=True)]
        for row, share in zip(ROWS, shares, strict=True)
    ]
    print_table(COLUMNS, ([f"{seen:.3f} ({wanted:.2f})" for _, seen, wanted in r] for r in beside))
    print_table(OTHERS, ([f"{share[column]:.3f}" for column in OTHERS] for share in shares))
    figures = [figure for row in beside for figure in row]
    close = [
        abs(seen - wanted) <= 0.01 + 3 * error(wanted, repetitions) for _, seen, wanted in figures
    ]
    print(
        f"\n{sum(close)} of {len(close)} figures are within 0.01 and three standard errors of this"
    )
    print("simulation alone.")
    off = [
        f"{row.requests} requests, pods {row.pods}: {column} is {seen:.3f}, expected {wanted:.2f}"
        for row, cells in zip(ROWS, beside, strict=True)
        for column, seen, wanted in cells
        if abs(seen - wanted)
        > 0.01 + 3 * math.hypot(error(wanted, repetitions), error(wanted, EXPECTED_TRIALS))
    ]
    off += [
        f"{row.requests} requests, pods {row.pods}: {AT_THE_MARGIN} is {share[AT_THE_MARGIN]:.3f}"
        for row, share in zip(ROWS, shares, strict=True)
        if share[AT_THE_MARGIN] > ALPHA + 3 * error(ALPHA, repetitions)
    ]
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    if off:
        sys.exit("further off than simulations differ:\n" + "\n".join(off))


if __name__ == "__main__":
    main()
