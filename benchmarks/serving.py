"""How fast the server is, against three others that serve the same scikit-learn pipeline on a frame.

    nox -s benchmark_serving

All of them are asked on this machine, one after another, by one worker and by two of one thread
each, with the `wrk` of Debian's package of that name. None is measured before its answers are those
of the pipeline. That is done with the sample, whose columns are few, with a table of usual width,
and, where it is beside this checkout, with Telco's. Each load is the median of five. The limit is
measured as well: an application on the same uvicorn that always says the same. The server is also
asked about every customer of each table, and for more than it lets in.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from toolkit.data import dataset, table
from toolkit.data.contract import Contract
from toolkit.model import training
from toolkit.model.export import TOLERANCE
from toolkit.model.features import Features
from toolkit.serving.admission import MAX_REQUESTS

from benchmarks import wide_table
from benchmarks.contenders import (
    Contender,
    OnFrames,
    Request,
    bare,
    derive,
    others,
    this_server,
)
from benchmarks.load import LOAD_WITH_REFUSALS, Load, Running, run
from benchmarks.machine import machine
from benchmarks.generated import Generated
from demo.repository import TEMPLATE

TELCO = TEMPLATE.parent / "shared" / "data" / "telco_customer_churn.csv"
STARTS = 3
WARM_UP_S = 1
SECONDS = 2
WORKERS = (1, 2)
CONNECTIONS = (1, 16, 128)
# Of each load; the median counts.
REPETITIONS = 5
BATCH = 1000
OVERLOAD = 4  # times as many connections as the server lets requests in


class Model:
    """A repository's trained model, and the scikit-learn pipeline that it was made from."""

    def __init__(self, generated: Generated) -> None:
        self.folder = generated.folder
        run([sys.executable, "-m", "toolkit", "train"], self.folder)
        contract, policy = generated.contract, generated.policy.training
        data = dataset.from_table(table.read(contract), contract)
        features = Features(contract)
        matrix: np.ndarray = features.matrix(data.columns)
        trained_on = ~dataset.is_held_out(data, policy.holdout_share)
        pipeline = training.fit(matrix[trained_on], data.labels[trained_on], policy)
        self.on_frames = on_frames(contract, features, pipeline, pd.DataFrame(data.columns))
        self.customers: list[Request] = training.as_requests(data, contract)
        self.expected: np.ndarray = pipeline.predict_proba(matrix)[:, 1]

    def require_answers(self, server: Running, count: int) -> None:
        """End the benchmark unless a server says of the first customers what the pipeline does."""
        said, expected = server.wait(self.customers[:count]), self.expected[:count]
        if len(said) != count or not np.max(np.abs(said - expected)) <= TOLERANCE:
            sys.exit(f"the pipeline says {expected[:3]}..., and a server {said[:3]}...")

    @contextmanager
    def served_by(self, contender: Contender, workers: int = 1) -> Iterator[tuple[Running, float]]:
        """Start a server and yield it with the seconds until it has answered the first customer."""
        with tempfile.TemporaryDirectory() as workspace:
            began = time.monotonic()
            server = Running(contender, self.folder, Path(workspace), workers)
            try:
                self.require_answers(server, 1)
                yield server, time.monotonic() - began
            finally:
                server.stop()


def adopted(workspace: Path, file: Path, target: str, key: str) -> Model:
    """Return the model of a fresh repository that has adopted a table."""
    generated = Generated(workspace)
    adopt = ["adopt", str(file), "--target", target, "--id", key]
    run([sys.executable, "-m", "toolkit", *adopt], generated.folder)
    return Model(generated)


def on_frames(
    contract: Contract, features: Features, pipeline: Any, frame: pd.DataFrame
) -> OnFrames:
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


def require_all_answered(load: Load) -> Load:
    """End the benchmark if a request was refused or lost."""
    if load.refused or load.lost:
        sys.exit(f"{load.refused} requests were refused, {load.lost} lost")
    return load


def median_load(server: Running, customers: list[Request], connections: int) -> Load:
    """Load a server a few times, and return the load of the median throughput."""
    loads = []
    for _ in range(REPETITIONS):
        loads.append(require_all_answered(server.load(customers, connections, SECONDS)))
        # A slow one goes on with what wrk has left behind, and would answer the next load late.
        server.ask(customers)
    return sorted(loads, key=lambda load: load.per_s)[REPETITIONS // 2]


def measure_bare(folder: Path, workers: int) -> tuple[Load, ...]:
    """Load the bare application with as many connections."""
    with tempfile.TemporaryDirectory() as workspace:
        server = Running(bare(), folder, Path(workspace), workers)
        try:
            server.wait([{}])
            return tuple(median_load(server, [{}], connections) for connections in CONNECTIONS)
        finally:
            server.stop()


def print_limit(limit: tuple[Load, ...], ours: Measured) -> None:
    """Print how near the server is to the bare application."""
    print("\n| connections | bare, req/s | p99, ms | of it: throughput | p99 |")
    print("| --- " * 5 + "|")
    for connections, load, own in zip(CONNECTIONS, limit, ours.single, strict=True):
        print(
            f"| {connections} | {load.per_s:,.0f} | {load.p99_ms:.2f} "
            f"| {own.per_s / load.per_s:.2f} | {own.p99_ms / load.p99_ms:.1f} times |"
        )


def measure(model: Model, contender: Contender, workers: int) -> Measured:
    """Start a server a few times, and load it once: with single customers, then with many."""
    starts = []
    for _ in range(STARTS - 1):
        with model.served_by(contender, workers) as (_, seconds):
            starts.append(seconds)
    with model.served_by(contender, workers) as (server, seconds):
        starts.append(seconds)
        one, many = model.customers[:1], model.customers[:BATCH]
        model.require_answers(server, BATCH)
        single = []
        for connections in CONNECTIONS:
            server.load(one, connections, WARM_UP_S)
            single.append(median_load(server, one, connections))
        server.load(many, 1, WARM_UP_S)
        batch = median_load(server, many, 1)
        return Measured(statistics.median(starts), server.memory_mb(), tuple(single), batch)


def print_table(measured: dict[str, Measured], baseline: Measured) -> None:
    """Print what was measured as Markdown."""
    print("| server | start, s | memory, MB ", end="")
    for connections in CONNECTIONS:
        print(f"| req/s, {connections} conn. | p50, ms | p99, ms ", end="")
    print(f"| of FastAPI's, 16 conn. | rows/s, {BATCH:,} a request | p50, ms |")
    print("| --- " * (5 + 3 * len(CONNECTIONS) + 1) + "|")
    for name, row in measured.items():
        print(f"| {name} | {row.start_s:.2f} | {row.memory_mb:.0f} ", end="")
        for load in row.single:
            print(f"| {load.per_s:,.0f} | {load.p50_ms:.2f} | {load.p99_ms:.2f} ", end="")
        ratio = row.single[1].per_s / baseline.single[1].per_s
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


def print_explanation(model: Model) -> None:
    """Print what a prediction costs that is explained by all columns, beside a plain one."""
    columns = len(model.on_frames.numbers) + len(model.on_frames.categories)
    plain = this_server(model.folder)
    path = f"/predict?explain={columns}"
    explained = replace(plain, ask=lambda customers: (path, customers[0]))
    times = []
    for contender in (plain, explained):
        with model.served_by(contender) as (server, _):
            times.append(median_load(server, model.customers[:1], 1).p50_ms)
    print(
        f"\nExplained by all of {columns} columns, one connection: p50 {times[1]:.2f} ms, plain "
        f"{times[0]:.2f} ms: {times[1] / times[0] / columns:.2f} times a plain prediction a column"
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
    if not difference <= TOLERANCE:
        sys.exit(f"more than {TOLERANCE:.0e} is not the same model")


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


def compare(name: str, model: Model, asked: argparse.Namespace, workers: int) -> None:
    """Measure every server on one table's model, and print how they did."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        pipeline = workspace / "pipeline.joblib"
        joblib.dump(model.on_frames, pipeline)
        contenders = others(pipeline, workspace, asked.bentoml, asked.mlflow, workers)
        [baseline, *_] = contenders
        measured = {}
        for server, contender in {"this server": this_server(model.folder), **contenders}.items():
            for command in contender.prepare:
                run(command, model.folder)
            measured[server] = measure(model, contender, workers)
    numbers, categories = len(model.on_frames.numbers), len(model.on_frames.categories)
    columns = f"{numbers} columns of numbers and {categories} of categories"
    print(f"\n{name}, {columns}, {workers} worker{'s' if workers > 1 else ''}\n")
    print_table(measured, measured[baseline])
    print_limit(measure_bare(model.folder, workers), measured["this server"])


def compare_all(name: str, model: Model, asked: argparse.Namespace) -> None:
    """Measure every server with one worker and with more, and hold ours against the pipeline."""
    for workers in WORKERS:
        compare(name, model, asked, workers)
    print_parity(name, model)


def main() -> None:
    """Print the tables as Markdown."""
    asked = parse()
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: it asks the servers; apt-get install wrk")
    print(f"\n{machine()}; {versions(asked.bentoml, asked.mlflow)}")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        sample = Model(Generated(workspace / "sample"))
        compare_all("the sample", sample, asked)
        print_overload(sample, OVERLOAD * MAX_REQUESTS)
        wide = workspace / "wide.csv"
        wide_table.write(wide)
        model = adopted(workspace / "wide", wide, wide_table.TARGET, wide_table.ID)
        compare_all("the wide table", model, asked)
        print_explanation(model)
        if TELCO.exists():
            model = adopted(workspace / "telco", TELCO, "Churn", "customerID")
            compare_all("Telco's table", model, asked)


if __name__ == "__main__":
    main()
