"""How fast the server is, against three others that serve the same scikit-learn pipeline on a frame.

    nox -s benchmark_serving

All of them are asked on this machine, one after another, one worker and one thread each, with the
`wrk` of Debian's package of that name. None is measured before its answers are those of the
pipeline. After that the server is asked for more than it lets in, and about every customer of the
sample and, where that table is beside this checkout, of Telco's.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from benchmarks.contenders import (
    HOST,
    Contender,
    OnFrames,
    Request,
    derive,
    others,
    this_server,
)
from benchmarks.machine import machine
from benchmarks.model_wing import Repository
from demo.repository import FOREIGN, TEMPLATE, free_ports

TELCO = TEMPLATE.parent / "shared" / "data" / "telco_customer_churn.csv"
STARTS = 3
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 15
ANSWER_TIMEOUT_S = 30
POLL_S = 0.005
WARM_UP_S = 1
SECONDS = 5
CONNECTIONS = (1, 16)
BATCH = 1000
# A server's processes inherit it; some begin sessions of their own, and some outlive their parent.
MARK = "CHURN_BENCHMARK"
OVERLOAD = 4  # times as many connections as the server lets requests in

LOAD = """
function init(args)
  local file = io.open(args[1], "rb")
  wrk.method, wrk.body = "POST", file:read("*a")
  wrk.headers["Content-Type"] = "application/json"
  file:close()
end

local threads = {}
function setup(thread) table.insert(threads, thread) end

function done(summary, latency, requests)
  local told, busy = summary.errors, threads[1]:get("busy") or 0
  local lost = told.connect + told.read + told.write + told.timeout
  local form = '{"answers": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, '
  form = form .. '"refused": %d, "busy": %d, "lost": %d}\\n'
  local p50, p99 = latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  local seconds = summary.duration / 1e6
  io.write(string.format(form, summary.requests, seconds, p50, p99, told.status, busy, lost))
end
"""
# Looking at every answer slows wrk: only where there are different ones.
LOAD_WITH_REFUSALS = f"""{LOAD}
busy = 0
function response(status, headers, body) if status == 503 then busy = busy + 1 end end
"""


@dataclass(frozen=True)
class Load:
    """What wrk tells: `refused` are answers of 400 and more, `busy` those of them that are 503."""

    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    busy: int
    lost: int

    @property
    def per_s(self) -> float:
        """Answers in a second."""
        return self.answers / self.seconds


class Running:
    """A server that was started.

    Parameters
    ----------
    workspace : pathlib.Path
        Where it logs to, and where what it is sent is written for wrk.
    """

    def __init__(self, contender: Contender, repository: Path, workspace: Path) -> None:
        self._contender = contender
        self.say = contender.say
        self._workspace = workspace
        [self._port] = free_ports(1)
        command = [part.replace("PORT", str(self._port)) for part in contender.command]
        with (workspace / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=repository,
                env=environment(repository, Path(command[0]).parent)
                | contender.environment
                | {MARK: str(workspace)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ask(self, customers: list[Request]) -> tuple[int, Any]:
        """Return the status and what was answered."""
        path, body = self._contender.ask(customers)
        connection = http.client.HTTPConnection(HOST, self._port, timeout=ANSWER_TIMEOUT_S)
        headers = {"Content-Type": "application/json"}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or "null")
        finally:
            connection.close()

    def wait(self, customers: list[Request]) -> list[float]:
        """Return what it says of customers as soon as it answers."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError, http.client.HTTPException, ValueError):
                status, said = self.ask(customers)
                if status == 200:
                    return self.say(said)
            time.sleep(POLL_S)
        log = (self._workspace / "server.log").read_text("utf-8", "replace")
        sys.exit(f"{self._process.args!r} does not answer:\n{log[-5000:]}")

    def load(
        self, customers: list[Request], connections: int, seconds: int, script: str = LOAD
    ) -> Load:
        """Ask with wrk, on some connections, again as soon as there is an answer."""
        path, body = self._contender.ask(customers)
        sent, lua = self._workspace / "body.json", self._workspace / "load.lua"
        sent.write_text(json.dumps(body), encoding="utf-8")
        lua.write_text(script, encoding="utf-8")
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(lua)]
        done = subprocess.run(
            [*command, f"http://{HOST}:{self._port}{path}", "--", str(sent)],
            check=True,
            capture_output=True,
            text=True,
            timeout=seconds + ANSWER_TIMEOUT_S,
        )
        return Load(**json.loads(done.stdout.splitlines()[-1]))

    def memory_mb(self) -> float:
        """Return what its processes hold of memory, together, in MB."""
        kib = 0
        for process in self._processes():
            for line in (process / "status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmRSS:"):
                    kib += int(line.split()[1])
        return kib * 1024 / 1e6

    def stop(self) -> None:
        """End it, and whatever it has started."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)

    def _processes(self) -> list[Path]:
        """Return the folders below /proc of its processes, whoever has started them."""
        mark = f"{MARK}={self._workspace}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(process)
            except OSError:  # It has ended, or is somebody else's.
                continue
        return found


class Model:
    """A repository's trained model, and the scikit-learn pipeline that it was made from."""

    def __init__(self, repository: Repository) -> None:
        self.folder = repository.folder
        run([sys.executable, "-m", "churn_model", "train"], self.folder)
        contract = repository.module("contract").load(self.folder / "data" / "contract.toml")
        policy = repository.module("policy_file").load(self.folder / "quality.toml").training
        dataset = repository.module("dataset")
        training = repository.module("training")
        data = dataset.from_table(repository.module("table").read(contract), contract)
        features = repository.module("features").Features(contract)
        matrix = features.matrix(data.columns)
        known = ~dataset.is_held_out(data, policy.holdout_share)
        pipeline = training.fit(matrix[known], data.labels[known], policy)
        self.on_frames = on_frames(contract, features, pipeline, pd.DataFrame(data.columns))
        self.customers: list[Request] = training.as_requests(data, contract)
        self.expected: np.ndarray = pipeline.predict_proba(matrix)[:, 1]
        self.tolerance: float = repository.module("export").TOLERANCE

    def require_answers(self, server: Running, count: int) -> None:
        """End the benchmark unless a server says of the first customers what the pipeline does."""
        said, expected = server.wait(self.customers[:count]), self.expected[:count]
        if len(said) != count or not np.max(np.abs(said - expected)) <= self.tolerance:
            sys.exit(f"the pipeline says {expected[:3]}..., and a server {said[:3]}...")

    @contextmanager
    def served_by(self, contender: Contender) -> Iterator[tuple[Running, float]]:
        """Start a server and yield it with the seconds until it has answered the first customer."""
        with tempfile.TemporaryDirectory() as workspace:
            began = time.monotonic()
            server = Running(contender, self.folder, Path(workspace))
            try:
                self.require_answers(server, 1)
                yield server, time.monotonic() - began
            finally:
                server.stop()


def on_frames(contract: Any, features: Any, pipeline: Any, frame: pd.DataFrame) -> OnFrames:
    """Return the same model as people serve it: scikit-learn's own steps on a frame's columns."""
    numbers = [column.name for column in contract.features if column.is_numeric]
    categories = {
        column.name: list(column.categories)
        for column in contract.features
        if not column.is_numeric
    }
    one_hot = OneHotEncoder(
        categories=list(categories.values()), sparse_output=False, handle_unknown="ignore"
    )
    steps = [("numbers", "passthrough", numbers), ("categories", one_hot, list(categories))]
    if features.derived(frame):
        steps.append(("derived", FunctionTransformer(partial(derive, features)), numbers))
    columns = ColumnTransformer(steps).fit(frame)
    # The precision that the model was trained in: else a value at a threshold may fall beyond it.
    single = FunctionTransformer(partial(np.asarray, dtype=np.float32))
    return OnFrames(make_pipeline(columns, single, pipeline), numbers, list(categories))


@dataclass(frozen=True)
class Measured:
    """A row of the table: seconds to the first answer, MB, and the loads."""

    start_s: float
    memory_mb: float
    single: tuple[Load, ...]
    batch: Load


def environment(repository: Path, programs: Path) -> dict[str, str]:
    """Return the environment variables of a process that uses the repository's package."""
    # Without its bytecode a server compiles itself anew at every start.
    foreign = (*FOREIGN, "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    return kept | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{repository / 'src'}{os.pathsep}{TEMPLATE}",
        # One worker, one thread: while wrk has the other core, boosting's threads spin, waiting for
        # one another, and the others would answer a hundred times slower.
        "OMP_NUM_THREADS": "1",
    }


def run(command: list[str], repository: Path) -> str:
    """Run a command in the repository and return what it printed; a failure ends the benchmark."""
    done = subprocess.run(
        command,
        cwd=repository,
        env=environment(repository, Path(command[0]).parent),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def require_all_answered(load: Load) -> Load:
    """End the benchmark if a request was refused or lost."""
    if load.refused or load.lost:
        sys.exit(f"{load.refused} requests were refused, {load.lost} lost")
    return load


def measure(model: Model, contender: Contender) -> Measured:
    """Start a server a few times, and load it once: with single customers, then with many."""
    starts = []
    for _ in range(STARTS - 1):
        with model.served_by(contender) as (_, seconds):
            starts.append(seconds)
    with model.served_by(contender) as (server, seconds):
        starts.append(seconds)
        one, many = model.customers[:1], model.customers[:BATCH]
        model.require_answers(server, BATCH)
        single = []
        for connections in CONNECTIONS:
            server.load(one, connections, WARM_UP_S)
            single.append(require_all_answered(server.load(one, connections, SECONDS)))
        server.load(many, 1, WARM_UP_S)
        batch = require_all_answered(server.load(many, 1, SECONDS))
        return Measured(statistics.median(starts), server.memory_mb(), tuple(single), batch)


def print_table(measured: dict[str, Measured], baseline: Measured) -> None:
    """Print what was measured as Markdown."""
    print("| server | start, s | memory, MB ", end="")
    for connections in CONNECTIONS:
        print(f"| req/s, {connections} conn. | p50, ms | p99, ms ", end="")
    print(f"| of FastAPI's | rows/s, {BATCH:,} a request | p50, ms |")
    print("| --- " * (5 + 3 * len(CONNECTIONS) + 1) + "|")
    for name, row in measured.items():
        print(f"| {name} | {row.start_s:.2f} | {row.memory_mb:.0f} ", end="")
        for load in row.single:
            print(f"| {load.per_s:,.0f} | {load.p50_ms:.2f} | {load.p99_ms:.2f} ", end="")
        ratio = row.single[-1].per_s / baseline.single[-1].per_s
        print(f"| {ratio:.2f} | {row.batch.per_s * BATCH:,.0f} | {row.batch.p50_ms:.1f} |")


def print_overload(model: Model, connections: int) -> None:
    """Ask the server for more than it lets in, and tell how it is right afterwards."""
    with model.served_by(this_server(model.folder)) as (server, _):
        load = server.load(model.customers[:1], connections, SECONDS, LOAD_WITH_REFUSALS)
        began = time.perf_counter()
        status, _ = server.ask(model.customers[:1])
        after_ms = 1000 * (time.perf_counter() - began)
    if load.refused != load.busy or status != 200:
        sys.exit(f"overload: {load}, and {status} right afterwards")
    accepted, refused = (
        count / load.seconds for count in (load.answers - load.refused, load.refused)
    )
    print(
        f"\nOverload, {connections} connections: {accepted:,.0f} accepted/s, "
        f"{refused:,.0f} refused/s (503), p99 of all {load.p99_ms:.0f} ms, {load.lost} lost; "
        f"a request right afterwards: {status} in {after_ms:.1f} ms"
    )


def answered(server: Running, rows: list[int], customers: list[Request]) -> dict[int, float]:
    """Ask about some rows at once, and return the probabilities of those that are answered."""
    status, said = server.ask([customers[row] for row in rows])
    if status == 200:
        return dict(zip(rows, server.say(said), strict=True))
    if status != 422:
        sys.exit(f"asked about {len(rows)} customers, the server says {status}: {said}")
    if len(rows) == 1:
        return {}
    # One that is refused takes its list with it.
    alone = [answered(server, [row], customers) for row in rows]
    return {row: probability for one in alone for row, probability in one.items()}


def print_parity(name: str, model: Model) -> None:
    """Ask the server about every customer, and hold the answers against the pipeline's."""
    count = len(model.customers)
    said: dict[int, float] = {}
    with model.served_by(this_server(model.folder)) as (server, _):
        for start in range(0, count, BATCH):
            rows = list(range(start, min(start + BATCH, count)))
            said |= answered(server, rows, model.customers)
    difference = float(np.max([abs(said[row] - model.expected[row]) for row in said]))
    print(
        f"Parity, {name}: {len(said):,} customers answered, {count - len(said)} refused; "
        f"largest difference to the pipeline {difference:.1e}"
    )
    if not difference <= model.tolerance:
        sys.exit(f"more than {model.tolerance:.0e} is not the same model")


def versions(bentoml: Path, mlflow: Path) -> str:
    """Return what is compared, with versions."""
    pythons = {"fastapi": Path(sys.executable), "bentoml": bentoml, "mlflow": mlflow}
    told = []
    for package, python in pythons.items():
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        told.append(f"{package} {run([str(python), '-c', code], TEMPLATE).strip()}")
    return ", ".join(told)


def parse() -> argparse.Namespace:
    """Return the Pythons of the contenders that do not go together with the training's lock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bentoml", type=Path, required=True, help="a Python that has BentoML")
    parser.add_argument("--mlflow", type=Path, required=True, help="a Python that has MLflow")
    return parser.parse_args()


def compare(table: str, model: Model, asked: argparse.Namespace) -> None:
    """Measure every server on one table's model, and print how they did."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        pipeline = workspace / "pipeline.joblib"
        joblib.dump(model.on_frames, pipeline)
        contenders = others(pipeline, workspace, asked.bentoml, asked.mlflow)
        [baseline, *_] = contenders
        measured = {}
        for name, contender in {"this server": this_server(model.folder), **contenders}.items():
            for command in contender.prepare:
                run(command, model.folder)
            measured[name] = measure(model, contender)
    print(f"\n{table}, {len(model.on_frames.numbers + model.on_frames.categories)} columns\n")
    print_table(measured, measured[baseline])
    print_parity(table, model)


def main() -> None:
    """Print the tables as Markdown."""
    asked = parse()
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: it asks the servers; apt-get install wrk")
    print(f"\n{machine()}; {versions(asked.bentoml, asked.mlflow)}")
    with tempfile.TemporaryDirectory() as folder:
        repository = Repository(Path(folder) / "sample")
        sample = Model(repository)
        compare("the sample", sample, asked)
        print_overload(sample, OVERLOAD * repository.module("admission").MAX_REQUESTS)
        if TELCO.exists():
            telco = Repository(Path(folder) / "telco")
            adopt = ["adopt", str(TELCO), "--target", "Churn", "--id", "customerID"]
            run([sys.executable, "-m", "churn_model", *adopt], telco.folder)
            compare("Telco's table", Model(telco), asked)


if __name__ == "__main__":
    main()
