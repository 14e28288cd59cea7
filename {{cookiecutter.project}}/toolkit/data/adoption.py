"""Takes a user's table into a fresh repository: contract, reference, sample, thresholds, summary.

Everything is decided first, and then written, so that a table that cannot be used changes nothing.
"""

import difflib
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import ConfigurationError, DataError
from ..model import policy_file, thresholds
from ..places import Places
from ..reports import files as reports
from . import adoption_text, reference, table
from . import contract as contracts
from . import dataset as datasets
from .column_inference import Inferred, companion_of_nulls, infer
from .contract import Column, Csv
from .dialect import read_unknown
from .progress import say
from .validation import validate

MIN_ROWS = 300
MIN_OF_EACH_KIND = 50
SAMPLE = "sample.csv"
SAMPLE_ROWS = 500
SUMMARY = "adoption.md"
# It stands in a fresh repository beside the sample that it makes, and nowhere else.
GENERATOR = "make_sample.py"
POSITIVE = frozenset(("yes", "y", "true", "t", "1", "left", "churn", "churned"))
SHOWN = 5
SAY_AFTER_COLUMNS = 100


@dataclass(frozen=True)
class Request:
    """What the user has said about the table.

    Attributes
    ----------
    positive
        The target's label of a customer who left; None to tell it by its name.
    """

    file: Path
    target: str
    id: str
    positive: str | None


@dataclass(frozen=True)
class Found:
    """A table as it was found.

    Attributes
    ----------
    written
        How a CSV file is written.
    header
        The names of its columns.
    text
        Its columns as text, named by their position, with NaN for nulls; the index is where each
        row stands.
    unit
        What that is: ``line`` or ``row``.
    """

    content: bytes
    written: Csv
    header: tuple[str, ...]
    text: pd.DataFrame
    unit: str

    def column(self, name: str) -> pd.Series:
        """Return a column by its name, and called by it."""
        return self.text[self.header.index(name)].rename(name)

    def places(self, rows: "pd.Series[bool]") -> str:
        """Return where the first of some rows stand, for messages."""
        return table.in_words(int(rows.sum()), self.unit, rows.index[rows][:SHOWN].tolist())


def adopt(places: Places, request: Request) -> list[Path]:
    """Take a table into the repository, and return the files that have changed.

    Raises
    ------
    DataError
        The table cannot be used.
    ConfigurationError
        The request names what the table does not have, or the repository is not fresh.
    """
    files = decide(places, request)
    changed = [path for path, content in files.items() if not _holds(path, content)]
    generator = places.contract.with_name(GENERATOR)
    if changed and not generator.exists():
        raise ConfigurationError(
            "this repository has adopted a table already, and adopting this one would change "
            + ", ".join(map(str, changed)),
            "edit these files, and accept new data with nox -s reference; or begin with a fresh "
            "repository",
        )
    for path in changed:
        reports.write_bytes(path, files[path])
    # Last: until it is gone, an adoption that was cut off can be repeated.
    generator.unlink(missing_ok=True)
    return changed


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def decide(places: Places, request: Request) -> dict[Path, bytes]:
    """Return the content of every file that takes a table in, the contract last; write nothing.

    Raises
    ------
    DataError
        The table cannot be used.
    ConfigurationError
        The request names what the table does not have.
    """
    package = contracts.load(places.contract).package
    found = _read(request.file)
    target = _target(request, found)
    left = (found.column(request.target) == target.positive).to_numpy()
    columns = _columns(request, found, target, left)
    name, folder = request.file.name, places.contract.parent
    with tempfile.TemporaryDirectory() as scratch:
        # What will be written is read first by those who will read it in the repository.
        trial = Path(scratch)
        (trial / name).symlink_to(request.file.resolve())
        contract_text = adoption_text.contract(
            name, package, found.written, columns, len(found.text)
        )
        (trial / places.contract.name).write_text(contract_text, encoding="utf-8")
        contract = contracts.load(trial / places.contract.name)
        read = table.read(contract)
        if findings := validate(read, contract):
            sentences = "\n".join(f"{request.file}: {finding}" for finding in findings)
            raise DataError(sentences, "mend the table: nothing was changed")
        dataset = datasets.from_table(read, contract)
        rules = thresholds.propose(
            dataset, contract, policy_file.load(places.quality, package).training
        )
        quality_text = adoption_text.quality(places.quality.read_text(encoding="utf-8"), rules)
        (trial / places.quality.name).write_text(quality_text, encoding="utf-8")
        policy_file.load(trial / places.quality.name, package)
        made = reference.make(read, dataset, contract)
        summary = adoption_text.summary(name, found.written, columns, rules, dataset, contract)
    return {
        folder / name: found.content,
        folder / SAMPLE: found.content if name == SAMPLE else _sample(found, dataset),
        folder / contract.reference.name: reference.to_json(made),
        places.quality: quality_text.encode(),
        folder / SUMMARY: summary.encode(),
        places.contract: contract_text.encode(),
    }


def _read(path: Path) -> Found:
    content = table.read_bytes(path)
    if table.is_parquet(path):
        header, frame = table.read_parquet(path, content)
        frame.index += 1
        found = Found(content, Csv(), header, frame.apply(table.as_text), "row")
    else:
        written, header, text = read_unknown(path, content)
        found = Found(content, written, header, text, "line")
    doubled = [name for name, count in Counter(header).items() if count > 1]
    if doubled:
        names = ", ".join(map(repr, doubled))
        raise DataError(f"{path}: more than one column is called {names}", "rename them")
    if len(found.text) < MIN_ROWS:
        raise DataError(
            f"{path}: {len(found.text)} rows: every figure would be mostly noise",
            f"bring at least {MIN_ROWS}",
        )
    return found


def _target(request: Request, found: Found) -> Column:
    """Return the target, and refuse an id or a target that cannot be one."""
    for option, name in (("--target", request.target), ("--id", request.id)):
        if name not in found.header:
            near = difflib.get_close_matches(name, found.header, n=3, cutoff=0.4) or found.header
            raise ConfigurationError(
                f"{option}: {request.file} has no column {name!r}",
                f"name one of its columns, as {', '.join(near[:SHOWN])}",
            )
    if request.id == request.target:
        raise ConfigurationError(
            f"--id and --target are both {request.id!r}", "name two different columns"
        )
    ids, labels = found.column(request.id), found.column(request.target)
    for name, rows, fault in (
        (request.id, ids.isna(), "is empty"),
        (request.id, ids.duplicated() & ids.notna(), "is there before"),
        (request.target, labels.isna(), "is empty"),
    ):
        if rows.any():
            raise DataError(
                f"{request.file}: {name} {fault} in {found.places(rows)}",
                "an id names one customer, and the target says of each who left: mend or remove "
                "these rows",
            )
    counts = labels.value_counts()
    if len(counts) != 2:
        shown = ", ".join(map(repr, counts.index[:SHOWN]))
        raise DataError(
            f"{request.file}: the target {request.target} has {len(counts)} different values: "
            f"{shown}; it must have two: left and stayed",
            "name another target, or make two values of it",
        )
    if counts.min() < MIN_OF_EACH_KIND:
        raise DataError(
            f"{request.file}: only {counts.min()} customers have the {request.target} "
            f"{counts.idxmin()!r}: every figure would be mostly noise",
            f"bring at least {MIN_OF_EACH_KIND} of each kind",
        )
    names = sorted(counts.index)
    positive = [name for name in names if request.positive in (None, name)]
    if request.positive is None:
        positive = [name for name in names if name.lower() in POSITIVE]
    if len(positive) != 1:
        raise ConfigurationError(
            f"--positive: which {request.target} means that the customer left: {names[0]!r} or "
            f"{names[1]!r}?",
            f"add --positive {names[1]}, or the other one",
        )
    return Column(
        request.target, "target", "category", categories=tuple(names), positive=positive[0]
    )


def _columns(
    request: Request, found: Found, target: Column, left: npt.NDArray[np.bool_]
) -> list[Inferred]:
    """Return what was decided about each column, in the order of the file."""
    columns = []
    for place, name in enumerate(found.header, start=1):
        if name == request.id:
            seen = f"{len(found.text)} different texts"
            columns.append(Inferred(name, Column(name, "id", "text", unique=True), seen))
        elif name == request.target:
            seen = f"{target.positive!r} {left.mean():.1%}"
            columns.append(Inferred(name, target, seen))
        else:
            columns.append(infer(name, found.column(name), found.written, left))
        if place % SAY_AFTER_COLUMNS == 0:
            say(f"{place} of {len(found.header)} columns looked at")
    if not any(one.column and one.column.role == "feature" for one in columns):
        reasons = "; ".join(f"{one.name}: {one.seen}: {one.note}" for one in columns if one.note)
        raise DataError(
            f"{request.file}: no column is left to learn from: {reasons or 'there is none'}",
            "add columns that vary and have to do with leaving",
        )
    kept = [one.name for one in columns if one.column]
    return [replace(one, nulls=_nulls(found, one.name, kept)) for one in columns]


def _nulls(found: Found, name: str, kept: Sequence[str]) -> str:
    column = found.column(name)
    if name not in kept or not column.isna().any():
        return ""
    nulls = f"{column.isna().mean():.2%}: {found.places(column.isna())}"
    companion = companion_of_nulls(column, (found.column(one) for one in kept if one != name))
    return f"{nulls}; exactly where {companion}" if companion else nulls


def _sample(found: Found, dataset: datasets.Dataset) -> bytes:
    """Return some rows for tests, written as the table is."""
    few = found.text.iloc[datasets.quick_rows(dataset, SAMPLE_ROWS)]
    written = found.written
    text = few.to_csv(
        index=False,
        header=list(found.header),
        sep=written.sep,
        quotechar=written.quotechar,
        lineterminator="\n",
    )
    return text.encode(written.encoding)
