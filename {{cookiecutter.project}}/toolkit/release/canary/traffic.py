"""The requests of a canary: how they are read from a server's log, and a replay that sends some."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .answers import numbers_in
from .verdict import Side

PATH = "/predict"
# A server answers in milliseconds; after this long a request counts as unanswered.
TIMEOUT_S = 5
THREADS = 8
SERVER_ERROR = 500
# Every answer names its release.
RELEASE_HEADER = "X-Release"


def side_of(lines: bytes) -> Side:
    """Return the requests in a server's log."""
    requests = list(requests_in(lines))
    return Side(tuple(ms for ms, _ in requests), sum(failed for _, failed in requests))


def requests_in(lines: bytes) -> Iterator[tuple[float, bool]]:
    """Yield milliseconds and failure of each request for a prediction in a server's log.

    A line is a JSON object; that of a request has ``event``, ``path``, ``status`` and ``ms``.
    """
    for line in lines.splitlines():
        try:
            entry = json.loads(line)
            if entry["event"] == "request" and entry["path"] == PATH:
                yield float(entry["ms"]), not 0 < int(entry["status"]) < SERVER_ERROR
        except (ValueError, TypeError, KeyError):
            continue  # not the line of a request


@dataclass(frozen=True)
class Reply:
    """The answer to one request.

    Parameters
    ----------
    release : str
        Of the server, or empty where the answer does not name it.
    status : int
    answer : object
        The content, parsed from JSON.
    """

    release: str
    status: int
    answer: Any


class Replay:
    """Replays requests for held-out customers, as an environment's clients send them.

    Every address gets the same requests at the same time. Each has a connection of its own, so that
    the kernel spreads those to an environment's own address evenly over its servers.

    Parameters
    ----------
    addresses : sequence of str
        ``http://host:port`` of each.
    requests : sequence
        The bodies, sent again and again.
    per_second : int

    `asked` counts the requests, and `failed` those answered with a server error.
    """

    def __init__(self, addresses: Sequence[str], requests: Sequence[Any], per_second: int) -> None:
        bodies = enumerate(json.dumps(one).encode() for one in requests)
        self._turns = itertools.cycle(itertools.product(bodies, addresses))
        self._pause_s = THREADS / per_second
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._unanswered: Counter[str] = Counter()
        self.asked = self.failed = 0
        self._answers: dict[tuple[str, int], list[float]] = {}

    def unanswered(self) -> Counter[str]:
        """Return how many requests to each address got no answer since this was called last."""
        with self._lock:
            count, self._unanswered = self._unanswered, Counter()
        return count

    def answers(self, release: str) -> list[float]:
        """Return the numbers in one release's answers, once for each body."""
        with self._lock:
            answers = [numbers for (one, _), numbers in self._answers.items() if one == release]
        return [number for numbers in answers for number in numbers]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send requests for as long as the context lasts."""
        threads = [
            threading.Thread(target=self._replay, args=(number,), daemon=True)
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _replay(self, number: int) -> None:
        due = time.monotonic() + self._pause_s * number / THREADS
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due += self._pause_s
            with self._lock:
                (which, body), address = next(self._turns)
                self.asked += 1
            try:
                reply = self.send(address, body)
                with self._lock:
                    self._answers[reply.release, which] = list(numbers_in(reply.answer))
                    self.failed += reply.status >= SERVER_ERROR
            except (OSError, ValueError, http.client.HTTPException):
                with self._lock:
                    self._unanswered[address] += 1

    def send(self, address: str, body: bytes) -> Reply:
        """Send one request; any exception means that there was no answer."""
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=TIMEOUT_S)
        try:
            headers = {"Content-Type": "application/json", "Connection": "close"}
            connection.request("POST", PATH, body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            return Reply(response.headers.get(RELEASE_HEADER, ""), response.status, answer)
        finally:
            connection.close()
