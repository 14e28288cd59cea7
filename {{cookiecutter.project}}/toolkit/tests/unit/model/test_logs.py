"""A log line is one JSON object without any content of a request."""

import json
import logging
import sys
from typing import Any

from toolkit.serving.logs import FIELDS, JsonLines


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
