"""The real server on loopback: it answers, refuses plainly, and loses no request on its way out."""

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import table
from toolkit.model import policy_file, training
from toolkit.release.canary.histogram import counts_in
from toolkit.reports import files as reports
from toolkit.serving.api import MAX_BODY_BYTES, MAX_REFUSALS
from toolkit.tests import bundles, customers

ROOT = Path(__file__).parents[3]
MODULE = "toolkit.serving"
CUSTOMER = {"age": 40, "tenure_months": 3, "monthly_spend": 20.5, "plan type": "full"}
RECORD = {"version": "0123456789ab-01234567", "commit": "c" * 40, "digest": "sha256:" + "d" * 64}
START_S = 20.0
LOG = "server.log"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release's folder: a trained model, its contract, smoke cases, and the record."""
    folder = tmp_path_factory.mktemp("bundle")
    contract = contracts.load(customers.write(folder, customers.make()))
    policy = policy_file.load(folder / "quality.toml", "toolkit.tests.example")
    dataset = datasets.from_table(table.read(contract), contract)
    trained = training.train(dataset, contract, policy.training)
    bundles.lay_out(folder, contract, trained)
    reports.write_json(folder / "release.json", RECORD | {"created": "2026-11-24"})
    return folder


def start(
    bundle: Path, *listener: socket.socket, environment: Mapping[str, str] = os.environ
) -> "subprocess.Popen[bytes]":
    """Start a server on listening sockets that it inherits; it logs into the bundle's folder."""
    fds = [one.fileno() for one in listener]
    arguments = [argument for fd in fds for argument in ("--fd", str(fd))]
    with (bundle / LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", MODULE, "--bundle", str(bundle), *arguments],
            env={**environment, "PYTHONPATH": str(ROOT)},
            pass_fds=fds,
            stderr=log,
        )


@contextmanager
def listening() -> Iterator[socket.socket]:
    """Yield a listening socket on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@contextmanager
def connected(listener: socket.socket) -> Iterator[http.client.HTTPConnection]:
    """Yield a connection to whoever accepts on this socket."""
    host, port = listener.getsockname()
    with closing(http.client.HTTPConnection(host, port, timeout=START_S)) as connection:
        yield connection


def ask(
    connection: http.client.HTTPConnection, path: str, body: Any = None
) -> tuple[int, Any, http.client.HTTPResponse]:
    """Return status, JSON and response of a GET, or of a POST if there is a body."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, content)
    response = connection.getresponse()
    text = response.read()
    is_json = response.headers["content-type"] == "application/json"
    return response.status, json.loads(text) if is_json else text.decode(), response


def logged(bundle: Path, text: str) -> str:
    """Return the log as soon as this is in it: a request is logged after it is answered."""
    deadline = time.monotonic() + START_S
    while text not in (log := (bundle / LOG).read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, log
        time.sleep(0.01)
    return log


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[http.client.HTTPConnection]:
    """Yield a keep-alive connection to a running server."""
    with listening() as listener:
        process = start(bundle, listener)
        with connected(listener) as connection:
            # The socket listens already: the first request waits in its queue for the server.
            assert ask(connection, "/ready")[0] == 200
            yield connection
        process.terminate()
        assert process.wait(START_S) == 0


def test_health_and_readiness_are_answered(server: http.client.HTTPConnection) -> None:
    assert ask(server, "/health")[:2] == (200, {"status": "ok"})
    assert ask(server, "/ready")[:2] == (200, {"status": "ready"})


def test_a_release_says_which_it_is_and_which_model_it_loaded(
    server: http.client.HTTPConnection, bundle: Path
) -> None:
    status, version, response = ask(server, "/version")
    assert status == 200
    assert version == {
        "release": RECORD["version"],
        "commit": RECORD["commit"],
        "digest": RECORD["digest"],
        "model_sha256": hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest(),
    }
    assert response.headers["x-release"] == RECORD["version"]


def test_smoke_cases_are_answered_as_at_training(
    server: http.client.HTTPConnection, bundle: Path
) -> None:
    cases = json.loads((bundle / "smoke.json").read_bytes())["cases"]
    for case in cases:
        assert ask(server, "/predict", case["request"])[:2] == (200, case["response"])
    requests = [case["request"] for case in cases]
    responses = [case["response"] for case in cases]
    assert ask(server, "/predict", requests)[:2] == (200, responses)


def test_a_large_list_is_answered_in_its_order(server: http.client.HTTPConnection) -> None:
    many = [CUSTOMER | {"tenure_months": number % 60} for number in range(500)]
    status, answers, _ = ask(server, "/predict", many)
    assert status == 200
    assert answers[:60] == answers[60:120]
    assert answers[7] == ask(server, "/predict", many[7])[1]


def test_a_bad_request_is_told_field_value_rule_and_reason(
    server: http.client.HTTPConnection,
) -> None:
    status, answer, _ = ask(server, "/predict", CUSTOMER | {"age": 7, "agee": 40})
    assert status == 422
    assert answer == {
        "count": 2,
        "detail": [
            {
                "field": "age",
                "value": 7,
                "rule": "greater_than_equal",
                "reason": "Input should be greater than or equal to 18",
            },
            {
                "field": "agee",
                "value": 40,
                "rule": "extra_forbidden",
                "reason": "Extra inputs are not permitted",
            },
        ],
    }
    status, answer, _ = ask(server, "/predict", [CUSTOMER, CUSTOMER | {"plan type": "gold"}])
    assert status == 422
    assert answer["detail"] == [
        {
            "field": "1.plan type",
            "value": "gold",
            "rule": "literal_error",
            "reason": "Input should be 'basic' or 'full'",
        }
    ]
    status, answer, _ = ask(server, "/predict", b"{")
    assert status == 422
    assert answer["detail"][0]["field"] == "body"


def test_a_body_that_is_too_large_is_refused(server: http.client.HTTPConnection) -> None:
    status, answer, response = ask(server, "/predict", b"[" + b" " * MAX_BODY_BYTES)
    assert status == 413
    assert str(MAX_BODY_BYTES) in answer["detail"]
    assert response.headers["connection"] == "close"


def test_a_request_that_breaks_many_rules_is_told_the_first_and_how_many(
    server: http.client.HTTPConnection,
) -> None:
    status, answer, _ = ask(server, "/predict", [CUSTOMER | {"age": 7}] * 500)
    assert (status, answer["count"], len(answer["detail"])) == (422, 500, MAX_REFUSALS)


def test_each_request_is_logged_once_by_its_id_and_without_the_customer(
    server: http.client.HTTPConnection, bundle: Path
) -> None:
    ask(server, "/health")
    server.request(
        "POST", "/predict", json.dumps(CUSTOMER | {"age": 77777}), {"X-Request-ID": "of-a-client"}
    )
    response = server.getresponse()
    response.read()
    assert response.headers["x-request-id"] == "of-a-client"
    server.request("POST", "/predict", b"{", {"X-Request-ID": "two words"})
    response = server.getresponse()
    response.read()
    made = response.headers["x-request-id"]
    assert made != "two words"
    text = logged(bundle, made)
    lines = [json.loads(line) for line in text.splitlines()]
    [told] = [line for line in lines if line.get("request_id") == "of-a-client"]
    assert (told["method"], told["path"], told["status"]) == ("POST", "/predict", 422)
    assert told["release"] == RECORD["version"]
    assert 0 < told["ms"] < START_S * 1000
    assert len([line for line in lines if line.get("request_id") == made]) == 1
    assert "77777" not in text
    # Probes are many, and all alike.
    assert "/health" not in {line.get("path") for line in lines}


def test_metrics_count_requests_by_path_and_status(server: http.client.HTTPConnection) -> None:
    ask(server, "/predict", b"{")
    ask(server, "/no/such/path")
    status, text, _ = ask(server, "/metrics")
    assert status == 200
    assert 'churn_requests_total{path="/predict",status="422"}' in text
    assert 'churn_requests_total{path="other",status="404"}' in text
    assert 'churn_request_seconds_bucket{le="0.001",path="/predict"}' in text
    assert "/no/such/path" not in text


def test_a_canary_is_judged_by_what_these_metrics_count(server: http.client.HTTPConnection) -> None:
    before = counts_in(ask(server, "/metrics")[1])
    for _ in range(3):
        ask(server, "/predict", CUSTOMER)
    came = counts_in(ask(server, "/metrics")[1]).since(before)
    assert (came.requests, came.errors) == (3, 0)
    assert all(0 < latency < START_S * 1000 for latency in came.latencies_ms)


def test_metrics_count_customers_by_what_they_look_like(
    server: http.client.HTTPConnection,
) -> None:
    def counted() -> float:
        _, text, _ = ask(server, "/metrics")
        found = 'churn_input_values_total{bin="full",column="plan type"} '
        return next(
            float(line[len(found) :]) for line in text.splitlines() if line.startswith(found)
        )

    before = counted()
    ask(server, "/predict", [CUSTOMER] * 5)
    assert counted() == before + 5


def test_the_documentation_shows_the_contract_and_its_examples_are_answered(
    server: http.client.HTTPConnection,
) -> None:
    _, document, _ = ask(server, "/openapi.json")
    body = document["paths"]["/predict"]["post"]["requestBody"]
    one, many = body["content"]["application/json"]["schema"]["anyOf"]
    assert list(one["properties"]) == list(CUSTOMER)
    assert many["type"] == "array"
    for example in body["content"]["application/json"]["examples"].values():
        assert ask(server, "/predict", example["value"])[0] == 200


def test_a_draining_server_says_so_and_asks_to_connect_anew(bundle: Path) -> None:
    with listening() as listener, connected(listener) as connection:
        process = start(bundle, listener)
        assert ask(connection, "/ready")[0] == 200
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)  # A second one does not hurry it.
        status, answer, response = ask(connection, "/ready")
        assert (status, answer) == (503, {"status": "draining"})
        assert response.headers["connection"] == "close"
        assert process.wait(START_S) == 0


def test_a_successor_takes_over_without_a_lost_request(bundle: Path) -> None:
    """Keep-alive and new connections never stop asking while one server follows another."""
    lost: list[Exception] = []
    answered = [0, 0]
    done = threading.Event()

    with listening() as listener:

        def keep_asking(client: int, keeps_connection: bool) -> None:
            try:
                with connected(listener) as connection:
                    while not done.is_set():
                        status, _, _ = ask(connection, "/predict", CUSTOMER)
                        assert status == 200
                        answered[client] += 1
                        time.sleep(0.002)  # Leaves the machine to the servers.
                        if not keeps_connection:
                            connection.close()
            except (OSError, http.client.HTTPException, AssertionError) as error:
                lost.append(error)

        old = start(bundle, listener)
        with connected(listener) as connection:
            assert ask(connection, "/ready")[0] == 200
        clients = [
            threading.Thread(target=keep_asking, args=(client, keeps_connection))
            for client, keeps_connection in enumerate((True, False))
        ]
        for thread in clients:
            thread.start()
        new = start(bundle, listener)
        time.sleep(1.0)
        old.terminate()
        assert old.wait(START_S) == 0
        after_the_change = list(answered)
        time.sleep(0.3)
        done.set()
        for thread in clients:
            thread.join(START_S)
        new.terminate()
        assert new.wait(START_S) == 0
    assert lost == []
    assert min(after_the_change) > 50
    assert all(end > begin for begin, end in zip(after_the_change, answered, strict=True))


def test_a_server_says_nothing_to_anybody_about_itself(bundle: Path, tmp_path: Path) -> None:
    """ONNX Runtime would keep an id of this machine in a folder, to report under it."""
    with listening() as listener, connected(listener) as connection:
        environment = os.environ | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
        process = start(bundle, listener, environment=environment)
        assert ask(connection, "/ready")[0] == 200
        process.terminate()
        assert process.wait(START_S) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_server_imports_nothing_that_trains() -> None:
    code = f"import sys, {MODULE}; print(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"pandas", "pandera", "sklearn", "skl2onnx", "onnx"}.isdisjoint(done.stdout.split())
