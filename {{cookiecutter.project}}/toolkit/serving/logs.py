"""The server's log: one JSON object a line, without any content of a request."""

import collections
import json
import logging
import sys
import threading
import time
import traceback
from contextlib import suppress
from functools import lru_cache
from typing import Any, TextIO

# The key of `extra` under which a log call passes fields of its own.
FIELDS = "fields"
# Some 30 MB. Where as many wait, nobody has read for minutes.
MOST_WAITING = 100_000
# Each time that the thread wakes, the event loop waits for it.
PAUSE_S = 0.1


class JsonLines(logging.Formatter):
    """Formats a record as ``time``, ``level``, ``event`` and the call's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON; an exception is logged by its class and place.

        Its message is left out: it may quote the content of a request.
        """
        line: dict[str, Any] = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            line["at"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line)


class Lines(logging.Handler):
    """Writes lines in a thread of its own: who logs never waits for a full pipe or a slow disk.

    The thread writes at once, and all that has come meanwhile in one call.

    Parameters
    ----------
    stream : file
        Where the lines go; one that fails loses them, and nothing else.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self._stream = stream
        self._waiting: collections.deque[str] = collections.deque()
        self._new = threading.Event()
        self._dropped = 0
        self._writing = threading.Lock()
        threading.Thread(target=self._write_for_ever, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as a line."""
        self.write(self.format(record) + "\n")

    def write(self, line: str) -> None:
        """Let the thread write a line; where too many wait, count it instead."""
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(line)
        if not self._new.is_set():
            self._new.set()

    def flush(self) -> None:
        """Write what waits; called at the end of the process too."""
        with self._writing:
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if self._dropped:
                fields = {"event": "log lines were dropped", "count": self._dropped}
                self._dropped = 0
                lines.append(json.dumps({"level": "error", **fields}) + "\n")
            with suppress(OSError, ValueError):
                self._stream.write("".join(lines))
                self._stream.flush()

    def _write_for_ever(self) -> None:
        while True:
            self._new.wait()
            time.sleep(PAUSE_S)
            self._new.clear()
            self.flush()


def set_up() -> Lines:
    """Send all logs of this process, also uvicorn's, to standard error in this format."""
    lines = Lines(sys.stderr)
    logging.basicConfig(handlers=[lines], level=logging.INFO, force=True)
    # A line names none of them, and each is looked up for every line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    return lines


def nowhere(line: str) -> None:
    """Write no line."""


def timestamp(seconds: float) -> str:
    """Return a time, in seconds since 1970, as ISO 8601 in UTC, to the millisecond."""
    return f"{_second(int(seconds))}.{int(seconds % 1 * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
