"""A log line is one JSON object without any content of a request."""

import json
import logging
import sys
import threading
from io import StringIO
from typing import Any

import pytest

from toolkit.serving import logs
from toolkit.serving.logs import FIELDS, JsonLines, Lines


def line(message: str, level: int = logging.INFO, **fields: Any) -> dict[str, Any]:
    """Return the log line of one call."""
    record = logging.LogRecord("test", level, __file__, 1, message, None, sys.exc_info())
    setattr(record, FIELDS, fields)
    text = JsonLines().format(record)
    assert "\n" not in text
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_a_line_has_time_level_event_and_its_own_fields() -> None:
    logged = line("two\nlines", logging.WARNING, request_id="a", status=200)
    assert logged["time"].endswith("Z")
    del logged["time"]
    assert logged == {"level": "warning", "event": "two\nlines", "request_id": "a", "status": 200}


def test_an_exception_is_logged_by_class_and_place_without_its_message() -> None:
    try:
        raise KeyError("content of a request")
    except KeyError:
        logged = line("it failed", logging.ERROR)
    assert logged["error"] == "KeyError"
    assert logged["at"][-1].endswith(
        "test_an_exception_is_logged_by_class_and_place_without_its_message"
    )
    assert "content of a request" not in json.dumps(logged)


class Pipe(StringIO):
    """A stream that nobody reads until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.open = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.begun.set()
        assert self.open.wait(20)
        return super().write(text)


def test_who_logs_does_not_wait_for_a_full_pipe_and_no_line_is_lost() -> None:
    pipe = Pipe()
    lines = Lines(pipe)
    expected = [f"{number}\n" for number in range(1000)]
    lines.write(expected[0])
    assert pipe.begun.wait(20)
    for text in expected[1:]:
        lines.write(text)
    assert pipe.getvalue() == ""
    pipe.open.set()
    lines.flush()  # As at the end of the process.
    assert pipe.getvalue() == "".join(expected)


def test_lines_that_too_many_wait_before_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_WAITING", 3)
    pipe = Pipe()
    lines = Lines(pipe)
    lines.write("0\n")
    assert pipe.begun.wait(20)
    for number in range(1, 6):
        lines.write(f"{number}\n")
    pipe.open.set()
    lines.flush()
    *written, told = pipe.getvalue().splitlines()
    assert written == ["0", "1", "2", "3"]
    assert json.loads(told) == {"level": "error", "event": "log lines were dropped", "count": 2}


def test_a_stream_that_fails_costs_its_lines_and_nothing_else() -> None:
    closed = StringIO()
    closed.close()
    lines = Lines(closed)
    lines.write("lost\n")
    lines.flush()
