"""The requests of a canary: how they are read from a server's log, and a replay that sends some."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .answers import numbers_in
from .verdict import Side

PATH = "/predict"
# A server answers in milliseconds; who waits longer than this has not been answered.
TIMEOUT_S = 5
THREADS = 8
SERVER_ERROR = 500
# Every answer names the release that it is from.
RELEASE_HEADER = "X-Release"


def side_of(lines: bytes) -> Side:
    """Return the requests that stand in a server's log."""
    told = list(requests_in(lines))
    return Side(tuple(ms for ms, _ in told), sum(failed for _, failed in told))


def requests_in(lines: bytes) -> Iterator[tuple[float, bool]]:
    """Yield milliseconds and failure of each request for a prediction in a server's log.

    A server writes one JSON object a line: of a request ``event``, ``path``, ``status`` and ``ms``.
    """
    for line in lines.splitlines():
        try:
            told = json.loads(line)
            if told["event"] == "request" and told["path"] == PATH:
                yield float(told["ms"]), not 0 < int(told["status"]) < SERVER_ERROR
        except (ValueError, TypeError, KeyError):
            continue  # another line than a request's: a warning, say


@dataclass(frozen=True)
class Reply:
    """What a customer was answered.

    Parameters
    ----------
    release : str
        Which release it was, or empty where that is not told.
    status : int
    answer : object
        What stood in the JSON.
    """

    release: str
    status: int
    answer: Any


class Replay:
    """Asks an environment about held-out customers, as its own customers would.

    Every request is a connection of its own, so that the kernel spreads them evenly over the
    servers; each server is asked what the other is, at the same time.

    Parameters
    ----------
    endpoint : str
        ``http://host:port`` of the environment.
    requests : sequence
        The bodies, asked again and again.
    per_second : int

    `asked` counts the requests, and `failed` those that were answered with a server error.
    """

    def __init__(self, endpoint: str, requests: Sequence[Any], per_second: int) -> None:
        self._endpoint = endpoint
        self._bodies = itertools.cycle(enumerate(json.dumps(one).encode() for one in requests))
        self._pause_s = THREADS / per_second
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._unanswered = 0
        self.asked = self.failed = 0
        self._answers: dict[tuple[str, int], list[float]] = {}

    def unanswered(self) -> int:
        """Return how many requests got no answer since this was asked last."""
        with self._lock:
            count, self._unanswered = self._unanswered, 0
        return count

    def answers(self, release: str) -> list[float]:
        """Return the numbers that one release has answered with, once for each body."""
        with self._lock:
            told = [numbers for (one, _), numbers in self._answers.items() if one == release]
        return [number for numbers in told for number in numbers]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask for as long as the context lasts."""
        threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True)
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

    def _ask(self, number: int) -> None:
        due = time.monotonic() + self._pause_s * number / THREADS
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due += self._pause_s
            with self._lock:
                which, body = next(self._bodies)
                self.asked += 1
            try:
                reply = self.send(body)
                with self._lock:
                    self._answers[reply.release, which] = list(numbers_in(reply.answer))
                    self.failed += reply.status >= SERVER_ERROR
            except (OSError, ValueError, http.client.HTTPException):
                with self._lock:
                    self._unanswered += 1

    def send(self, body: bytes) -> Reply:
        """Ask about one customer; whatever this raises, there was no answer."""
        connection = http.client.HTTPConnection(
            self._endpoint.removeprefix("http://"), timeout=TIMEOUT_S
        )
        try:
            headers = {"Content-Type": "application/json", "Connection": "close"}
            connection.request("POST", PATH, body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            return Reply(response.headers.get(RELEASE_HEADER, ""), response.status, answer)
        finally:
            connection.close()
