"""Proves a server to itself: it must answer its bundle's smoke cases before it takes a connection.

A server that shares a listening socket with another gets customers as soon as it accepts, whatever
a supervisor or a probe thinks of it. So a wrong one must never accept.
"""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from starlette.types import ASGIApp

from ..agreement import agree
from ..errors import ConfigurationError
from ..model.predictor import SMOKE_FILE
from .prediction import PREDICT
from .in_memory import post

NEXT_STEP = "build the release again; this one must not serve"
NO_FILE = "copy the bundle's smoke.json beside model.onnx, as the template's Dockerfile does"


def prove(bundle: Path, app: ASGIApp) -> None:
    """Send a bundle's smoke cases through an application, as its clients would.

    Parameters
    ----------
    bundle
        A folder with ``smoke.json``: requests, the gated model's responses, and the tolerance
        between two numbers.
    app
        One of its own: its metrics count these requests.

    Raises
    ------
    ConfigurationError
        The file cannot be used, or has no case; or an answer is another.
    """
    path = bundle / SMOKE_FILE
    try:
        document = json.loads(path.read_bytes())
        tolerance = float(document["tolerance"])
        cases = [(case["request"], case["response"]) for case in document["cases"]]
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is missing", NO_FILE) from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(f"{path} cannot be used: {error!r}", NEXT_STEP) from None
    if not cases:
        raise ConfigurationError(f"{path} has no case", NEXT_STEP)
    for number, (request, expected) in enumerate(cases, start=1):
        with _unlogged():
            status, content = asyncio.run(post(app, json.dumps(request).encode()))
        # Where there is no response the application has failed; its log says where.
        answer = json.loads(content or b"null")
        if status != HTTPStatus.OK or not agree(answer, expected, tolerance):
            raise ConfigurationError(
                f"{PREDICT} answers smoke case {number} of {len(cases)} with {status} {answer}, "
                f"the gated model answered {expected}",
                NEXT_STEP,
            )


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep these requests from the log, which is about those of customers; not their errors."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
