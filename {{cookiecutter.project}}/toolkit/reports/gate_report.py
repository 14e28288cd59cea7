"""Reports what a gate has found: Markdown for a CI summary, and a page with pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ..model import champion as champions
from ..model.gates import OUT_OF_TIME
from ..policy_changes import HEADING, Change
from . import charts
from .files import cell, render, table

SHOWN_SLICES = 60
SLICE_METRIC = "roc_auc"
SHOWN_FEATURES = 20
SHOWN_CHANGES = 60
ZERO = "0.0000"
WINDOW_HEADING = "Out of time"
HASH_HEADING = "Drawn by a hash of the id"
MARKED = {"ok": "ok", "warn": "warn", "fail": "**fail**"}

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes
    ----------
    key
        The names of what is drawn, by the classes ``now`` and ``then`` of their colours.
    """

    title: str
    key: Mapping[str, str]
    picture: Markup


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


def window_rows(document: Document) -> list[dict[str, Any]]:
    """Return each metric of the out-of-time evaluation with its interval and its rules."""
    window = document.get("out_of_time") or {"metrics": {}}
    rules: dict[str, list[Document]] = {}
    for one in document["rules"]:
        rules.setdefault(one["subject"], []).append(one)
    return [
        {
            "name": name,
            "unit": estimate.get("unit", ""),
            "value": _figure(estimate["value"]),
            "interval": _interval(estimate["low"], estimate["high"]),
            "rules": "; ".join(one["rule"] for one in rules.get(f"{OUT_OF_TIME}{name}", [])),
            "level": _worst(one["level"] for one in rules.get(f"{OUT_OF_TIME}{name}", [])),
        }
        for name, estimate in window["metrics"].items()
    ]


def evaluation_sentence(document: Document) -> str:
    """Return which customers the rules of quality.toml hold for; empty where none is evaluated."""
    window = document.get("out_of_time")
    if window:
        return (
            f"The rules hold for {window['rows']} customers observed from {window['from']} to "
            f"{window['to']}, the newest whose labels are known, {window['churned']} of whom "
            "churned: the model was trained on none of these days. Slices, fairness and champion "
            "are judged on customers drawn by a hash of their id."
        )
    if document["metrics"]:
        return "The rules hold for customers drawn by a hash of their id."
    return ""


def name_and_unit(row: Mapping[str, Any]) -> str:
    """Return a metric's name, and its unit where the name does not contain it."""
    return f"{row['name']} ({row['unit']})" if row["unit"] else str(row["name"])


def _champion(document: Document) -> Document:
    return document.get("champion") or {}


def _worst(levels: Iterable[str]) -> str:
    found = set(levels)
    return next((level for level in ("fail", "warn", "ok") if level in found), "")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4f} to {high:.4f}"


def _difference(compared: Document) -> str:
    """Return how much better or worse the candidate is, with half of the 95 % interval."""
    loss, low, high = (compared.get(key) for key in ("loss", "low", "high"))
    if loss is None:
        return ""
    word = "worse" if loss > 0 else "better"
    size = f"{abs(loss):.4f}"
    difference = "equal" if size == ZERO else f"{word} by {size}"
    return difference if low is None or high is None else f"{difference} ± {(high - low) / 2:.4f}"


def champion_sentence(document: Document) -> str:
    """Return which champion the candidate was compared with, or why with none."""
    champion = _champion(document)
    match champion.get("state"):
        case champions.SCORED:
            return (
                f"Compared with release {champion['release']}, served by "
                f"{champion['environment']} since {champion['served_since']}, on the same "
                f"{champion['rows']} customers."
            )
        case champions.NONE_YET:
            return f"There is no champion yet: {champion['why']}."
        case champions.NOT_FETCHED:
            return f"Not compared with a champion: {champion['why']}."
        case champions.UNSCORABLE:
            return f"The champion {champion['release']} could not be scored: {champion['why']}."
    return "Not compared with a champion."


def policy_changes(document: Document) -> list[Change]:
    """Return what the policies ask otherwise than at the champion's commit, the laxer first."""
    return [Change(**one) for one in document.get("policy_changes") or []]


def laxer_sentences(document: Document) -> list[str]:
    """Return a sentence for each policy change that asks for less than the champion's."""
    return [f"policy change: {one}" for one in policy_changes(document) if one.laxer]


def policy_sentence(document: Document) -> str:
    """Return what the policy changes are held against, and how many there are."""
    changes = policy_changes(document)
    laxer = sum(one.laxer for one in changes)
    shown = f" The first {SHOWN_CHANGES} are shown." if len(changes) > SHOWN_CHANGES else ""
    release = _champion(document).get("release")
    return (
        f"What decides here, held against {f'release {release}' if release else 'the champion'}: "
        f"{len(changes)} changed, {laxer} of them laxer.{shown}"
    )


def policy_rows(document: Document) -> list[tuple[str, str, str, str, str]]:
    """Return the policy changes as rows: file, setting, the champion's value, today's, verdict."""
    return [
        (
            *(one.file, one.key or "cannot be compared"),
            *(one.old or "nothing", one.new or "nothing", "laxer" if one.laxer else ""),
        )
        for one in policy_changes(document)[:SHOWN_CHANGES]
    ]


def to_markdown(document: Document) -> str:
    """Return a gate's document (reports/gate.json) as Markdown."""
    page = f"# Quality gate ({document['training']} training): {document['verdict']}\n\n"
    for mark, sentences in (("**fails**", document["reasons"]), ("warns", document["warnings"])):
        page += "".join(f"- {mark}: {cell(sentence)}\n" for sentence in sentences)
    page += f"\n{cell(champion_sentence(document))}\n\n"
    if sentence := evaluation_sentence(document):
        page += f"{sentence}\n\n"
    if changes := policy_rows(document):
        page += f"## {HEADING}\n\n{policy_sentence(document)}\n\n"
        page += table(("file", "setting", "champion", "now", ""), changes) + "\n"
    rows = window_rows(document)
    if rows:
        page += f"## {WINDOW_HEADING}\n\n"
        page += table(
            ("metric", "value", "95 % interval", "rule", "verdict"),
            (
                (
                    *(name_and_unit(row), row["value"], row["interval"]),
                    *(row["rules"], MARKED.get(row["level"], "")),
                )
                for row in rows
            ),
        )
        page += f"\n## {HASH_HEADING}\n\n"
    if document["metrics"]:
        page += table(
            ("metric", "value", "95 % interval", "champion", "difference", "rule", "verdict"),
            (
                (
                    *(name_and_unit(row), row["value"], row["interval"], row["champion"]),
                    *(row["difference"], row["rules"], MARKED.get(row["level"], "")),
                )
                for row in metric_rows(document)
            ),
        )
    shown = {*document["metrics"], *(f"{OUT_OF_TIME}{row['name']}" for row in rows)}
    others = [one for one in document["rules"] if one["subject"] not in shown]
    if others:
        page += "\n" + table(
            ("rule", "requirement", "verdict"),
            ((one["subject"], one["rule"], MARKED[one["level"]]) for one in others),
        )
    return page + "\n" + table(("evidence", "value"), facts(document))


def facts(document: Document) -> list[tuple[str, str]]:
    """Return what identifies the run: the commit, the sha256 of the files, machine and time."""
    return [
        *((f"customers: {part}", str(count)) for part, count in document["rows"].items()),
        *(
            (name.replace("_", " "), str(document[name]))
            for name in (
                *("commit", "tree_clean", "data_sha256", "data_as_of", "contract_sha256"),
                *("policy_sha256", "model_sha256", "created", "seconds"),
            )
            if document.get(name) is not None or name != "data_as_of"
        ),
        *((name.replace("_", " "), str(value)) for name, value in document["environment"].items()),
    ]


def to_html(document: Document) -> str:
    """Return a gate's document as one page that loads nothing else."""
    measured = bool(document["metrics"])
    return render(
        "gate.html",
        document=document,
        champion=champion_sentence(document),
        policy_heading=HEADING,
        policy_sentence=policy_sentence(document),
        policy_rows=policy_rows(document),
        evaluation=evaluation_sentence(document),
        window=window_rows(document),
        window_heading=WINDOW_HEADING,
        metrics=metric_rows(document) if measured else [],
        pictures=_pictures(document) if measured else [],
        confusion=document.get("curves", {}).get("confusion"),
        importance=importance_picture(document),
        importance_caption=importance_sentence(document),
        slices=_slice_picture(document) if measured else None,
        evidence=facts(document),
    )


def _pictures(document: Document) -> list[Picture]:
    now = document.get("curves") or {}
    then = _champion(document).get("curves") or {}
    if not now:
        return []
    models = {"now": "candidate"} | ({"then": "champion"} if then else {})
    histogram = now["histogram"]
    return [
        Picture(
            "ROC curve",
            models,
            charts.curves(
                *(now["roc"], then.get("roc", [])),
                *("ROC curve", "false positive rate", "true positive rate"),
                diagonal=True,
            ),
        ),
        Picture(
            "Precision-recall curve",
            models,
            charts.curves(
                *(now["precision_recall"], then.get("precision_recall", [])),
                *("precision-recall curve", "recall", "precision"),
            ),
        ),
        Picture(
            "Calibration curve",
            models,
            charts.curves(
                *(_pairs(now["calibration"]), _pairs(then.get("calibration", []))),
                *("calibration curve", "mean predicted probability", "observed churn rate"),
                diagonal=True,
            ),
        ),
        Picture(
            "Predicted probabilities",
            {"now": "churned", "then": "retained"},
            charts.histogram(
                *(histogram["churned"], histogram["retained"], 0.0, 1 / len(histogram["churned"])),
                "predicted probabilities of churned and of retained customers",
                *("predicted probability of churn", "share of customers"),
            ),
        ),
    ]


def _pairs(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    return [point[:2] for point in points]


def important_features(document: Document) -> list[dict[str, Any]]:
    """Return the permutation importance of the input features, the highest first, not of all."""
    measured = document.get("permutation_importance") or {"features": []}
    return list(measured["features"][:SHOWN_FEATURES])


def importance_sentence(document: Document) -> str:
    """Return how the permutation importance was measured; empty where it was not."""
    measured = document.get("permutation_importance")
    if not measured:
        return ""
    count, shown = len(measured["features"]), len(important_features(document))
    customers = "held-out customers"
    if document["training"] == "quick":
        customers = "customers, each predicted by a model that was trained on the other folds"
    return (
        "Decrease in ROC AUC when the values of one input feature are shuffled, with its 95 % "
        f"interval: mean of {measured['repeats']} shuffles, on {measured['rows']} {customers}."
        + (f" The {shown} highest of {count} features." if shown < count else "")
    )


def importance_picture(document: Document) -> Markup | None:
    """Draw the permutation importance; None where there is none."""
    rows = [
        (one["feature"], one["decrease"], one["low"], one["high"], None)
        for one in important_features(document)
    ]
    if not rows:
        return None
    return charts.intervals(rows, "permutation importance", "decrease in ROC AUC", 0.0)


def _slice_picture(document: Document) -> Markup | None:
    """Draw the ROC AUC of every slice that is large enough, the lowest first."""
    comparisons = {
        one["name"]: {each["metric"]: each for each in one["comparisons"]}
        for one in _champion(document).get("slices") or []
    }
    rows = []
    for one in document.get("slices") or []:
        estimate = (one["metrics"] or {}).get(SLICE_METRIC)
        if estimate and None not in estimate.values():
            compared = comparisons.get(one["name"], {}).get(SLICE_METRIC, {}).get("champion")
            name = f"{one['name']} ({one['rows']})"
            rows.append((name, estimate["value"], estimate["low"], estimate["high"], compared))
    rows.sort(key=lambda row: row[1])
    overall = document["metrics"][SLICE_METRIC]["value"]
    if not rows or overall is None:
        return None
    return charts.intervals(rows[:SHOWN_SLICES], "ROC AUC by slice", "ROC AUC", overall)
