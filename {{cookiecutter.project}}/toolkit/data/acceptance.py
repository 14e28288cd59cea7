"""Accepting a table as the new reference: what changes with it, in words for a reviewer.

The last sentences are kept in the reference itself, so that a pull request shows them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ConfigurationError
from ..model.policy import DriftPolicy
from ..reports.files import cell
from ..reports.files import table as as_table
from . import drift, reference
from .contract import Contract
from .effect import Drift, causes
from .reference import Acceptance, Reference
from .relation import Ranking
from .table import Table

SCHEMA = 1
KEPT = 10
# Of the ROC AUC of one column, from 0.5: see probe.py.
STRONG = 0.4
SHOWN_COLUMNS = 3


def accept(
    made: Reference, table: Table, contract: Contract, policy: DriftPolicy
) -> tuple[Reference, Sequence[Drift]]:
    """Return a reference that says what is accepted with it, and all comparisons with the earlier.

    Making it again from the same table changes nothing.

    Parameters
    ----------
    made
        The reference of the table, as `reference.make` returns it.
    """
    if not contract.reference.exists():
        return first(made), ()
    try:
        earlier = reference.read(contract.reference)
    except ConfigurationError as error:
        return _with(made, (), [f"not compared with the earlier reference: {error}"]), ()
    shared = _shared(earlier, contract)
    for why in (*reference.edits(earlier), *reference.faults(earlier, shared)):
        why = f"not compared with the earlier reference, which cannot be trusted: {why}"
        return _with(made, earlier.accepted, [why]), ()
    now = reference.measure(table, shared, earlier)
    drifts = drift.compare(now, earlier.profile, shared, policy)
    same = (earlier.data_sha256, earlier.contract_sha256)
    if earlier.accepted and same == (made.data_sha256, made.contract_sha256):
        return replace(made, accepted=earlier.accepted), drifts
    moved = [*_columns(earlier, shared, contract, made)]
    moved += [f"{cause.level}: {cause}" for cause in causes(drifts)]
    unknown = sum(one.level == "unknown" for one in drifts)
    if unknown:
        moved.append(f"{unknown} of {len(drifts)} comparisons had too few rows")
    if now.relation is None or earlier.profile.relation is None:
        moved.append("the relation to the target was not compared: the earlier reference has none")
    nothing = f"no drift from the earlier reference, of {earlier.profile.rows} rows"
    return _with(made, earlier.accepted, moved or [nothing]), drifts


def _shared(earlier: Reference, contract: Contract) -> Contract:
    """Return the contract without the columns that an earlier reference does not know."""
    profile = earlier.profile
    columns = (
        column
        for column in contract.columns
        if column.role != "feature"
        or column.name in (profile.numbers if column.is_numeric else profile.categories)
    )
    return replace(contract, columns=tuple(columns))


def _columns(
    earlier: Reference, shared: Contract, contract: Contract, made: Reference
) -> Iterator[str]:
    known = {column.name for column in shared.columns}
    relation = made.profile.relation
    for column in contract.features:
        if column.name not in known:
            sentence = f"{column.name}: a new column, of the type {column.type}"
            if relation and column.name in relation.alone:
                sentence += f"; {_alone(relation.alone[column.name])}"
            yield sentence
    for name in (*earlier.profile.numbers, *earlier.profile.categories):
        if name not in known:
            yield f"{name}: the column is gone"


def first(made: Reference) -> Reference:
    """Return a reference before which there was none."""
    return _with(made, (), ["the first reference: there was none to compare the table with"])


def _with(made: Reference, earlier: Sequence[Acceptance], moved: Sequence[str]) -> Reference:
    relation = made.profile.relation
    alone = (
        sorted(relation.alone.items(), key=lambda one: -abs(one[1].auc - 0.5)) if relation else []
    )
    strong = [
        f"{name} {_alone(one)}: does it tell what is known only after they churned?"
        for name, one in alone
        if abs(one.auc - 0.5) >= STRONG
    ]
    entry = Acceptance(made.data_sha256, made.profile.rows, (*moved, *strong[:SHOWN_COLUMNS]))
    return replace(made, accepted=(*earlier, entry)[-KEPT:])


def _alone(one: Ranking) -> str:
    return f"alone ranks customers with a ROC AUC of {max(one.auc, 1 - one.auc):.3f}"


def as_json(made: Reference, drifts: Sequence[Drift], contract: Contract) -> dict[str, Any]:
    """Return what reports/reference.json holds."""
    return {
        "schema": SCHEMA,
        "reference": str(contract.reference),
        "file": str(contract.data),
        "data_sha256": made.data_sha256,
        "contract_sha256": made.contract_sha256,
        "rows": made.profile.rows,
        "accepted": list(made.accepted[-1].moved),
        "comparisons": [
            {"level": one.level, "column": one.column, "moved": one.moved, "evidence": one.evidence}
            for one in drifts
        ],
    }


def to_markdown(document: Mapping[str, Any]) -> str:
    """Return reports/reference.json as Markdown."""
    page = f"# {cell(document['reference'])}: what is accepted\n\n"
    page += f"{document['rows']:,} rows of `{document['file']}` are the reference now.\n\n"
    page += "".join(f"- {cell(sentence)}\n" for sentence in document["accepted"])
    if document["comparisons"]:
        columns = ("level", "column", "moved", "evidence")
        rows = ([one[name] for name in columns] for one in document["comparisons"])
        page += "\n## All comparisons with the earlier reference\n\n"
        page += as_table(("verdict", "column", "change", "evidence"), rows)
    return page
