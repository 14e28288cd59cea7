"""Counts what customers and answers look like, beside what they looked like at training.

Prometheus can then tell from counters alone how far the two have moved apart; README.md shows how.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..data.expectation import Expectation

# A field of a refused request that is no column of the contract: clients choose such names freely.
OTHER_COLUMN = "other"
COLUMN, BIN, RULE = "column", "bin", "rule"


class Monitor(Collector):
    """Counts values by the bins of a expectation; threads may share one.

    Parameters
    ----------
    expectation
        What is expected.
    """

    def __init__(self, expectation: Expectation) -> None:
        self._profile = expectation
        self._lock = threading.Lock()
        self._values: dict[str, Counter[str | None]] = {
            name: Counter() for name in expectation.columns
        }
        self._probabilities: Counter[str | None] = Counter()
        self._refusals: Counter[tuple[str, str]] = Counter()

    def count(self, customers: Sequence[Mapping[str, Any]], probabilities: Iterable[float]) -> None:
        """Count customers that keep the contract, and the answers that they were given."""
        expectation = self._profile
        with self._lock:
            for name, expected in expectation.columns.items():
                bin_of = expected.bin_of
                self._values[name].update([bin_of(customer[name]) for customer in customers])
            self._probabilities.update(map(expectation.probabilities.bin_of, probabilities))

    def refuse(self, column: str, rule: str) -> None:
        """Count a value that was refused, with the rule that it broke."""
        known = column if column in self._profile.columns else OTHER_COLUMN
        with self._lock:
            self._refusals[known, rule] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted and what was expected, for Prometheus."""
        with self._lock:
            values = {name: dict(counts) for name, counts in self._values.items()}
            probabilities, refusals = dict(self._probabilities), dict(self._refusals)
        seen = CounterMetricFamily(
            "churn_input_values", "Values of customers, by bin", labels=(COLUMN, BIN)
        )
        nulls = CounterMetricFamily("churn_input_nulls", "Nulls of customers", labels=(COLUMN,))
        usual = GaugeMetricFamily(
            "churn_input_expected_ratio", "Share of a bin at training", labels=(COLUMN, BIN)
        )
        usual_nulls = GaugeMetricFamily(
            "churn_input_expected_null_ratio", "Share of nulls at training", labels=(COLUMN,)
        )
        for column, expected in self._profile.columns.items():
            for name, share in expected.shares():
                count = values[column].get(name, 0)
                if name is None:
                    nulls.add_metric((column,), count)
                    usual_nulls.add_metric((column,), share)
                else:
                    seen.add_metric((column, name), count)
                    usual.add_metric((column, name), share)
        yield from (seen, nulls, usual, usual_nulls)
        given = CounterMetricFamily("churn_probabilities", "Answers, by bin", labels=(BIN,))
        usual_answers = GaugeMetricFamily(
            "churn_probabilities_expected_ratio", "Share of a bin at training", labels=(BIN,)
        )
        for name, share in self._profile.probabilities.shares():
            if name is not None:
                given.add_metric((name,), probabilities.get(name, 0))
                usual_answers.add_metric((name,), share)
        yield from (given, usual_answers)
        refused = CounterMetricFamily(
            "churn_input_refusals", "Values that broke the contract", labels=(COLUMN, RULE)
        )
        for (column, rule), count in refusals.items():
            refused.add_metric((column, rule), count)
        yield refused
