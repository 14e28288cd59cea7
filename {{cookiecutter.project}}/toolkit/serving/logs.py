"""The server's log: one JSON object a line, without any content of a request."""

import json
import logging
import time
import traceback
from typing import Any

# The key of `extra` under which a log call passes fields of its own.
FIELDS = "fields"


class JsonLines(logging.Formatter):
    """Formats a record as ``time``, ``level``, ``event`` and the call's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON; an exception is logged by its class and place.

        Its message is left out: it may quote the content of a request.
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
    """Send all logs of this process, also uvicorn's, to standard error in this format."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # A log that cannot be written, as on a full disk, must not fail the request.
    logging.raiseExceptions = False
