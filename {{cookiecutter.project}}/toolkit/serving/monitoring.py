"""Counts features and predictions by bin, beside their distributions at training.

From these counters Prometheus computes the drift of the traffic; docs/serving.md shows how.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
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

# A valid customer and the prediction.
Answered = tuple[Mapping[str, Any], float]


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
        self._columns = {name: _Bins(one) for name, one in expectation.columns.items()}
        self._probabilities = _Bins(expectation.probabilities)
        self._refusals: Counter[tuple[str, str]] = Counter()

    def count(self, answered: Sequence[Answered]) -> None:
        """Count valid customers and their predictions."""
        if len(answered) >= MANY:
            self._count_many(answered)
            return
        with self._lock:
            for customer, probability in answered:
                for name, bins in self._columns.items():
                    bins.counts[bins.of(customer[name])] += 1
                self._probabilities.counts[self._probabilities.of(probability)] += 1

    def _count_many(self, answered: Sequence[Answered]) -> None:
        found = [
            (bins, bins.count([customer[name] for customer, _ in answered]))
            for name, bins in self._columns.items()
        ]
        said = [probability for _, probability in answered]
        found.append((self._probabilities, self._probabilities.count(said)))
        with self._lock:
            for bins, counts in found:
                for name, count in counts:
                    bins.counts[name] += count

    def refuse(self, column: str, rule: str) -> None:
        """Count an invalid value by its column and the violated rule."""
        label = column if column in self._expectation.columns else OTHER_COLUMN
        with self._lock:
            self._refusals[label, rule] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the counts and the expected shares, for Prometheus."""
        with self._lock:
            values = {name: dict(bins.counts) for name, bins in self._columns.items()}
            probabilities = dict(self._probabilities.counts)
            refusals = dict(self._refusals)
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


class _Bins:
    """The bins of a column, or of the predictions, and how many values were in each.

    Attributes
    ----------
    of
        Returns the bin of a value; None for a null.
    counts
        By bin.
    """

    def __init__(self, distribution: Distribution) -> None:
        self.of = distribution.bin_of
        self.counts: defaultdict[str | None, int] = defaultdict(int)
        self._bins, self._edges = distribution.bins, distribution.edges

    def count(self, values: Sequence[float | str | None]) -> list[tuple[str | None, int]]:
        """Return how many values are in which bin; a bin may be there more than once."""
        if not self._edges:
            return [(self.of(value), count) for value, count in Counter(values).items()]
        numbers = np.asarray(values, dtype=np.float64)
        valid = numbers[~np.isnan(numbers)]
        # As `Distribution.bin_of`: an edge belongs to the interval below it.
        places = np.searchsorted(self._edges, valid, side="left")
        counts = np.bincount(places, minlength=len(self._bins)).tolist()
        return [(None, len(numbers) - len(valid)), *zip(self._bins, counts, strict=True)]
