"""The smoke test: is a server alive, is it this release, does it predict as the gated model?"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from ..agreement import agree
from .errors import NotServing, ReleaseFailed
from .records import Record

FILE_NAME = "smoke.json"
TIMEOUT_S = 5
# A server that has more requests than it can take is not a wrong one.
BUSY = 503


def ask_over_http(address: str, path: str, body: Any = None) -> Any:
    """Return a server's answer, parsed from JSON.

    `ReleaseFailed` if it answers with an error, `NotServing` if it is busy, or does not answer.
    """
    request = urllib.request.Request(
        address + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    # The address is one of release.toml's: a proxy of the environment must not come between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        kind = NotServing if error.code == BUSY else ReleaseFailed
        raise kind(f"{address}{path} answers {error.code}: {error.read(500)!r}") from None
    except (OSError, ValueError) as error:
        raise NotServing(f"{address}{path} does not answer: {error}") from None


def smoke(
    address: str, record: Record, recorded: bytes, ask: Callable[..., Any] = ask_over_http
) -> None:
    """Test one server against its release; `ReleaseFailed` says what is wrong.

    `NotServing` by itself: it does not answer.

    Parameters
    ----------
    address : str
        ``http://host:port`` of the server.
    record : Record
        The release that must serve there.
    recorded : bytes
        The bundle's ``smoke.json``: requests, the gated model's responses, and the tolerance
        between two numbers.
    ask : callable
        Sends a request, as `ask_over_http` does.
    """
    ask(address, "/health")
    version = ask(address, "/version")
    for key, expected in (
        ("release", record.version),
        ("digest", record.digest),
        ("model_sha256", record.model_sha256),
    ):
        found = version.get(key) if isinstance(version, dict) else None
        if found != expected:
            raise ReleaseFailed(
                f"{address}/version has the {key} {found!r}, the release {expected!r}"
            )
    document = json.loads(recorded)
    if not document["cases"]:
        raise NotServing("the release has no smoke case for /predict")
    for case in document["cases"]:
        answer = ask(address, "/predict", case["request"])
        if not agree(answer, case["response"], document["tolerance"]):
            raise ReleaseFailed(
                f"{address}/predict answers {answer}, the gated model {case['response']}"
            )
