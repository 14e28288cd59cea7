"""One way through everything: train, export, serve, and ask the server."""

import http.client
import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import reference as references
from toolkit.data import table
from toolkit.model import bundle, policy_file, training

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 60


def test_a_trained_model_answers_over_http(tmp_path: Path) -> None:
    contract = contracts.load(ROOT / "data" / "contract.toml")
    policy = policy_file.load(ROOT / "quality.toml", contract.package).training
    customers = datasets.from_table(table.read(contract), contract)
    few = customers.select(datasets.quick_rows(customers, policy.quick_rows))
    trained = training.train(few, contract, policy)
    bundle.write(tmp_path, trained, contract, references.load(contract))
    cases = json.loads((tmp_path / bundle.SMOKE_FILE).read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serve = (sys.executable, "-m", "toolkit.serving", "--bundle", str(tmp_path))
        server = subprocess.Popen(
            [*serve, "--fd", str(listener.fileno())],
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
            pass_fds=[listener.fileno()],
        )
        try:
            # The listening socket is open already: the first request waits until the server is up.
            answers = ask(listener.getsockname()[1], [case["request"] for case in cases["cases"]])
        finally:
            # Nobody else asks it: there is nothing to drain.
            server.kill()
            server.wait()
    for answer, case in zip(answers, cases["cases"], strict=True):
        expected = case["response"]["churn_probability"]
        assert answer["churn_probability"] == pytest.approx(expected, abs=cases["tolerance"])


def ask(port: int, customers: list[dict[str, object]]) -> list[dict[str, float]]:
    """Return the server's answers to a list of customers."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)) as connection:
        connection.request("POST", "/predict", json.dumps(customers))
        response = connection.getresponse()
        assert response.status == http.HTTPStatus.OK, response.read()
        answers: list[dict[str, float]] = json.loads(response.read())
    return answers
