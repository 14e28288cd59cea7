"""The report of the data check: JSON for machines, Markdown and HTML for people."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ..data.contract import Column
from ..data.distribution import Categories, Numbers
from ..data.effect import HOLDOUT, PREDICTIONS, Drift
from ..data.examination import Examination
from ..data.table import Table, describe_rows
from ..data.validation import SHOWN, Finding
from . import charts
from .files import cell, render, table

# No browser shows a page of some thousand pictures.
CARDS = 200
SHOWN_CATEGORIES = 12
LEVELS = ("fail", "warn", "unknown", "ok")


@dataclass(frozen=True)
class ColumnReport:
    """The result for one column, or for the predictions of the reference's model.

    Attributes
    ----------
    nulls, reference_nulls, allowed_nulls
        Shares as percentages; empty where not applicable.
    null_rows
        The number of rows with a null and the places of the first; empty where there are none.
    findings, drifts
        The violations of the contract, and all comparisons with the reference.
    picture
        The distribution, now and in the reference; None where they were not compared.
    sparklines
        The distribution in the reference and now, as text.
    """

    name: str
    role: str
    type: str
    nulls: str = ""
    reference_nulls: str = ""
    allowed_nulls: str = ""
    null_rows: str = ""
    findings: tuple[Finding, ...] = ()
    drifts: tuple[Drift, ...] = ()
    picture: Markup | None = None
    sparklines: tuple[str, str] = ("", "")

    @property
    def contract(self) -> str:
        """The level of the contract: `ok` or `fail`; empty where it has no rule."""
        return "fail" if self.findings else "ok" if self.allowed_nulls else ""

    @property
    def drift(self) -> str:
        """The worst level of the drifts; empty where there are none."""
        return min((drift.level for drift in self.drifts), key=LEVELS.index, default="")

    @property
    def level(self) -> str:
        """The worse of both levels."""
        return min((self.contract or "ok", self.drift or "ok"), key=LEVELS.index)

    @property
    def has_findings(self) -> bool:
        """Whether the column fails or warns."""
        return self.level in ("fail", "warn")

    @property
    def order(self) -> tuple[int, bool, float]:
        """The place among all columns: what a reader looks for comes first."""
        drifts = (drift.strength for drift in self.drifts if drift.level == self.level)
        return LEVELS.index(self.level), not self.findings, -max(drifts, default=0.0)


def columns_of(examination: Examination) -> list[ColumnReport]:
    """Return a report for each column, in the contract's order, the predictions and the holdout."""
    columns = [_column(column, examination) for column in examination.contract.columns]
    now, then = examination.profile.predictions, examination.reference.profile.predictions
    if now is not None and then is not None:
        drifts = _drifts(PREDICTIONS, examination)
        columns.append(
            ColumnReport(
                *(PREDICTIONS, "reference model", "number"),
                drifts=drifts,
                **_distributions(PREDICTIONS, now, then),
            )
        )
    if drifts := _drifts(HOLDOUT, examination):
        columns.append(ColumnReport(HOLDOUT, "split by the id", "customers", drifts=drifts))
    return columns


def facts_of(examination: Examination) -> list[str]:
    """Return a sentence about copies, the holdout, and the ids each, whatever their verdict."""
    rows, copies = len(examination.table), examination.copies
    allowed = examination.contract.max_copies
    facts = [
        f"{copies:,} rows ({copies / max(rows, 1):.2%}) are the same as an earlier one but for the "
        f"id; at most {allowed:.2%} are allowed. Rows with the same features stand on one side of "
        "every split."
    ]
    holdout = examination.holdout
    if holdout is None:
        return facts
    of_parts = []
    for name, part in (("held out", holdout.held_out), ("trained on", holdout.rest)):
        rate = f"{part.churned / part.rows:.1%} churned" if part.rows else "nobody"
        auc = f", ROC AUC {part.ranking.auc:.3f}" if part.ranking else ""
        of_parts.append(f"{part.rows:,} are {name} ({rate}{auc})")
    facts.append(f"Of the customers {' and '.join(of_parts)}, ranked by the reference's model.")
    unchanged = holdout.unchanged
    if unchanged is None:
        facts.append("Whether ids of unchanged customers are others is unknown.")
    else:
        facts.append(
            f"Of {unchanged.sketched:,} customers of the reference {unchanged.found:,} are there "
            f"with the same features, {len(unchanged.now):,} of them under another id."
        )
    return facts


def _column(column: Column, examination: Examination) -> ColumnReport:
    profile, reference = examination.profile, examination.reference.profile
    now = profile.numbers.get(column.name) or profile.categories.get(column.name)
    then = reference.numbers.get(column.name) or reference.categories.get(column.name)
    return ColumnReport(
        name=column.name,
        role=column.role,
        type=column.type,
        nulls=_null_share(now),
        reference_nulls=_null_share(then),
        allowed_nulls=f"{column.max_null_rate:.2%}",
        null_rows=_null_rows(column.name, examination.table),
        findings=tuple(one for one in examination.findings if one.column == column.name),
        drifts=_drifts(column.name, examination),
        **(_distributions(column.name, now, then) if now and then else {}),
    )


def _drifts(column: str, examination: Examination) -> tuple[Drift, ...]:
    """Return all comparisons of a column, the worst first."""
    drifts = examination.drifts_of.get(column, [])
    return tuple(sorted(drifts, key=lambda drift: LEVELS.index(drift.level)))


def _null_share(distribution: Numbers | Categories | None) -> str:
    if distribution is None:
        return ""
    return f"{distribution.nulls / max(distribution.rows + distribution.nulls, 1):.2%}"


def _null_rows(name: str, read: Table) -> str:
    if name not in read.values:
        return ""
    rows = np.flatnonzero(read.values[name].isna())
    places = read.places(rows[:SHOWN])
    return describe_rows(len(rows), read.unit, places) if len(rows) else ""


def _distributions(
    name: str, now: Numbers | Categories, then: Numbers | Categories
) -> dict[str, Any]:
    """Return the picture and the sparklines of one column."""
    title = f"Distribution of {name}: {now.rows} values now, {then.rows} in the reference"
    if isinstance(now, Numbers) and isinstance(then, Numbers):
        bars, reference_bars = list(now.bars), list(then.bars)
        if then.width == 1 and len(bars) <= SHOWN_CATEGORIES:  # A few integers, such as flags.
            names = [f"{then.start + place:g}" for place in range(len(bars))]
            picture = charts.categories(bars, reference_bars, names, title)
        else:
            picture = charts.histogram(
                *(bars, reference_bars, then.start, then.width, title),
                across=name,
                upwards="share of rows",
            )
    else:
        assert isinstance(now, Categories) and isinstance(then, Categories)
        names = _most_frequent(now, then)
        bars = [now.counts.get(name, 0) for name in names]
        reference_bars = [then.counts.get(name, 0) for name in names]
        rest = (now.rows - sum(bars), then.rows - sum(reference_bars))
        if any(rest):
            names.append("all others")
            bars.append(rest[0])
            reference_bars.append(rest[1])
        picture = charts.categories(bars, reference_bars, names, title)
    return {
        "picture": picture,
        "sparklines": (charts.sparkline(reference_bars), charts.sparkline(bars)),
    }


def _most_frequent(now: Categories, then: Categories) -> list[str]:
    """Return the names of the most frequent categories, in order, as many as are shown."""
    shares: defaultdict[str, float] = defaultdict(float)
    for side in (now, then):
        for name, count in side.counts.items():
            shares[name] += count / max(side.rows, 1)
    return sorted(shares, key=lambda name: (-shares[name], name))[:SHOWN_CATEGORIES]


def as_json(examination: Examination) -> dict[str, Any]:
    """Return the result for reports/data.json."""
    return {
        "verdict": "failed" if examination.failures else "passed",
        "reasons": examination.failures,
        "warnings": examination.warnings,
        "data_sha256": examination.table.sha256,
        "rows": len(examination.table),
        "copies": examination.copies,
        "facts": facts_of(examination),
        "reference": {
            "file": str(examination.contract.reference),
            "data_sha256": examination.reference.data_sha256,
            "rows": examination.reference.profile.rows,
        },
        "findings": [asdict(finding) for finding in examination.findings],
        "drifts": [asdict(drift) for drift in examination.drifts],
        "profile": asdict(examination.profile),
    }


def to_markdown(document: Mapping[str, Any], columns: Sequence[ColumnReport]) -> str:
    """Return reports/data.json as Markdown, for a CI summary.

    A column with a finding stands in an open table, all others in one that is folded away.
    """
    page = f"# Data check: {document['verdict']}\n\n"
    for mark, sentences in (("**fails**", document["reasons"]), ("warns", document["warnings"])):
        page += "".join(f"- {mark}: {cell(sentence)}\n" for sentence in sentences)
    if document["reasons"] or document["warnings"]:
        page += "\n"
    if not columns:
        return page
    page += f"{document['rows']:,} rows of `{document['file']}`, compared with the contract "
    page += f"`{document['contract']}` and a reference of {document['reference']['rows']:,} rows.\n"
    page += "".join(f"\n- {cell(fact)}" for fact in document["facts"]) + "\n"
    with_findings = [column for column in columns if column.has_findings]
    others = [column for column in columns if not column.has_findings]
    if with_findings:
        page += f"\n{_columns_table(with_findings)}"
    if others:
        count = "1 column" if len(others) == 1 else f"{len(others)} columns"
        page += f"\n<details>\n<summary>{count} without findings</summary>\n\n"
        page += f"{_columns_table(others)}\n</details>\n"
    return page


def _columns_table(columns: Sequence[ColumnReport]) -> str:
    return table(
        (
            *("column", "contract", "drift", "reference", "now"),
            *("nulls in the reference", "nulls now", "nulls allowed", "rows with nulls"),
        ),
        (
            (
                column.name,
                *map(_emphasised, (column.contract, column.drift)),
                *column.sparklines,
                *(column.reference_nulls, column.nulls, column.allowed_nulls, column.null_rows),
            )
            for column in columns
        ),
    )


def _emphasised(level: str) -> str:
    return f"**{level}**" if level == "fail" else level


def to_html(document: Mapping[str, Any], columns: Sequence[ColumnReport]) -> str:
    """Return reports/data.json as one page that needs nothing from elsewhere."""
    names = ("data_sha256", "contract_sha256", "created")
    evidence = [(name.replace("_", " "), document[name]) for name in names if document.get(name)]
    if document["reference"]:
        evidence.append(("reference data sha256", document["reference"]["data_sha256"]))
    cards = [column for column in columns if column.picture or column.has_findings]
    cards.sort(key=lambda column: column.order)
    return render(
        "data.html",
        document=document,
        columns=columns,
        cards=cards[:CARDS],
        omitted=len(cards[CARDS:]),
        evidence=evidence,
    )
