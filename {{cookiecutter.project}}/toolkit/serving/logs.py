"""The server's log: one JSON object a line, and nothing in it that a customer has sent."""

import json
import logging
import time
import traceback
from typing import Any

# Under this name of `extra`, a log call hands over fields of its own.
FIELDS = "fields"


class JsonLines(logging.Formatter):
    """Formats a record as ``time``, ``level``, ``event`` and the call's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON; of an exception it tells the class and the place.

        An exception's message is left out: it may quote what a customer has sent.
        """
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
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


def set_up() -> None:
    """Send every log of this process, uvicorn's too, to standard error in this form."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # A log that cannot be written, on a full disk, must not fail the request that it tells of.
    logging.raiseExceptions = False
