"""Whether the scores of a table may be used: its columns, its rejected rows, and its drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ...data import drift, reference, validation
from ...data.contract import Contract
from ...data.effect import causes
from ...data.reference import Reference
from ...data.table import Table
from ...data.validation import Finding
from ...errors import DataError
from ..policy import Policy
from .pipeline import Scored
from .sample import Sample

SHOWN = 5


@dataclass
class Tally:
    """What has been counted until now.

    Attributes
    ----------
    rows, churn
        The customers of the table, and those that are predicted to churn.
    rejected
        The rows that have an error.
    probability
        The sum of all probabilities.
    causes
        The number of errors by field and rule.
    first
        The places of the first of them.
    """

    rows: int = 0
    churn: int = 0
    rejected: int = 0
    probability: float = 0.0
    causes: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def count(self, scored: Scored) -> None:
        """Count a part."""
        self.rows += len(scored.part)
        self.churn += sum(scored.answer.churn)
        self.probability += sum(scored.answer.probabilities)
        self.rejected += len({place for place, *_ in scored.rejected})
        for place, _, name, _, rule, _ in scored.rejected:
            self.causes[name, rule] += 1
            first = self.first.setdefault((name, rule), [])
            if len(first) < SHOWN:
                first.append(place)


def names_of(contract: Contract) -> list[str]:
    """Return the columns that the release needs, the id first."""
    return [contract.id.name, *(column.name for column in contract.features)]


def _lenient(contract: Contract) -> Contract:
    """Return the contract of a table of which no label is known yet, of any size."""
    return replace(contract, min_rows=0, max_rows=None, max_copies=1.0)


def require_columns(first: Table, contract: Contract) -> None:
    """Refuse a table without the columns that the release needs, or with others."""
    findings = [
        finding
        for finding in validation.validate(first, _lenient(contract))
        if finding.check in ("schema", "order")
        and not (finding.check == "schema" and finding.column in _unneeded(contract))
    ]
    if findings:
        raise DataError(
            "\n".join(f"{first.path.name}: {finding}" for finding in findings),
            f"give it the columns {', '.join(names_of(contract))}",
        )


def _unneeded(contract: Contract) -> set[str]:
    return {column.name for column in contract.columns} - {*names_of(contract)}


def judge(
    tally: Tally, sample: Sample, accepted: Reference, contract: Contract, policy: Policy
) -> tuple[list[str], list[str]]:
    """Return why the scores may not be used, and what else there is to know about them.

    Parameters
    ----------
    tally, sample
        Of the whole table.
    accepted
        The reference of the release.
    """
    failures: list[str] = []
    warnings = [*_causes(tally)]
    if tally.rejected > policy.score.max_rejected * tally.rows or tally.rejected == tally.rows:
        share, allowed = tally.rejected / max(tally.rows, 1), policy.score.max_rejected
        failures = [
            f"{tally.rejected} of {tally.rows} customers are rejected ({share:.2%}), allowed are "
            f"{allowed:.2%} (quality.toml, score.max_rejected)",
            *warnings,
        ]
        warnings = []
    customers = sample.customers
    if not len(customers):
        return failures, warnings
    held = Table(contract.data, "", tuple(customers.columns), customers, {}, (), None)
    for finding in validation.validate(held, _lenient(contract)):
        if finding.check == "rule":
            warnings.append(f"{_said(finding)}; /predict does not look at rules")
        elif finding.check != "schema":
            failures.append(_said(finding))
    now = reference.measure(held, contract, accepted)
    drifts = drift.compare(now, accepted.profile, contract, policy.drift)
    for cause in causes(drifts):
        fails = cause.level == policy.score.drift == "fail"
        if cause.level in ("fail", "warn"):
            (failures if fails else warnings).append(str(cause))
    if any(one.level == "unknown" for one in drifts):
        warnings.append(f"{len(customers)} customers are too few to see a drift")
    return failures, warnings


def _said(finding: Finding) -> str:
    """Return a finding without customers' values, and without its places, which are a sample's."""
    subject = finding.check if finding.column is None else f"{finding.column}: {finding.check}"
    share = "" if finding.share is None else f": {finding.share:.2%} of the customers"
    return f"{subject}{share}; expected: {finding.limit}"


def _causes(tally: Tally) -> Iterator[str]:
    for (name, rule), count in tally.causes.most_common(SHOWN):
        shown = ", ".join(map(str, tally.first[name, rule]))
        yield f"{count} rejected by {name or 'the row'}: {rule}, first at {shown}"
