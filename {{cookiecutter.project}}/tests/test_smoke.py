"""One way through everything: train, export, serve, and ask the server."""

import http.client
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import toolkit.__main__

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 60


def test_a_trained_model_answers_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    toolkit.__main__.main(["train", "--reports", str(tmp_path)])
    cases = json.loads((tmp_path / "model" / "smoke.json").read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serve = (sys.executable, "-m", "toolkit.serving", "--bundle", str(tmp_path / "model"))
        server = subprocess.Popen(
            [*serve, "--fd", str(listener.fileno())],
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
            pass_fds=[listener.fileno()],
        )
        try:
            # The listening socket is open already: the first request waits until the server is up.
            answers = ask(listener.getsockname()[1], [case["request"] for case in cases["cases"]])
        finally:
            server.terminate()
            server.wait()
    for answer, case in zip(answers, cases["cases"], strict=True):
        expected = case["response"]["churn_probability"]
        assert answer["churn_probability"] == pytest.approx(expected, abs=cases["tolerance"])


def ask(port: int, customers: list[dict[str, object]]) -> list[dict[str, float]]:
    """Return the server's answers to a list of customers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    connection.request("POST", "/predict", json.dumps(customers))
    response = connection.getresponse()
    assert response.status == http.HTTPStatus.OK, response.read()
    answers: list[dict[str, float]] = json.loads(response.read())
    return answers
