"""Customers who never stop asking: they count every answer, and every answer that did not come."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

PAUSE_S = 0.002
TIMEOUT_S = 10


@dataclass
class Customers:
    """Two threads that ask ``/predict`` until told to stop: one keeps its connection, one never does.

    Parameters
    ----------
    address : str
        ``host:port``.
    customer : dict
        The body that is sent.

    `answers` counts the answers of each release, and `probabilities` keeps what they said.
    """

    address: str
    customer: dict[str, Any]
    answers: Counter[str] = field(default_factory=Counter)
    probabilities: dict[str, set[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(keep,), daemon=True) for keep in (True, False)
        ]

    def __enter__(self) -> Customers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def total(self) -> int:
        """How many requests were answered."""
        return sum(self.answers.values())

    def _ask(self, keeps_its_connection: bool) -> None:
        body = json.dumps(self.customer)
        headers = {"Content-Type": "application/json"}
        if not keeps_its_connection:
            headers["Connection"] = "close"
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/predict", body, headers)
                response = connection.getresponse()
                said = response.read()
                if response.status == 200 and "churn_probability" in json.loads(said):
                    release = response.headers["X-Release"]
                    self.answers[release] += 1
                    probability = json.loads(said)["churn_probability"]
                    self.probabilities.setdefault(release, set()).add(probability)
                else:
                    self.failures.append(f"{response.status}: {said[:200]!r}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(repr(error))
                connection.close()
            time.sleep(PAUSE_S)
        connection.close()
