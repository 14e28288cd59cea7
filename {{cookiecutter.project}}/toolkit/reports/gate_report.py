"""Tells people what a gate has found: Markdown for a CI summary, and a page with pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ..model import champion as champions
from . import charts
from .files import cell, render, table

SHOWN_SLICES = 60
SLICE_METRIC = "roc_auc"
NOTHING = "0.0000"
MARKED = {"ok": "ok", "warn": "warn", "fail": "**fail**"}

Document = Mapping[str, Any]


def metric_rows(document: Document) -> list[dict[str, Any]]:
    """Return each metric with its interval, the champion's on the same customers, and its rules."""
    comparisons = {one["metric"]: one for one in _champion(document).get("comparisons") or []}
    rows = []
    for name, estimate in document["metrics"].items():
        rules = [one for one in document["rules"] if one["subject"] == name]
        compared = comparisons.get(name, {})
        rows.append(
            {
                "name": name,
                "unit": estimate.get("unit", ""),
                "value": _figure(estimate["value"]),
                "interval": _interval(estimate["low"], estimate["high"]),
                "champion": _figure(compared.get("champion")),
                "difference": _difference(compared),
                "rules": "; ".join(one["rule"] for one in rules),
                "level": _worst(one["level"] for one in rules),
            }
        )
    return rows


def in_words(row: Mapping[str, Any]) -> str:
    """Return a metric's name with its unit, where the name does not hold it."""
    return f"{row['name']} ({row['unit']})" if row["unit"] else str(row["name"])


def _champion(document: Document) -> Document:
    return document.get("champion") or {}


def _worst(levels: Any) -> str:
    found = set(levels)
    return next((level for level in ("fail", "warn", "ok") if level in found), "")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4f} to {high:.4f}"


def _difference(compared: Document) -> str:
    """Return by how much the candidate is better or worse, and how certain that is."""
    loss, low, high = (compared.get(key) for key in ("loss", "low", "high"))
    if loss is None:
        return ""
    word = "worse" if loss > 0 else "better"
    said = f"{word} by {abs(loss):.4f}" if f"{abs(loss):.4f}" != NOTHING else "the same"
    return said if low is None or high is None else f"{said} ± {(high - low) / 2:.4f}"


def champion_sentence(document: Document) -> str:
    """Return what the candidate was compared with, in words."""
    told = _champion(document)
    match told.get("state"):
        case champions.SCORED:
            return (
                f"Compared with release {told['release']}, which {told['environment']} has served "
                f"since {told['served_since']}, on the same {told['rows']} customers."
            )
        case champions.NONE_YET:
            return f"There is no champion yet: {told['why']}."
        case champions.NOT_FETCHED:
            return f"Compared with no champion: {told['why']}."
        case champions.UNSCORABLE:
            return f"The champion {told['release']} could not be scored: {told['why']}."
    return "Nothing was compared."


def to_markdown(document: Document) -> str:
    """Return a gate's document (reports/gate.json) as Markdown."""
    page = f"# Quality gate ({document['training']} training): {document['verdict']}\n\n"
    for mark, sentences in (("**fails**", document["reasons"]), ("warns", document["warnings"])):
        page += "".join(f"- {mark}: {cell(sentence)}\n" for sentence in sentences)
    page += f"\n{cell(champion_sentence(document))}\n\n"
    if document["metrics"]:
        page += table(
            ("metric", "value", "95 % interval", "champion", "difference", "rule", "verdict"),
            (
                (
                    *(in_words(row), row["value"], row["interval"], row["champion"]),
                    *(row["difference"], row["rules"], MARKED.get(row["level"], "")),
                )
                for row in metric_rows(document)
            ),
        )
    others = [one for one in document["rules"] if one["subject"] not in document["metrics"]]
    if others:
        page += "\n" + table(
            ("rule", "must hold", "verdict"),
            ((one["subject"], one["rule"], MARKED[one["level"]]) for one in others),
        )
    return page + "\n" + table(("evidence", "value"), facts(document))


def facts(document: Document) -> list[tuple[str, str]]:
    """Return what the verdict is about: bytes, commit, machine and time."""
    return [
        *((f"customers: {part}", str(count)) for part, count in document["rows"].items()),
        *(
            (name.replace("_", " "), str(document[name]))
            for name in (
                *("commit", "tree_clean", "data_sha256", "contract_sha256", "policy_sha256"),
                *("model_sha256", "created", "seconds"),
            )
        ),
        *((name.replace("_", " "), str(value)) for name, value in document["environment"].items()),
    ]


def to_html(document: Document) -> str:
    """Return a gate's document as one page that needs nothing from elsewhere."""
    measured = bool(document["metrics"])
    return render(
        "gate.html",
        document=document,
        champion=champion_sentence(document),
        metrics=metric_rows(document) if measured else [],
        pictures=_pictures(document) if measured else [],
        confusion=document.get("curves", {}).get("confusion"),
        slices=_slice_picture(document) if measured else None,
        evidence=facts(document),
    )


def _pictures(document: Document) -> list[tuple[str, Markup]]:
    now = document.get("curves") or {}
    then = _champion(document).get("curves") or {}
    if not now:
        return []
    histogram = now["histogram"]
    return [
        (
            "ROC curve",
            charts.curves(
                *(now["roc"], then.get("roc", [])),
                *("ROC curve", "false positive rate", "true positive rate"),
                diagonal=True,
            ),
        ),
        (
            "Precision-recall curve",
            charts.curves(
                *(now["precision_recall"], then.get("precision_recall", [])),
                *("precision-recall curve", "recall", "precision"),
            ),
        ),
        (
            "Calibration curve",
            charts.curves(
                *(_pairs(now["calibration"]), _pairs(then.get("calibration", []))),
                *("calibration curve", "mean predicted probability", "observed churn rate"),
                diagonal=True,
            ),
        ),
        (
            "Predicted probabilities: churned filled, retained as a line",
            charts.histogram(
                *(histogram["churned"], histogram["retained"], 0.0, 0.05),
                "predicted probabilities of churned and retained customers",
            ),
        ),
    ]


def _pairs(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    return [point[:2] for point in points]


def _slice_picture(document: Document) -> Markup | None:
    """Draw every slice that is large enough, the worst first."""
    met = {
        one["name"]: {each["metric"]: each for each in one["comparisons"]}
        for one in _champion(document).get("slices") or []
    }
    rows = []
    for one in document.get("slices") or []:
        estimate = (one["metrics"] or {}).get(SLICE_METRIC)
        if estimate and None not in estimate.values():
            compared = met.get(one["name"], {}).get(SLICE_METRIC, {}).get("champion")
            name = f"{one['name']} ({one['rows']})"
            rows.append((name, estimate["value"], estimate["low"], estimate["high"], compared))
    rows.sort(key=lambda row: row[1])
    overall = document["metrics"][SLICE_METRIC]["value"]
    if not rows or overall is None:
        return None
    return charts.intervals(rows[:SHOWN_SLICES], f"{SLICE_METRIC} by slices", overall)
