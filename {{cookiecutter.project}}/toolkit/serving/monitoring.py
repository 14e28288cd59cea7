"""Counts features and predictions by bin, beside their distributions at training.

From these counters Prometheus computes the drift of the traffic; docs/serving.md shows how.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..data.expectation import Distribution, Expectation

# For a field of an invalid request that is no column: clients choose such names freely.
OTHER_COLUMN = "other"
COLUMN, BIN, RULE = "column", "bin", "rule"
# From as many values on an array is made of them, which takes a while itself.
MANY = 32
# Counted one by one, customers would take longer than their predictions; these take some 100
# microseconds, for which all others wait.
VALUES_AT_ONCE = 1_000

# A valid customer and the prediction.
Answered = tuple[Mapping[str, Any], float]
# Bins, some of them repeatedly, and how many values are in each.
InBins = Iterable[tuple[str | None, int]]


class Monitor(Collector):
    """Counts values by the bins of an expectation; thread-safe.

    Parameters
    ----------
    expectation
        The distributions at training.
    """

    def __init__(self, expectation: Expectation) -> None:
        self._expectation = expectation
        self._lock = threading.Lock()
        self._values: dict[str, Counter[str | None]] = {
            name: Counter() for name in expectation.columns
        }
        self._probabilities: Counter[str | None] = Counter()
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._at_once = max(1, VALUES_AT_ONCE // (len(expectation.columns) + 1))
        self._waiting: list[Answered] = []

    def count(self, answered: Sequence[Answered]) -> None:
        """Count valid customers and their predictions."""
        if len(answered) >= self._at_once:
            found = self._in_bins(answered)
            with self._lock:
                self._add(*found)
            return
        with self._lock:
            self._waiting += answered
            if len(self._waiting) >= self._at_once:
                self._add_waiting()

    def _add_waiting(self) -> None:
        self._add(*self._in_bins(self._waiting))
        self._waiting.clear()

    def _in_bins(self, answered: Sequence[Answered]) -> tuple[dict[str, InBins], InBins]:
        """Return the bins of the customers' values by column, and of their predictions."""
        columns = {
            name: _in_bins(distribution, [customer[name] for customer, _ in answered])
            for name, distribution in self._expectation.columns.items()
        }
        said = [probability for _, probability in answered]
        return columns, _in_bins(self._expectation.probabilities, said)

    def _add(self, columns: Mapping[str, InBins], probabilities: InBins) -> None:
        for name, found in columns.items():
            _add(self._values[name], found)
        _add(self._probabilities, probabilities)

    def refuse(self, column: str, rule: str) -> None:
        """Count an invalid value by its column and the violated rule."""
        label = column if column in self._expectation.columns else OTHER_COLUMN
        with self._lock:
            self._refusals[label, rule] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the counts and the expected shares, for Prometheus."""
        with self._lock:
            self._add_waiting()
            values = {name: dict(counts) for name, counts in self._values.items()}
            probabilities, refusals = dict(self._probabilities), dict(self._refusals)
        counted = CounterMetricFamily(
            "churn_input_values", "Values of input features, by bin", labels=(COLUMN, BIN)
        )
        nulls = CounterMetricFamily("churn_input_nulls", "Nulls in requests", labels=(COLUMN,))
        expected = GaugeMetricFamily(
            "churn_input_expected_ratio", "Share of a bin at training", labels=(COLUMN, BIN)
        )
        expected_nulls = GaugeMetricFamily(
            "churn_input_expected_null_ratio", "Share of nulls at training", labels=(COLUMN,)
        )
        for column, distribution in self._expectation.columns.items():
            for name, share in distribution.shares():
                count = values[column].get(name, 0)
                if name is None:
                    nulls.add_metric((column,), count)
                    expected_nulls.add_metric((column,), share)
                else:
                    counted.add_metric((column, name), count)
                    expected.add_metric((column, name), share)
        yield from (counted, nulls, expected, expected_nulls)
        predicted = CounterMetricFamily("churn_probabilities", "Predictions, by bin", labels=(BIN,))
        expected_predictions = GaugeMetricFamily(
            "churn_probabilities_expected_ratio", "Share of a bin at training", labels=(BIN,)
        )
        for name, share in self._expectation.probabilities.shares():
            if name is not None:
                predicted.add_metric((name,), probabilities.get(name, 0))
                expected_predictions.add_metric((name,), share)
        yield from (predicted, expected_predictions)
        refused = CounterMetricFamily(
            "churn_input_refusals", "Values that violate the contract", labels=(COLUMN, RULE)
        )
        for (column, rule), count in refusals.items():
            refused.add_metric((column, rule), count)
        yield refused


def _in_bins(distribution: Distribution, values: Sequence[float | str | None]) -> InBins:
    """Return the bins of a column's values, or of predictions; None is for nulls."""
    if len(values) < MANY:
        return [(distribution.bin_of(value), 1) for value in values]
    if not distribution.edges:
        return [(distribution.bin_of(value), count) for value, count in Counter(values).items()]
    numbers = np.asarray(values, dtype=np.float64)
    valid = numbers[~np.isnan(numbers)]
    # As `Distribution.bin_of`: an edge belongs to the interval below it.
    places = np.searchsorted(distribution.edges, valid, side="left")
    counts = np.bincount(places, minlength=len(distribution.bins)).tolist()
    nulls = (None, len(numbers) - len(valid))
    return [nulls, *zip(distribution.bins, counts, strict=True)]


def _add(counts: Counter[str | None], found: InBins) -> None:
    # `Counter.update` takes several times as long for a few.
    for name, count in found:
        counts[name] += count
