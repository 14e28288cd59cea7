"""The real server on loopback: its responses, its errors, and a shutdown that loses no request."""

import hashlib
import http.client
import json
import operator
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from toolkit.data import contract as contracts
from toolkit.data import dataset as datasets
from toolkit.data import table
from toolkit.model import policy_file, training
from toolkit.release.canary.histogram import counts_in
from toolkit.reports import files as reports
from toolkit.serving.limits import MAX_BODY_BYTES
from toolkit.serving.prediction import MAX_ERRORS
from toolkit.tests import bundles, customers

ROOT = Path(__file__).parents[3]
MODULE = "toolkit.serving"
CUSTOMER = {"age": 40, "tenure_months": 3, "monthly_spend": 20.5, "plan type": "full"}
RECORD = {"version": "0123456789ab-01234567", "commit": "c" * 40, "digest": "sha256:" + "d" * 64}
START_S = 20.0
LOG = "server.log"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release's folder: trained model, contract, smoke cases and release record."""
    folder = tmp_path_factory.mktemp("bundle")
    contract = contracts.load(customers.write(folder, customers.make()))
    policy = policy_file.load(folder / "quality.toml", "toolkit.tests.example")
    dataset = datasets.from_table(table.read(contract), contract)
    trained = training.train(dataset, contract, policy.training)
    bundles.write(folder, contract, trained)
    reports.write_json(folder / "release.json", RECORD | {"created": "2026-11-24"})
    return folder


def start(
    bundle: Path,
    *listener: socket.socket,
    environment: Mapping[str, str] = os.environ,
    prefix: Sequence[str] = (),
) -> "subprocess.Popen[bytes]":
    """Start a server on listening sockets that it inherits; it logs into the bundle's folder."""
    fds = [one.fileno() for one in listener]
    arguments = [argument for fd in fds for argument in ("--fd", str(fd))]
    with (bundle / LOG).open("ab") as log:
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", MODULE, "--bundle", str(bundle), *arguments],
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
    """Yield a connection to the server of this socket."""
    host, port = listener.getsockname()
    with closing(http.client.HTTPConnection(host, port, timeout=START_S)) as connection:
        yield connection


def send(
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
    """Return the log once it contains this text: a request is logged after its response."""
    deadline = time.monotonic() + START_S
    while text not in (log := (bundle / LOG).read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, log
        time.sleep(0.01)
    return log


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what a busy machine takes longer for."""
    deadline = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[http.client.HTTPConnection]:
    """Yield a keep-alive connection to a running server."""
    with listening() as listener:
        process = start(bundle, listener)
        with connected(listener) as connection:
            # The socket already listens: the first request waits in its queue for the server.
            assert send(connection, "/ready")[0] == 200
            yield connection
        process.terminate()
        assert process.wait(START_S) == 0


def test_a_running_server_is_healthy_and_ready(server: http.client.HTTPConnection) -> None:
    assert send(server, "/health")[:2] == (200, {"status": "ok"})
    assert send(server, "/ready")[:2] == (200, {"status": "ready"})


def test_the_version_names_the_release_and_the_loaded_model(
    server: http.client.HTTPConnection, bundle: Path
) -> None:
    status, version, response = send(server, "/version")
    assert status == 200
    assert version == {
        "release": RECORD["version"],
        "commit": RECORD["commit"],
        "digest": RECORD["digest"],
        "model_sha256": hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest(),
    }
    assert response.headers["x-release"] == RECORD["version"]


def test_smoke_cases_get_the_predictions_of_the_training(
    server: http.client.HTTPConnection, bundle: Path
) -> None:
    cases = json.loads((bundle / "smoke.json").read_bytes())["cases"]
    for case in cases:
        assert send(server, "/predict", case["request"])[:2] == (200, case["response"])
    requests = [case["request"] for case in cases]
    responses = [case["response"] for case in cases]
    assert send(server, "/predict", requests)[:2] == (200, responses)


def test_predictions_for_a_large_list_are_in_its_order(server: http.client.HTTPConnection) -> None:
    many = [CUSTOMER | {"tenure_months": number % 60} for number in range(500)]
    status, answers, _ = send(server, "/predict", many)
    assert status == 200
    assert answers[:60] == answers[60:120]
    assert answers[7] == send(server, "/predict", many[7])[1]


def test_an_invalid_request_gets_field_value_rule_and_reason(
    server: http.client.HTTPConnection,
) -> None:
    status, answer, _ = send(server, "/predict", CUSTOMER | {"age": 7, "agee": 40})
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
    status, answer, _ = send(server, "/predict", [CUSTOMER, CUSTOMER | {"plan type": "gold"}])
    assert status == 422
    assert answer["detail"] == [
        {
            "field": "1.plan type",
            "value": "gold",
            "rule": "literal_error",
            "reason": "Input should be 'basic' or 'full'",
        }
    ]
    status, answer, _ = send(server, "/predict", b"{")
    assert status == 422
    assert answer["detail"][0]["field"] == "body"


def test_a_too_large_body_is_refused(server: http.client.HTTPConnection) -> None:
    status, answer, response = send(server, "/predict", b"[" + b" " * MAX_BODY_BYTES)
    assert status == 413
    assert str(MAX_BODY_BYTES) in answer["detail"]
    assert response.headers["connection"] == "close"


def test_of_many_errors_the_first_are_returned_with_their_number(
    server: http.client.HTTPConnection,
) -> None:
    status, answer, _ = send(server, "/predict", [CUSTOMER | {"age": 7}] * 500)
    assert (status, answer["count"], len(answer["detail"])) == (422, 500, MAX_ERRORS)


def test_each_request_is_logged_once_by_its_id_and_without_its_content(
    server: http.client.HTTPConnection, bundle: Path
) -> None:
    send(server, "/health")
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
    [logged_request] = [line for line in lines if line.get("request_id") == "of-a-client"]
    request = [logged_request[key] for key in ("method", "path", "status", "release")]
    assert request == ["POST", "/predict", 422, RECORD["version"]]
    assert 0 < logged_request["ms"] < START_S * 1000
    assert len([line for line in lines if line.get("request_id") == made]) == 1
    assert "77777" not in text
    # Successful probes are not logged.
    assert "/health" not in {line.get("path") for line in lines}


def test_metrics_count_requests_by_path_and_status(server: http.client.HTTPConnection) -> None:
    send(server, "/predict", b"{")
    send(server, "/no/such/path")
    status, text, _ = send(server, "/metrics")
    assert status == 200
    assert 'churn_requests_total{path="/predict",status="422"}' in text
    assert 'churn_requests_total{path="other",status="404"}' in text
    assert 'churn_request_seconds_bucket{le="0.001",path="/predict"}' in text
    assert "/no/such/path" not in text


def test_the_canary_reads_requests_and_latencies_from_these_metrics(
    server: http.client.HTTPConnection,
) -> None:
    before = counts_in(send(server, "/metrics")[1])
    for _ in range(3):
        send(server, "/predict", CUSTOMER)
    new = counts_in(send(server, "/metrics")[1]).since(before)
    assert (new.requests, new.errors) == (3, 0)
    assert all(0 < latency < START_S * 1000 for latency in new.latencies_ms)


def test_metrics_count_the_values_of_features(
    server: http.client.HTTPConnection,
) -> None:
    def counted() -> float:
        _, text, _ = send(server, "/metrics")
        metric = 'churn_input_values_total{bin="full",column="plan type"} '
        return next(
            float(line[len(metric) :]) for line in text.splitlines() if line.startswith(metric)
        )

    before = counted()
    send(server, "/predict", [CUSTOMER] * 5)
    assert counted() == before + 5


def test_the_documentation_shows_the_contract_and_its_examples_are_valid(
    server: http.client.HTTPConnection,
) -> None:
    _, document, _ = send(server, "/openapi.json")
    body = document["paths"]["/predict"]["post"]["requestBody"]
    one, many = body["content"]["application/json"]["schema"]["anyOf"]
    assert list(one["properties"]) == list(CUSTOMER)
    assert many["type"] == "array"
    for example in body["content"]["application/json"]["examples"].values():
        assert send(server, "/predict", example["value"])[0] == 200


def test_a_draining_server_is_not_ready_and_asks_clients_to_reconnect(bundle: Path) -> None:
    with listening() as listener, connected(listener) as connection:
        process = start(bundle, listener)
        assert send(connection, "/ready")[0] == 200
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)  # A second one does not shorten it.
        status, answer, response = send(connection, "/ready")
        assert (status, answer) == (503, {"status": "draining"})
        assert response.headers["connection"] == "close"
        assert process.wait(START_S) == 0


def test_a_draining_server_has_a_log_line_for_each_answer(bundle: Path) -> None:
    count = 500
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start(bundle, listener)
        with connected(listener) as connection:
            for number in range(count):
                headers = {"X-Request-ID": f"drained-{number}"}
                connection.request("POST", "/predict", json.dumps(CUSTOMER), headers)
                response = connection.getresponse()
                assert response.status == 200 and response.read()
        process.terminate()
        assert process.wait(START_S) == 0
    log = (bundle / LOG).read_text(encoding="utf-8").splitlines()
    names = [json.loads(line).get("request_id") for line in log if '"drained-' in line]
    assert names == [f"drained-{number}" for number in range(count)]


def test_a_server_of_a_canary_keeps_no_connection(bundle: Path) -> None:
    with listening() as listener, connected(listener) as connection:
        process = start(bundle, listener, environment=os.environ | {"CONNECTIONS": "close"})
        for _ in range(2):
            status, _, response = send(connection, "/predict", CUSTOMER)
            assert (status, response.headers["connection"]) == (200, "close")
        assert send(connection, "/ready")[0] == 200, "it is not draining"
        process.terminate()
        assert process.wait(START_S) == 0


def test_a_successor_takes_over_without_a_lost_request(bundle: Path) -> None:
    """Clients with keep-alive and with new connections send requests throughout the change."""
    lost: list[Exception] = []
    answered = [0, 0]
    done = threading.Event()

    with listening() as listener:

        def keep_sending(client: int, keeps_connection: bool) -> None:
            try:
                with connected(listener) as connection:
                    while not done.is_set():
                        status, _, _ = send(connection, "/predict", CUSTOMER)
                        assert status == 200
                        answered[client] += 1
                        time.sleep(0.002)  # Leaves the machine to the servers.
                        if not keeps_connection:
                            connection.close()
            except (OSError, http.client.HTTPException, AssertionError) as error:
                lost.append(error)

        old = start(bundle, listener)
        with connected(listener) as connection:
            assert send(connection, "/ready")[0] == 200
        clients = [
            threading.Thread(target=keep_sending, args=(client, keeps_connection))
            for client, keeps_connection in enumerate((True, False))
        ]
        for thread in clients:
            thread.start()
        new = start(bundle, listener)
        wait_until(lambda: min(answered) > 50 or bool(lost))
        old.terminate()
        assert old.wait(START_S) == 0
        after_the_change = list(answered)
        wait_until(lambda: bool(lost) or all(map(operator.gt, answered, after_the_change)))
        done.set()
        for thread in clients:
            thread.join(START_S)
        new.terminate()
        assert new.wait(START_S) == 0
    assert lost == []


@contextmanager
def serving(
    bundle: Path, listener: socket.socket, prefix: Sequence[str] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server for the duration of a test."""
    process = start(bundle, listener, prefix=prefix)
    try:
        with connected(listener) as connection:
            assert send(connection, "/ready")[0] == 200
        yield process
    finally:
        process.terminate()
        assert process.wait(START_S) == 0


def memory_mb(process: "subprocess.Popen[bytes]") -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def ask_a_few_times(listener: socket.socket) -> list[int]:
    """Return the statuses of predictions on new connections and on one that is kept."""
    statuses = []
    with connected(listener) as kept:
        for _ in range(20):
            statuses.append(send(kept, "/predict", CUSTOMER)[0])
            with connected(listener) as connection:
                statuses.append(send(connection, "/predict", CUSTOMER)[0])
    return statuses


def test_slow_clients_take_no_place_from_others_and_their_memory_comes_back(bundle: Path) -> None:
    sent = 100_000
    body = f"POST /predict HTTP/1.1\r\nContent-Length: {sent + 1}\r\n\r\n".encode() + b" " * sent
    header = b"POST /predict HTTP/1.1\r\nX: " + b"a" * 10_000
    with listening() as listener, serving(bundle, listener) as process:
        ask_a_few_times(listener)
        before = memory_mb(process)
        with ExitStack() as stack:
            for unfinished in [body, header] * 300:
                client = stack.enter_context(socket.create_connection(listener.getsockname()))
                client.sendall(unfinished)
            assert ask_a_few_times(listener) == [200] * 40
        deadline = time.monotonic() + START_S
        while memory_mb(process) > before + 10:
            assert time.monotonic() < deadline, (before, memory_mb(process))
            time.sleep(0.1)


def test_a_header_without_an_end_does_not_fill_the_memory(bundle: Path) -> None:
    with listening() as listener, serving(bundle, listener) as process:
        before = memory_mb(process)
        with socket.create_connection(listener.getsockname()) as client, suppress(OSError):
            client.sendall(b"GET / HTTP/1.1\r\nX: ")
            for _ in range(150):
                client.sendall(b"a" * 1_000_000)
        assert memory_mb(process) < before + 10
        assert ask_a_few_times(listener) == [200] * 40


def test_more_clients_than_a_process_may_open_files_take_no_place_from_others(
    bundle: Path,
) -> None:
    few_files = ("sh", "-c", 'ulimit -n 128 && exec "$0" "$@"')
    with listening() as listener, serving(bundle, listener, few_files), ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        assert ask_a_few_times(listener) == [200] * 40


def test_a_server_stores_no_telemetry(bundle: Path, tmp_path: Path) -> None:
    """ONNX Runtime would store an id of this machine for its telemetry."""
    with listening() as listener, connected(listener) as connection:
        environment = os.environ | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
        process = start(bundle, listener, environment=environment)
        assert send(connection, "/ready")[0] == 200
        process.terminate()
        assert process.wait(START_S) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_server_imports_no_training_code() -> None:
    code = f"import sys, {MODULE}; print(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"pandas", "pandera", "sklearn", "skl2onnx", "onnx"}.isdisjoint(done.stdout.split())
