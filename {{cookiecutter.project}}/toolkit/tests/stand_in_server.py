"""A server without a model: its model file names its faults.

The release machine starts servers with ``--bundle DIR --fd N --fd M`` and drains them with SIGTERM;
in a cluster they get a ``--port``. This one needs the standard library only, so that the
machine can be tested without installing anything.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import os
import random
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PROBABILITY = 0.25
# The second does not prove itself first, as servers of an earlier version do not.
WRONG = (b"proven wrong", b"wrong predictions")
# How long an answer takes, by what the model's name begins with.
DELAYS_S = {b"steady": 0.02, b"slower": 0.2, b"unlucky": 0.02}
UNLUCKY_S = 0.2
STARTED, BREAKS_S = time.monotonic(), 3


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for the bundle that `main` has read."""

    protocol_version = "HTTP/1.1"
    record: dict[str, Any] = {}
    model = b""
    # Of a server that is slow for what the system does with it.
    slow_s = 0.0
    # Seconds and status of every prediction.
    predictions: list[tuple[float, int]] = []

    def answer(self, status: int, document: object) -> None:
        """Send one JSON document."""
        self.send(status, json.dumps(document).encode())

    def send(self, status: int, body: bytes) -> None:
        """Answer, and end the connection: nothing is in flight when it drains."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.send_header("X-Release", self.record["version"])
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Answer /health, /ready, /version and /metrics."""
        if self.path == "/ready":
            self.answer(503 if self.model == b"never ready" else 200, {})
        elif self.path == "/version":
            digest = "sha256:another" if self.model == b"wrong version" else self.record["digest"]
            sha = hashlib.sha256(self.model).hexdigest()
            self.answer(
                200,
                {"release": self.record["version"], "digest": digest, "model_sha256": sha},
            )
        elif self.path == "/metrics":
            self.send(200, metrics([*self.predictions]).encode())
        else:
            self.answer(200, {"status": "alive"})

    def do_POST(self) -> None:
        """Answer /predict, and log it as the real server does."""
        began = time.perf_counter()
        self.read()
        for name, seconds in DELAYS_S.items():
            if self.model.startswith(name):
                time.sleep((self.slow_s or seconds) * random.lognormvariate(0, 0.3))
        broken = self.model.startswith(b"breaks later") and time.monotonic() > STARTED + BREAKS_S
        status = 500 if broken else 200
        self.answer(status, prediction(self.model))
        milliseconds = (time.perf_counter() - began) * 1000
        self.predictions.append((milliseconds / 1000, status))
        entry = {"event": "request", "path": self.path, "status": status, "ms": milliseconds}
        print(json.dumps(entry), file=sys.stderr, flush=True)

    def read(self) -> None:
        """Read the body, in whichever way it comes: kubectl sends chunks."""
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            self.rfile.read(int(self.headers["Content-Length"]))
            return
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep the log for what goes wrong."""


def prediction(model: bytes) -> dict[str, float]:
    """Return what a model answers."""
    return {"churn_probability": 0.9 if model in WRONG else PROBABILITY}


def prove(bundle: Path, model: bytes) -> None:
    """End where an answer is not the gated model's, as the real server does before it listens."""
    for case in json.loads((bundle / "smoke.json").read_bytes())["cases"]:
        if prediction(model) != case["response"]:
            sys.exit(f"/predict answers {prediction(model)}, the gated model {case['response']}")


def metrics(predictions: list[tuple[float, int]]) -> str:
    """Return the metrics that the real server has of its predictions."""
    lines = []
    for bound in [0.0005 * 10 ** (step / 10) for step in range(38)] + [float("inf")]:
        le = "+Inf" if bound == float("inf") else f"{bound:.6g}"
        labels = "{" + f'le="{le}",path="/predict"' + "}"
        within = sum(seconds <= bound for seconds, _ in predictions)
        lines.append(f"churn_request_seconds_bucket{labels} {within}")
    for answered in sorted({status for _, status in predictions}):
        labels = "{" + f'path="/predict",status="{answered}"' + "}"
        count = sum(status == answered for _, status in predictions)
        lines.append(f"churn_requests_total{labels} {count}")
    return "\n".join(lines) + "\n"


def suffer(model: bytes) -> None:
    """Suffer the fault of a model ``while|FILE|FAULT``, as long as that file exists.

    A fault is ``exit CODE TEXT``, ``signal NUMBER`` or ``hang``.
    """
    kind, _, rest = model.decode("utf-8", "replace").partition("|")
    path, _, fault = rest.partition("|")
    if kind != "while" or not Path(path).exists():
        return
    verb, _, details = fault.partition(" ")
    if verb == "hang":
        time.sleep(60)
    elif verb == "signal":
        os.kill(os.getpid(), int(details))
    else:
        code, _, text = details.partition(" ")
        print(text, file=sys.stderr, flush=True)
        sys.exit(int(code))


def be_unlucky(model: bytes) -> None:
    """Be slow as the first server of a model ``unlucky|FILE``, which makes that file."""
    kind, _, path = model.decode("utf-8", "replace").partition("|")
    if kind == "unlucky":
        with suppress(FileExistsError):
            Path(path).open("x").close()
            Handler.slow_s = UNLUCKY_S


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--fd", type=int, action="append", default=[])
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    Handler.record = json.loads((options.bundle / "release.json").read_bytes())
    Handler.model = (options.bundle / "model.onnx").read_bytes()
    if Handler.model == b"crash at start":
        sys.exit("this model crashes at start")
    suffer(Handler.model)
    be_unlucky(Handler.model)
    if Handler.model.startswith(b"proven"):
        prove(options.bundle, Handler.model)
    listeners = [socket.socket(fileno=number) for number in options.fd]
    if options.port:
        listeners.append(socket.create_server(("", options.port), backlog=128))
    ended, end = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(end, b"."))
    while True:
        ready = select.select([*(listener.fileno() for listener in listeners), ended], [], [])[0]
        if ended in ready:
            break
        for listener in (listener for listener in listeners if listener.fileno() in ready):
            try:
                listener.setblocking(False)
                connection, address = listener.accept()
            except BlockingIOError:
                continue  # the other worker on this socket was faster
            connection.setblocking(True)
            threading.Thread(target=Handler, args=(connection, address, None)).start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
