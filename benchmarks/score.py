"""How fast a batch run is, and how much memory it takes, against what one would write by hand.

    nox -s benchmark_score

A table of usual width, twenty columns, is repeated as Parquet to 100,000, a million and ten million
customers, and scored as `invoke score` does once the release's environment is made. Beside it, on
a million, a loop of pandas over `predict_proba` of the same model, and lists of 1,000 posted to the
server. The memory is that of the largest process, with what Python itself takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import joblib
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import wide_table
from benchmarks.contenders import this_server
from benchmarks.machine import machine
from benchmarks.serving import BATCH, SECONDS, Model, adopted

SIZES = (100_000, 1_000_000, 10_000_000)
COMPARED = 1_000_000
CHUNK = 100_000
# Runs a command, and says how much its largest process has held, in KiB.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
# The repeated customers are as many of each kind as the table has, which is no drift to look for.
POLICY = '\n[score]\ndrift = "warn"\n'


def write(path: Path, frame: pd.DataFrame, rows: int) -> None:
    """Write a table of other ids, again and again, in one row group for each time."""
    schema = pa.Schema.from_pandas(frame, preserve_index=False)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, len(frame)):
            part = frame[: rows - start].copy()
            part[wide_table.ID] = [f"C{number:08}" for number in range(start, start + len(part))]
            writer.write_table(pa.Table.from_pandas(part, schema, preserve_index=False))


def release_python(folder: Path, repository: Path) -> Path:
    """Return the interpreter of an environment that sees what a release's does."""
    venv.create(folder, symlinks=True, with_pip=False)
    [packages] = folder.glob("lib/python*/site-packages")
    seen = [path for path in sys.path if path.endswith("site-packages")]
    seen += [str(repository / "src"), str(repository)]
    (packages / "release.pth").write_text("".join(f"{path}\n" for path in seen))
    return folder / "bin" / "python"


def score(model: Model, python: Path, table: Path) -> float:
    """Score a table as `invoke score` does; return the peak of the largest process in MiB."""
    output = table.with_name("scores.parquet")
    request = {
        **{"python": str(python), "bundle": str(model.folder / "reports" / "model")},
        **{"input": str(table), "output": str(output), "as_of": "2026-11-30", "explain": 0},
        **{"environment": "prod", "by": "a benchmark"},
    }
    asked = table.with_name("request.json")
    asked.write_text(json.dumps(request), encoding="utf-8")
    run = [sys.executable, "-P", "toolkit/checks/run.py", "toolkit", "score"]
    command = [sys.executable, "-c", PEAK, *run, "--request", str(asked)]
    done = subprocess.run(command, cwd=model.folder, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout) / 1024


def by_hand(pipeline: Path, table: Path) -> None:
    """Score a table as one would write it: parts of it, and the pipeline on each."""
    model = joblib.load(pipeline)
    schema = pa.schema([("id", pa.string()), ("probability", pa.float64())])
    with pq.ParquetWriter(table.with_name("by_hand.parquet"), schema) as writer:
        for batch in pq.ParquetFile(table).iter_batches(CHUNK):
            frame = batch.to_pandas()
            said = model.pipeline.predict_proba(frame)[:, 1].astype(float)
            rows = {"id": frame[wide_table.ID], "probability": said}
            writer.write_table(pa.table(rows, schema=schema))


def posted(model: Model) -> float:
    """Return the customers a second of lists that are posted one after another."""
    with model.served_by(this_server(model.folder)) as (server, _):
        server.load(model.customers[:BATCH], 1, SECONDS)
        return server.load(model.customers[:BATCH], 1, SECONDS).per_s * BATCH


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, help="customers")
    asked = parser.parse_args()
    print(f"\n{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        wide_table.write(workspace / "wide.csv")
        frame = pd.read_csv(workspace / "wide.csv")
        model = adopted(
            workspace / "wide", workspace / "wide.csv", wide_table.TARGET, wide_table.ID
        )
        with (model.folder / "quality.toml").open("a", encoding="utf-8") as file:
            file.write(POLICY)
        joblib.dump(model.on_frames, workspace / "pipeline.joblib")
        python = release_python(workspace / "release", model.folder)
        print("| what | customers | customers/s | peak, MiB |\n| --- | --- | --- | --- |")
        for rows in asked.sizes:
            table = workspace / f"{rows}.parquet"
            write(table, frame.drop(columns=wide_table.TARGET), rows)
            began = time.perf_counter()
            peak = score(model, python, table)
            per_s = rows / (time.perf_counter() - began)
            print(f"| batch run | {rows:,} | {per_s:,.0f} | {peak:.0f} |", flush=True)
        rows = max((size for size in asked.sizes if size <= COMPARED), default=min(asked.sizes))
        compared = workspace / f"{rows}.parquet"
        began = time.perf_counter()
        by_hand(workspace / "pipeline.joblib", compared)
        per_s = rows / (time.perf_counter() - began)
        print(f"| a loop over `predict_proba` | {rows:,} | {per_s:,.0f} | |")
        print(f"| lists of {BATCH:,}, posted | | {posted(model):,.0f} | |")


if __name__ == "__main__":
    main()
