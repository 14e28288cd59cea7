"""A log line is one JSON object, and holds nothing that a customer has sent."""

import json
import logging
import sys
from typing import Any

from toolkit.serving.logs import FIELDS, JsonLines


def line(message: str, level: int = logging.INFO, **fields: Any) -> dict[str, Any]:
    """Return what is logged of one call."""
    record = logging.LogRecord("test", level, __file__, 1, message, None, sys.exc_info())
    setattr(record, FIELDS, fields)
    text = JsonLines().format(record)
    assert "\n" not in text
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_a_line_has_time_level_event_and_its_own_fields() -> None:
    said = line("two\nlines", logging.WARNING, request_id="a", status=200)
    assert said["time"].endswith("Z")
    del said["time"]
    assert said == {"level": "warning", "event": "two\nlines", "request_id": "a", "status": 200}


def test_an_exception_is_told_by_class_and_place_and_not_by_its_words() -> None:
    try:
        raise KeyError("what a customer has sent")
    except KeyError:
        said = line("it failed", logging.ERROR)
    assert said["error"] == "KeyError"
    assert said["at"][-1].endswith(
        "test_an_exception_is_told_by_class_and_place_and_not_by_its_words"
    )
    assert "customer has sent" not in json.dumps(said)
