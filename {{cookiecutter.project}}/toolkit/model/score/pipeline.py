"""From parts of a table to what a release says of their customers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from ...data.contract import Contract
from ...data.dataset import as_objects
from ...data.table import Table
from .worker import Answer, Worker


Rejected = tuple[int, str | None, str, str | None, str, str]


@dataclass(frozen=True)
class Scored:
    """A part of a table, scored.

    Attributes
    ----------
    part, answer
        The part, and what the release says of it.
    rows
        The positions of the scored rows in the part.
    rejected
        For each error of the others the place in the table, the id, the field, the value, the rule
        and the reason.
    """

    part: Table
    answer: Answer
    rows: list[int]
    rejected: list[Rejected]


@dataclass(frozen=True)
class _Asked:
    """A part, the positions of its readable rows, the errors of the others, and the question."""

    part: Table
    readable: list[int]
    rejected: list[Rejected]
    answer: Future[Answer]


def scored(found: Iterable[Table], contract: Contract, worker: Worker) -> Iterator[Scored]:
    """Yield the parts with their answers: the next is read while the release answers for one."""
    with ThreadPoolExecutor(1) as pool:
        waiting: _Asked | None = None
        try:
            for part in found:
                readable, rejected = _readable(part, contract)
                sent = _as_sent(part, readable, contract)
                asked = _Asked(part, readable, rejected, pool.submit(worker.ask, sent))
                if waiting:
                    yield _answered(waiting, contract)
                waiting = asked
            if waiting:
                yield _answered(waiting, contract)
        except BaseException:
            # The pool waits for the answer, which nobody wants any more.
            worker.kill()
            raise


# A position in a part, and what is wrong there: the field, the value, the rule and the reason.
_Error = tuple[int, str, str | None, str, str]


def _readable(part: Table, contract: Contract) -> tuple[list[int], list[Rejected]]:
    """Return the positions of the rows that are customers, and the errors of the others."""
    errors = [*_unreadable(part, contract)]
    wrong = {position for position, *_ in errors}
    readable = [position for position in range(len(part)) if position not in wrong]
    return readable, _rejected(part, errors, contract)


def _unreadable(part: Table, contract: Contract) -> Iterator[_Error]:
    for position in part.ragged:
        yield int(position), "", None, "fields", "the row has too few fields"
    nobody = "nobody would know whose score it is"
    for position in np.flatnonzero(part.values[contract.id.name].isna()):
        yield int(position), contract.id.name, None, "null", nobody
    for column in contract.features:
        texts = part.unreadable.get(column.name)
        if texts is not None:
            reason = f"it cannot be read as {column.type}"
            for position, text in zip(texts.index.tolist(), texts, strict=True):
                yield position, column.name, str(text), "type", reason


def _rejected(part: Table, errors: Sequence[_Error], contract: Contract) -> list[Rejected]:
    if not errors:
        return []
    ids = as_objects(part.values[contract.id.name])
    places = part.places([position for position, *_ in errors])
    return [
        (place, ids[position], *told)
        for place, (position, *told) in zip(places, errors, strict=True)
    ]


def _as_sent(part: Table, rows: list[int], contract: Contract) -> dict[str, list[Any]]:
    """Return the features of some rows as JSON has them, a null as None."""
    sent = {}
    for column in contract.features:
        values = part.values[column.name]
        if len(rows) < len(part):
            values = values.iloc[rows]
        objects: list[Any] = values.tolist()
        if values.isna().any():
            objects = [None if one != one else one for one in objects]
        sent[column.name] = objects
    return sent


def _answered(asked: _Asked, contract: Contract) -> Scored:
    answer = asked.answer.result()
    errors = [
        (asked.readable[one["row"]], one["field"], _text(one["value"]), one["rule"], one["reason"])
        for one in answer.errors
    ]
    rows = [asked.readable[row] for row in answer.rows]
    rejected = [*asked.rejected, *_rejected(asked.part, errors, contract)]
    return Scored(asked.part, answer, rows, sorted(rejected, key=itemgetter(0)))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
