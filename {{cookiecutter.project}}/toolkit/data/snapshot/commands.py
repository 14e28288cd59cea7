"""`nox -s snapshot`: takes a snapshot of the table, keeps its bytes, and points to it in git."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import pyarrow as pa

from ...errors import ConfigurationError, DataError, ToolkitError
from ...places import Places
from ...reports import files as reports
from .. import commands
from .. import contract as contracts
from .. import origin as origins
from ..contract import POINTER_FILE, Contract
from ..origin import ORIGIN_FILE, Origin
from ..progress import say, step
from ..validation import Finding, validate
from . import content, pull, retention, ripeness, store
from . import pointer as pointers
from .pointer import Changes, Pointer

# Findings whose figures are no customer's values.
ABOUT_ALL = ("rows", "copies", "schema", "fields", "nulls")


@dataclass(frozen=True)
class Options:
    """What to do about the snapshot.

    Attributes
    ----------
    as_of
        The cut-off of a snapshot; None for today.
    twice
        Pull two times, and refuse a source that does not repeat itself.
    push
        Put the bytes of the snapshot at the remote, so that others can read them.
    verify
        Pull again what the pointer names, and compare.
    prune, yes
        List the bytes that nothing needs any more; with `yes` remove them.
    forget, reason
        The content of a snapshot to erase everywhere, and why; None for none.
    """

    as_of: date | None = None
    twice: bool = False
    push: bool = False
    verify: bool = False
    prune: bool = False
    yes: bool = False
    forget: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Taken:
    """A canonical table, its digest, and the number of rows left out as unripe."""

    table: pa.Table
    content: str
    unripe: int


def snapshot(places: Places, options: Options) -> bool:
    """Take a snapshot, or do what the options say; return whether its check has passed.

    Raises
    ------
    ConfigurationError
        data/source.toml, the contract or the pointer cannot be used.
    DataError
        The source gives no table that the contract allows.
    """
    contract = contracts.load(places.contract)
    place = places.contract.with_name(ORIGIN_FILE)
    is_in_git = contract.data.name != POINTER_FILE
    # An older repository has a table in git, and may have no such file.
    if is_in_git and (not place.exists() or origins.load(place).in_git):
        say(f"{contract.data} is in git, which keeps every version of it: there is nothing to take")
        return True
    origin = origins.load(place)
    if is_in_git:
        raise ConfigurationError(
            f"{contract.path}: file: names {contract.data}, a table in git, and {place} another "
            "source",
            f"remove file from {contract.path}: docs/data.md says how a table leaves git",
        )
    if origin.labels:
        ripeness.require_column(origin.labels, contract, origin.path)
    if options.verify:
        _verify(contract, origin)
    if options.push:
        _push(contract, origin)
    if options.prune:
        keep_days = origin.remote.keep_days if origin.remote else origins.KEEP_DAYS
        retention.prune(contract.data, origin, keep_days, options.yes)
    if options.forget is not None:
        retention.erase(contract.data, origin, options.forget, options.reason)
    if options.verify or options.push or options.prune or options.forget is not None:
        return True
    return not _take(contract, origin, options) or commands.check_data(places)


def _take(contract: Contract, origin: Origin, options: Options) -> bool:
    """Take a snapshot; return whether its content is another than that of the one before."""
    file = contract.data
    earlier = pointers.load(file) if file.exists() else None
    as_of = options.as_of or datetime.now(UTC).date()
    taken = _pulled(contract, origin, as_of)
    if options.twice or earlier is None:
        with step("pulling a second time, to see whether the source repeats itself"):
            again = _pulled(contract, origin, as_of)
        _require_same(taken, again, contract, origin)
    if earlier and earlier.content_sha256 == taken.content:
        say(f"nothing new: as of {as_of} the content is that of {file}, of {earlier.as_of}")
        return False
    changes = _changes(earlier, taken, contract)
    snapshot = content.to_parquet(taken.table)
    store.keep(snapshot)
    made = (taken.content, snapshot, len(taken.table), contract, origin.path.read_bytes(), as_of)
    pointer = replace(
        pointers.make(*made),
        query_sha256=pull.recipe(origin),
        before_sha256=earlier.content_sha256 if earlier else None,
        changes=changes,
        unripe=taken.unripe,
    )
    reports.write_bytes(file, pointers.to_json(pointer))
    say(f"{file}: {pointer.rows} customers as of {as_of}, content {pointer.short}")
    if changes:
        say(f"  {changes.new} new, {changes.gone} gone, {changes.changed} changed")
    if taken.unripe:
        say(f"  {taken.unripe} rows left out: it is not known yet who of them churned")
    return True


def _pulled(contract: Contract, origin: Origin, as_of: date) -> _Taken:
    table = pull.pull(origin, contract, as_of)
    if not len(table):
        raise DataError(
            f"{origin.path}: the source gives no rows as of {as_of}",
            "see whether the export has run, and whether the query leaves everybody out",
        )
    unripe = 0
    if origin.labels:
        table, unripe = ripeness.ripe(table, origin.labels, as_of, origin.path)
        if not len(table):
            raise DataError(
                f"{origin.path}: of no row as of {as_of} it is known yet who churned: {unripe} "
                "rows are unripe",
                f"let the source reach further back than {origin.labels.known_after_days} days, "
                "or correct labels.known_after_days",
            )
    if not set(table.header) & {one.name for one in contract.columns}:
        # A file without a header has a customer there: no name of a column is shown.
        raise DataError(
            f"{origin.path}: the source has {len(table.header)} columns, and none of the "
            "contract's",
            f"let the export write the names of its columns, or correct {contract.path}",
        )
    # The snapshot is in the contract's order, whatever that of the source.
    findings = validate(table, replace(contract, ordered=False))
    if findings:
        raise DataError(
            "\n".join(f"{origin.path}: {_anonymous(one)}" for one in findings),
            f"mend the source, or {contract.path} where the contract is wrong: "
            f"{contract.data} is as it was",
        )
    table_of = content.canonical(table, contract)
    return _Taken(table_of, content.digest(table_of), unripe)


def _anonymous(finding: Finding) -> str:
    """Return a finding without any customer's value: it goes into the logs of every night."""
    subject = finding.check if finding.column is None else f"{finding.column}: {finding.check}"
    if finding.check in ABOUT_ALL:
        return f"{subject}: {finding.observed}; expected: {finding.limit}"
    return f"{subject}: {finding.rows} rows ({finding.share:.2%}); expected: {finding.limit}"


def _require_same(one: _Taken, other: _Taken, contract: Contract, origin: Origin) -> None:
    if one.content == other.content:
        return
    new, gone, changed = content.differences(one.table, other.table, contract.id.name)
    raise DataError(
        f"{origin.path}: the source does not repeat itself: of {len(one.table)} customers the "
        f"second pull has {new} others, lacks {gone}, and {changed} have other values",
        "a query must give the same for the same day: use neither random() nor now(), and no "
        "LIMIT without an ORDER BY",
    )


def _changes(earlier: Pointer | None, taken: _Taken, contract: Contract) -> Changes | None:
    if earlier is None:
        return None
    try:
        before = content.from_parquet(store.fetch(earlier, contract.data))
    except ToolkitError:  # Its bytes are gone: the new snapshot must not depend on them.
        return None
    return Changes(*content.differences(before, taken.table, contract.id.name))


def _verify(contract: Contract, origin: Origin) -> None:
    """Pull the day of the pointer again: same content, or an error; its bytes are there then."""
    file = contract.data
    pointer = pointers.load(file)
    taken = _pulled(contract, origin, date.fromisoformat(pointer.as_of))
    if taken.content != pointer.content_sha256:
        raise DataError(
            f"{origin.path}: as of {pointer.as_of} the source gives the content {taken.content}, "
            f"{file} names {pointer.content_sha256}: the past was changed, or the query",
            "find out what has changed there; a snapshot of today is taken by nox -s snapshot",
        )
    sha256 = store.keep(content.to_parquet(taken.table))
    if sha256 != pointer.sha256:
        # Another version of pyarrow writes the same content as other bytes.
        reports.write_bytes(file, pointers.to_json(replace(pointer, sha256=sha256)))
        say(f"{file}: the same content is in other bytes now, {sha256[:12]}: commit it")
    say(f"{file}: the source gives the same {pointer.rows} customers as of {pointer.as_of}")


def _push(contract: Contract, origin: Origin) -> None:
    if origin.remote is None:
        raise ConfigurationError(
            f"{origin.path}: there is no [remote] to push to",
            f"add [remote] with a url to {origin.path}",
        )
    pointer = pointers.load(contract.data)
    with step(f"pushing to {origin.remote.url}"):
        is_new = store.Remote(origin).write(store.fetch(pointer, contract.data))
    said = "pushed" if is_new else "is there already"
    say(f"snapshot {pointer.short}, of {pointer.as_of}: {said}: {origin.remote.url}")
