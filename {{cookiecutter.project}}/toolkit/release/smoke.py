"""The smoke test: is a server alive, is it this release, does it answer as the gated model did?"""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from .errors import NotServing
from .records import Record

FILE_NAME = "smoke.json"
TIMEOUT_S = 5


def ask_over_http(address: str, path: str, body: Any = None) -> Any:
    """Return the JSON that a server answers; `NotServing` when it does not."""
    request = urllib.request.Request(
        address + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    # Only what release.toml names is asked, so a proxy of the environment must not come between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        raise NotServing(f"{address}{path} answers {error.code}: {error.read(500)!r}") from None
    except (OSError, ValueError) as error:
        raise NotServing(f"{address}{path} does not answer: {error}") from None


def smoke(
    address: str, record: Record, recorded: bytes, ask: Callable[..., Any] = ask_over_http
) -> None:
    """Hold one server against its release; `NotServing` says what is wrong.

    Parameters
    ----------
    address : str
        ``http://host:port`` of the server.
    record : Record
        The release that must serve there.
    recorded : bytes
        The bundle's ``smoke.json``: requests, the responses that the gated model gave, and the
        tolerance between two numbers.
    ask : callable
        How the server is reached: as `ask_over_http` does, or in another way.
    """
    ask(address, "/health")
    version = ask(address, "/version")
    for key, expected in (
        ("release", record.version),
        ("digest", record.digest),
        ("model_sha256", record.model_sha256),
    ):
        said = version.get(key) if isinstance(version, dict) else None
        if said != expected:
            raise NotServing(f"{address}/version says {key} {said!r}, the release is {expected!r}")
    document = json.loads(recorded)
    if not document["cases"]:
        raise NotServing("the release has no smoke case to ask /predict about")
    for case in document["cases"]:
        answer = ask(address, "/predict", case["request"])
        if not agree(answer, case["response"], document["tolerance"]):
            raise NotServing(
                f"{address}/predict answers {answer}, the gated model said {case['response']}"
            )


def agree(answer: Any, expected: Any, tolerance: float) -> bool:
    """Tell whether two JSON values are the same, numbers within a tolerance.

    Examples
    --------
    >>> agree({"p": 0.5000001}, {"p": 0.5}, 1e-5), agree({"p": None}, {"p": 0.5}, 1e-5)
    (True, False)
    """
    if isinstance(expected, Mapping):
        return (
            isinstance(answer, Mapping)
            and answer.keys() == expected.keys()
            and all(agree(answer[key], expected[key], tolerance) for key in expected)
        )
    if isinstance(expected, float):
        return isinstance(answer, int | float) and math.isclose(
            answer, expected, rel_tol=0, abs_tol=tolerance
        )
    return bool(answer == expected)
