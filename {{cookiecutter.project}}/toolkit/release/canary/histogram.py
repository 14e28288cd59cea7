"""Latencies from a server's metrics: the counts of each bucket since they were read last.

Where no logs can be read, a server's histogram gives the latencies of its requests, to within a
bucket. Requests are assumed to be spread evenly over their bucket, on a logarithmic scale.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Self

from .verdict import Side

PATH = "/predict"
REQUESTS, LATENCY = "churn_requests_total", "churn_request_seconds_bucket"
SERVER_ERROR = 500
# churn_requests_total{path="/predict",status="200"} 17.0
SAMPLE = re.compile(r"(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)(?: \d+)?")
LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Counts:
    """The counts of a server since its start.

    Parameters
    ----------
    within : mapping of str to int
        The requests that took no longer than so many seconds; ``+Inf`` is all.
    errors : int
        Requests answered with 5xx, or not at all.
    """

    within: Mapping[str, int]
    errors: int

    @classmethod
    def read(cls, mark: str) -> Self:
        """Return the counts of a `mark`."""
        return cls(**json.loads(mark))

    def mark(self) -> str:
        """Write the counts as text."""
        return json.dumps(asdict(self))

    def since(self, before: Counts) -> Side:
        """Return the requests since then; a restarted server has started from zero."""
        if before.within.keys() != self.within.keys() or any(
            self.within[bound] < count for bound, count in before.within.items()
        ):
            before = Counts(dict.fromkeys(self.within, 0), 0)
        latencies: list[float] = []
        low_s, counted = 0.0, 0
        for bound in sorted(self.within, key=float):
            high_s, count = float(bound), self.within[bound] - before.within[bound]
            latencies += _spread(low_s, high_s, count - counted)
            low_s, counted = high_s, count
        return Side(tuple(latencies), max(0, self.errors - before.errors))


def _spread(low_s: float, high_s: float, count: int) -> Iterator[float]:
    """Yield the latencies of one bucket, in milliseconds."""
    # The first bucket starts at zero, and the last one has no end.
    low_s = low_s or high_s / 2
    high_s = 2 * low_s if math.isinf(high_s) else high_s
    for number in range(count):
        yield 1000 * low_s * (high_s / low_s) ** ((number + 0.5) / count)


def counts_in(metrics: str) -> Counts:
    """Parse a server's ``/metrics``; `ValueError` for counts that are impossible."""
    within: dict[str, int] = {}
    errors = 0
    for name, labels, value in _samples(metrics):
        if labels.get("path") != PATH:
            continue
        if name == LATENCY:
            within[labels.get("le", "")] = _whole(value)
        elif name == REQUESTS and not 0 < int(labels.get("status", "")) < SERVER_ERROR:
            errors += _whole(value)
    ordered = [within[bound] for bound in sorted(within, key=float)]
    if ordered != sorted(ordered):
        raise ValueError("its histogram decreases")
    return Counts(within or {"+Inf": 0}, errors)


def _samples(metrics: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in metrics.splitlines():
        if line.startswith((REQUESTS, LATENCY)):
            sample = SAMPLE.fullmatch(line)
            if sample is None:
                raise ValueError(f"{line!r} is no sample")
            yield sample["name"], dict(LABEL.findall(sample["labels"])), float(sample["value"])


def _whole(value: float) -> int:
    if not 0 <= value < math.inf or value != int(value):
        raise ValueError(f"{value} is no count")
    return int(value)
