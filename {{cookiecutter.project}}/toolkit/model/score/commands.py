"""Scores a table: each customer gets the very number that /predict of the same release gives.

One pass: parts are read, the release answers, and scores are written, while some customers are kept
to be held against the contract and the reference at the end. Only then the result appears.
"""

from __future__ import annotations

import itertools
import json
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from ...data import contract as contracts
from ...data import parts, reference
from ...data.contract import Contract
from ...data.dataset import as_objects
from ...data.progress import counting, say
from ...errors import ConfigurationError, ToolkitError
from ...places import Places
from ...reports import files as reports
from .. import evidence, policy_file
from . import judgement
from .judgement import Tally, names_of, require_columns
from .pipeline import Scored, scored
from .result import Result, rejected_place
from .sample import Sample
from .transfer import fetched, name_of
from .worker import Worker

SCHEMA = 1
NAME = "score"


@dataclass(frozen=True)
class Request:
    """What `invoke score` asks for; the paths and URLs may hold keys.

    Attributes
    ----------
    python, bundle
        The interpreter of the release's environment, and its files.
    input, output
        Paths or URLs.
    as_of
        The day of the table.
    explain
        How many contributions explain each prediction; 0 for no explanations.
    environment, by
        Whose release it is, and who asks.
    """

    python: Path
    bundle: Path
    input: str
    output: str
    as_of: date
    explain: int
    environment: str
    by: str

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read a request from the file that `invoke score` writes."""
        try:
            said = json.loads(path.read_bytes())
            paths = {name: Path(said[name]) for name in ("python", "bundle")}
            day = date.fromisoformat(said["as_of"])
            return cls(**{one.name: said[one.name] for one in fields(cls)} | paths | {"as_of": day})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path}: no request for scores: {error!r}", "type invoke score"
            ) from None


def score(places: Places, path: Path) -> bool:
    """Carry out the request in a file; writes score.json and .md, and the scores if all is well."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "verdict": "failed",
        "reasons": ["the command was interrupted"],
        "warnings": [],
        "environment": None,
        "release": None,
        "model_sha256": None,
        "by": None,
        "as_of": None,
        "input": None,
        "input_sha256": None,
        "output": None,
        "output_sha256": None,
        "rejected_rows": None,
        "rows": 0,
        "scored": 0,
        "rejected": 0,
        "churn": 0,
        "mean_probability": None,
        "explain": 0,
        "created": evidence.now(),
        "seconds": 0.0,
    }
    began = time.monotonic()
    try:
        request = Request.read(path)
        document |= {"as_of": request.as_of.isoformat(), "explain": request.explain}
        document |= {"environment": request.environment, "by": request.by}
        document |= {"input": name_of(request.input), "output": name_of(request.output)}
        document |= _score(places, request, document)
    except ToolkitError as error:
        document["reasons"] = str(error).splitlines()
        raise
    finally:
        document["seconds"] = round(time.monotonic() - began, 3)
        reports.write_report(places.reports, NAME, document, to_markdown(document))
    for sentence in (*document["reasons"], *document["warnings"]):
        say(f"{document['input']}: {sentence}")
    say(f"score: {document['verdict']}")
    return bool(document["verdict"] == "passed")


def _score(places: Places, request: Request, document: dict[str, Any]) -> dict[str, Any]:
    contract = contracts.load(places.contract)
    policy = policy_file.load(places.quality, contract.package)
    accepted = reference.load(contract)
    tally, sample = Tally(), Sample(names_of(contract))
    with ExitStack() as stack:
        table = stack.enter_context(fetched(request.input))
        document["input_sha256"] = table.sha256
        if table.path.resolve() == Path(request.output).resolve():
            raise ConfigurationError(
                f"{table.path.name}: is the input too", "choose another --output"
            )
        worker = Worker(request.python, request.bundle, request.explain)
        stack.callback(worker.close)
        document |= {"release": worker.release, "model_sha256": worker.model_sha256}
        found = parts.read(table.path, contract)
        first = next(found)
        require_columns(first, contract)
        kind = (contract.id.name, first.unit, bool(request.explain))
        result = Result(request.output, *kind)
        stack.callback(result.close)
        show = stack.enter_context(counting("scoring"))
        for part in scored(itertools.chain([first], found), contract, worker):
            tally.count(part)
            sample.add(part.part.values, part.rows)
            result.write(_columns(part, contract, worker, request), part.rejected)
            show(f"{tally.rows:,} customers")
        failures, warnings = judgement.judge(tally, sample, accepted, contract, policy)
        table.require_unchanged()
        document["output_sha256"] = None if failures else result.publish()
    rows = tally.rows - tally.rejected
    return {
        "verdict": "failed" if failures else "passed",
        "reasons": failures,
        "warnings": warnings,
        "rejected_rows": None if failures else name_of(rejected_place(request.output)),
        "rows": tally.rows,
        "scored": rows,
        "rejected": tally.rejected,
        "churn": tally.churn,
        "mean_probability": tally.probability / rows if rows else None,
    }


def _columns(part: Scored, contract: Contract, worker: Worker, request: Request) -> list[Any]:
    count, answer = len(part.rows), part.answer
    columns = [
        as_objects(part.part.values[contract.id.name].iloc[part.rows]),
        answer.probabilities,
        answer.churn,
        [worker.release] * count,
        [worker.model_sha256] * count,
        [request.as_of] * count,
    ]
    if request.explain:
        columns.append([json.dumps(one, ensure_ascii=False) for one in answer.explanations])
    return columns


def to_markdown(document: dict[str, Any]) -> str:
    """Return the report as a page."""
    rows = [(name.replace("_", " "), value) for name, value in document.items() if name != "schema"]
    table = reports.table(("", "value"), [row for row in rows if not isinstance(row[1], list)])
    said = [*document["reasons"], *document["warnings"]]
    return f"# Batch scores\n\n{table}" + "".join(f"\n- {sentence}\n" for sentence in said)
