"""Adopts a user's table in a fresh repository: contract, reference, sample, thresholds, summary.

All files are planned before the first is written, so an unusable table changes nothing.
"""

import math
import re
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import ConfigurationError, DataError
from ..model import consistency, first_training, policy_file, rehearsal
from ..model.first_training import FirstTraining
from ..model.other_process import OtherProcess
from ..places import Places
from ..reports import files as reports
from . import acceptance, adoption_text, examination, reference, synthetic, table
from . import contract as contracts
from . import dataset as datasets
from .column_inference import Inferred, infer, review_leaks
from .companions import Companions
from .contract import POINTER_FILE, Column, Contract
from .origin import ORIGIN_FILE
from .probe import Probe, Rows
from .progress import say
from .snapshot import content, store
from .snapshot import pointer as pointers
from .snapshot.pointer import Pointer
from .source import SHOWN, Answers, Source, read, require_column
from .validation import copies, validate

MIN_ROWS = 300
MIN_ROWS_PER_LABEL = 50
SAMPLE = "sample.csv"
SAMPLE_ROWS = 500
SUMMARY = "adoption.md"
# Only a fresh repository has it, beside the sample that it generates.
GENERATOR = "make_sample.py"
POSITIVE = frozenset(("yes", "true", "left", "churn", "churned"))
# One letter or digit means churned only beside its opposite: 1 may be the first of 1 and 2.
PAIRS = (("1", "0"), ("y", "n"), ("t", "f"))
# By chance a table of a few thousand customers has fewer.
FEW_COPIES = 0.01
PROGRESS_EVERY_COLUMNS = 100


@dataclass(frozen=True)
class Request:
    """The user's table, and the columns and label that only the user can name.

    Attributes
    ----------
    target, id
        The columns with the churn label and with the customer's id.
    positive
        The label of a churned customer; None to recognise it by its name.
    answers
        What the user says about how the table is written.
    """

    file: Path
    target: str
    id: str
    positive: str | None
    answers: Answers = field(default_factory=Answers)


def adopt(places: Places, request: Request) -> list[Path]:
    """Adopt a table and return the files that changed.

    Raises
    ------
    DataError
        The table is unusable.
    ConfigurationError
        The request names a column that the table lacks, or the repository is not fresh.
    """
    sample = places.contract.with_name(SAMPLE)
    if request.file.resolve() == sample.resolve():
        raise ConfigurationError(
            f"{request.file}: is where the synthetic sample of your table goes",
            "move your table to another place, out of this repository, and adopt it from there",
        )
    files, snapshot = plan(places, request)
    changed = [path for path, content in files.items() if not _holds(path, content)]
    generator = places.contract.with_name(GENERATOR)
    if changed and not generator.exists():
        raise ConfigurationError(
            "this repository has already adopted a table, and adopting this one would change "
            + ", ".join(map(str, changed)),
            "edit these files and accept new data with nox -s reference, or start from a fresh "
            "repository",
        )
    store.keep(snapshot)
    for path in changed:
        reports.write_bytes(path, files[path])
    # Last: as long as it exists, an interrupted adoption can be repeated.
    generator.unlink(missing_ok=True)
    return changed


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def plan(places: Places, request: Request) -> tuple[dict[Path, bytes], bytes]:
    """Return the content of every file that an adoption writes, the contract last, and a snapshot.

    Nothing is written. No customer is in the files, which are for git; all are in the snapshot.

    Raises
    ------
    DataError
        The table is unusable.
    ConfigurationError
        The request names a column that the table lacks.
    """
    package = contracts.load(places.contract).package
    source = _read(request)
    target = _target(request, source)
    churned = (source.column(request.target) == target.positive).to_numpy()
    columns = _columns(request, source, target, churned)
    name, folder = request.file.name, places.contract.parent
    with tempfile.TemporaryDirectory() as scratch:
        # Every file is loaded once before it is written to the repository.
        draft = Path(scratch)
        contract_text, contract, adopted = _contract(
            request, source, columns, package, draft / places.contract.name
        )
        canonical = content.canonical(adopted, contract)
        snapshot = content.to_parquet(canonical)
        contract = replace(contract, data=draft / "snapshot.parquet")
        contract.data.write_bytes(snapshot)
        # What every later check reads, in its order.
        adopted = replace(table.read(contract), sha256=content.digest(canonical))
        dataset = datasets.from_table(adopted, contract)
        # Two trainings at a time leave a part of two cores idle: the reference needs no model.
        with OtherProcess() as other, ThreadPoolExecutor(1) as beside:
            making = beside.submit(reference.make, adopted, dataset, contract)
            trained = first_training.run(
                dataset, contract, policy_file.load(places.quality, package).training
            )
            given = consistency.give(other, dataset, contract, trained.policy)
            for sentence in trained.choice.sentences():
                say(sentence)
            quality_text = _quality(places.quality.read_text(encoding="utf-8"), trained)
            (draft / places.quality.name).write_text(quality_text, encoding="utf-8")
            made = acceptance.first(making.result())
            reference_text = reference.to_json(made)
            reports.write_bytes(contract.reference, reference_text)
            policy = policy_file.load(draft / places.quality.name, package)
            inspected = examination.of_reference(made, adopted, dataset, contract)
            data = examination.load_training_data(contract, policy, inspected)
            _require_passed(rehearsal.failures(data, policy, trained, other, given))
        [customer] = synthetic.requests(contract, made, 1)
        summary = adoption_text.summary(name, source, columns, trained, dataset, customer)
    source_text = adoption_text.SOURCE.encode()
    pointer = pointers.make(adopted.sha256, snapshot, len(adopted), contract, source_text)
    files = {
        **_ignored(places.root, request.file),
        folder / ORIGIN_FILE: source_text,
        folder / POINTER_FILE: _pointed(folder / POINTER_FILE, pointer),
        folder / SAMPLE: synthetic.table(contract, made, SAMPLE_ROWS),
        folder / contract.reference.name: reference_text,
        places.quality: quality_text.encode(),
        folder / SUMMARY: summary.encode(),
        places.contract: contract_text.encode(),
    }
    return files, snapshot


def _pointed(file: Path, pointer: Pointer) -> bytes:
    """Return the pointer's file: the one that is there, where it names the same customers."""
    if file.exists() and pointers.load(file).content_sha256 == pointer.content_sha256:
        return file.read_bytes()
    return pointers.to_json(pointer)


def _ignored(root: Path, file: Path) -> dict[Path, bytes]:
    """Return a .gitignore that keeps git from a table that lies in the repository."""
    place = file.resolve()
    if not place.is_relative_to(root.resolve()):
        return {}
    ignore = root / ".gitignore"
    text = ignore.read_text(encoding="utf-8") if ignore.exists() else ""
    name = re.sub(r"([\\*?\[])", r"\\\1", place.relative_to(root.resolve()).as_posix())
    if f"/{name}" not in text.splitlines():
        text += f"\n# The table that was adopted: no customer belongs in git.\n/{name}\n"
    return {ignore: text.encode()}


def _contract(
    request: Request, source: Source, columns: Sequence[Inferred], package: str, path: Path
) -> tuple[str, Contract, table.Table]:
    """Write the contract into a draft; return its text, the contract, and the table as read.

    Raises
    ------
    DataError
        The table violates it.
    """

    def write(max_copies: float) -> tuple[str, Contract]:
        text = adoption_text.contract(
            *(request.file.name, package, source.dialect, columns, len(source.text)), max_copies
        )
        path.write_text(text, encoding="utf-8")
        return text, contracts.load(path)

    # How many copies there are is known when it is read.
    _, draft = write(1.0)
    adopted = table.parse(request.file, source.content, draft)
    text, contract = write(_allowed_copies(len(copies(adopted, draft)) / len(adopted)))
    if findings := validate(adopted, contract):
        sentences = "\n".join(f"{request.file}: {finding}" for finding in findings)
        raise DataError(sentences, "fix the table: nothing was changed")
    return text, contract, adopted


def _require_passed(failures: Iterable[str]) -> None:
    """Refuse a table whose own checks would fail on what is about to be written."""
    if sentences := "\n".join(failures):
        raise DataError(
            sentences,
            "mend the table, or the rule in quality.toml that is not for it, and adopt again: "
            "nothing was changed",
        )


def _quality(text: str, trained: FirstTraining) -> str:
    """Return quality.toml for this table."""
    policy = trained.policy
    text = adoption_text.set_training(text, policy.estimator, policy.quick_rows)
    return adoption_text.quality(text, trained.rules)


def _read(request: Request) -> Source:
    source = read(request.file, request.answers, (request.id, request.target))
    if len(source.text) < MIN_ROWS:
        raise DataError(
            f"{request.file}: {len(source.text)} rows are too few: every metric would be mostly "
            "noise",
            f"provide at least {MIN_ROWS} rows",
        )
    for sentence in adoption_text.how_it_was_read(request.file.name, source):
        say(sentence)
    return source


def _target(request: Request, source: Source) -> Column:
    """Return the target column; an id or a target column that cannot be one is refused."""
    require_column(request.file, "--target", request.target, source.header)
    require_column(request.file, "--id", request.id, source.header)
    if request.id == request.target:
        raise ConfigurationError(
            f"--id and --target are both {request.id!r}", "name two different columns"
        )
    ids, labels = source.column(request.id), source.column(request.target)
    for name, rows, fault in (
        (request.id, ids.isna(), "is empty"),
        (request.id, ids.duplicated() & ids.notna(), "is a duplicate"),
        (request.target, labels.isna(), "is empty"),
    ):
        if rows.any():
            raise DataError(
                f"{request.file}: {name} {fault} in {source.describe(rows)}",
                "every row needs an id of its own and a target: fix or remove these rows",
            )
    counts = labels.value_counts()
    if len(counts) != 2:
        shown = ", ".join(map(repr, counts.index[:SHOWN]))
        raise DataError(
            f"{request.file}: the target {request.target} has {len(counts)} distinct values: "
            f"{shown}; it must have two, for churned and retained customers",
            "choose another target, or map its values to two",
        )
    if counts.min() < MIN_ROWS_PER_LABEL:
        raise DataError(
            f"{request.file}: only {counts.min()} customers have the {request.target} "
            f"{counts.idxmin()!r}: every metric would be mostly noise",
            f"provide at least {MIN_ROWS_PER_LABEL} customers with each label",
        )
    names = sorted(counts.index)
    positive = [name for name in names if request.positive in (None, name)]
    if request.positive is None:
        positive = [name for name in names if _means_churned(name, names)]
    if len(positive) != 1:
        raise ConfigurationError(
            f"--positive: which value of {request.target} means churned: {names[0]!r} or "
            f"{names[1]!r}?",
            f"add --positive {names[1]!r} or --positive {names[0]!r}",
        )
    return Column(
        request.target, "target", "category", categories=tuple(names), positive=positive[0]
    )


def _means_churned(name: str, names: Sequence[str]) -> bool:
    """Return whether a label tells by itself, or beside the other one, that it means churned."""
    # 1.0 and 0.0 are 1 and 0.
    plain = {one: one.lower().removesuffix(".0") for one in names}
    [other] = [plain[one] for one in names if one != name]
    return plain[name] in POSITIVE or (plain[name], other) in PAIRS


def _columns(
    request: Request, source: Source, target: Column, churned: npt.NDArray[np.bool_]
) -> list[Inferred]:
    """Return the decision about each column, in the order of the file."""
    columns = []
    probe = Probe(churned)
    for place, name in enumerate(source.header, start=1):
        if name == request.id:
            observed = f"{len(source.text)} distinct values"
            columns.append(Inferred(name, Column(name, "id", "text", unique=True), observed))
        elif name == request.target:
            observed = f"{target.positive!r} {churned.mean():.1%}"
            columns.append(Inferred(name, target, observed))
        else:
            columns.append(_inferred(name, source, probe.rows))
        if place % PROGRESS_EVERY_COLUMNS == 0:
            say(f"inspected {place} of {len(source.header)} columns")
    columns = review_leaks(columns, probe)
    if not any(one.column and one.column.role == "feature" for one in columns):
        reasons = "; ".join(
            f"{one.name}: {one.observed}: {one.note}" for one in columns if one.note
        )
        raise DataError(
            f"{request.file}: no column can be a feature: {reasons or 'there is no other column'}",
            "add columns that vary and are related to churn",
        )
    for one in columns:
        if one.column is None:
            say(f"left out {one.name}: {one.note} ({one.observed})")
    return _with_nulls(columns, source)


def _inferred(name: str, source: Source, probed: Rows) -> Inferred:
    reading = source.readings.get(name)
    if reading is None:
        return Inferred(name, None, "not read", "left out by --ignore")
    return infer(name, source.column(name), reading, source.dialect, probed)


def _with_nulls(columns: Sequence[Inferred], source: Source) -> list[Inferred]:
    """Say of each column that is kept which of its values are null, and what stands beside them."""
    kept = {one.name: source.column(one.name) for one in columns if one.column}
    if not any(column.isna().any() for column in kept.values()):
        return [*columns]
    companions = Companions([*kept.values()])
    nulls = {
        name: _nulls(source, column, companions.of(place))
        for place, (name, column) in enumerate(kept.items())
    }
    return [replace(one, nulls=nulls.get(one.name, "")) for one in columns]


def _nulls(source: Source, column: pd.Series, companion: str) -> str:
    missing = column.isna()
    if not missing.any():
        return ""
    nulls = f"{missing.mean():.2%}: {source.describe(missing)}"
    return f"{nulls}; exactly where {companion}" if companion else nulls


def _allowed_copies(share: float) -> float:
    """Return the share of copies that the contract allows; of many the user must know."""
    if share > FEW_COPIES:
        say(
            f"{share:.1%} of the rows are the same as an earlier one but for the id: if customers "
            "were copied, as oversampling does, remove the copies; if a few coarse columns make "
            "them alike, keep them (no such rows stand on both sides of a split)"
        )
    return max(FEW_COPIES, min(1.0, math.ceil(150 * share) / 100))
