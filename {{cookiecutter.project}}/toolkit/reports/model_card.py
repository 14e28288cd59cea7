"""The model card: what a model is for and how good it is, written by the run that trained it.

Its sections and its front matter are those of the Hugging Face Hub, so that it can be published
there. The owner's words come from model_card.toml; every figure comes from the evidence.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..data import document as documents
from ..places import Places
from .files import cell, render, table, write_bytes
from .gate_report import (
    champion_sentence,
    evaluation_sentence,
    importance_picture,
    importance_sentence,
    important_features,
    metric_rows,
    name_and_unit,
    window_rows,
)

SCHEMA = 1
NAME = "model_card"
# The metrics that the Hub knows, by its names.
HUB_METRICS = ("roc_auc", "average_precision", "accuracy", "f1", "precision", "recall")
WORST_SLICES = 10

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A table of the card; the page shows a picture in its place, where there is one."""

    header: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    picture: Markup | None = None


Part = str | Table


@dataclass(frozen=True)
class Words:
    """The owner's words about a model."""

    name: str
    description: str
    owner: str
    contact: str
    license: str
    intended_use: str
    out_of_scope: str
    limits: str
    ethics: str


def load(path: Path) -> Words:
    """Read the owner's words.

    Raises
    ------
    ConfigurationError
        With the file and the key that is missing or unknown.
    """
    section = documents.read(path, SCHEMA)
    words = Words(**{name: section.take(name, str) for name in Words.__annotations__})
    section.finish()
    return words


def write(places: Places, document: Document) -> None:
    """Write the card of a trained model as Markdown and as HTML."""
    words = load(places.card)
    for ending, page in (("md", to_markdown), ("html", to_html)):
        write_bytes(places.reports / f"{NAME}.{ending}", page(words, document).encode())


def to_markdown(words: Words, document: Document) -> str:
    """Return the card with its front matter, which is JSON and so YAML too."""
    front = "".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}\n"
        for key, value in front_matter(words, document).items()
    )
    page = f"---\n{front}---\n\n# {cell(words.name)}\n\n"
    for heading, paragraphs in sections(words, document):
        page += f"## {heading}\n\n"
        for one in paragraphs:
            text = one.strip() + "\n" if isinstance(one, str) else table(one.header, one.rows)
            page += f"{text}\n"
    return page.rstrip() + "\n"


def to_html(words: Words, document: Document) -> str:
    """Return the card as one page that loads nothing else."""
    return render(
        "model_card.html", words=words, document=document, sections=sections(words, document)
    )


def version(document: Document) -> str:
    """Return the name that a release of this model will have."""
    return f"{(document['commit'] or 'uncommitted')[:12]}-{document['model_sha256'][:8]}"


def front_matter(words: Words, document: Document) -> dict[str, Any]:
    """Return what the Hub reads: licence, tags, and the metrics as a model index."""
    metrics = [
        {"type": name, "value": round(document["metrics"][name]["value"], 4)}
        for name in HUB_METRICS
        if document["metrics"].get(name, {}).get("value") is not None
    ]
    return {
        "license": words.license,
        "tags": ["churn", "tabular-classification", "onnx"],
        "model-index": [
            {
                "name": words.name,
                "results": [
                    {
                        "task": {"type": "tabular-classification"},
                        "dataset": {
                            "name": "held-out customers",
                            "type": "tabular",
                            "revision": document["data_sha256"],
                        },
                        "metrics": metrics,
                    }
                ],
            }
        ],
    }


def _as_of(document: Document) -> str:
    """Return the day of the table's snapshot; a table in git has none."""
    day = document.get("data_as_of")
    return f", as of {day}," if day else ""


def sections(words: Words, document: Document) -> list[tuple[str, list[Part]]]:
    """Return the card's sections: each a heading, with its texts and tables in order."""
    rows, commit = document["rows"], document["commit"] or "the code, which was not committed,"
    return [
        (
            "Model description",
            [
                words.description,
                Table(
                    ("fact", "value"),
                    [
                        ("version", version(document)),
                        ("owner", f"{words.owner}, {words.contact}"),
                        ("license", words.license),
                        ("estimator", document["estimator"]),
                        ("input features", ", ".join(document["input_features"])),
                        ("model sha256", document["model_sha256"]),
                    ],
                ),
            ],
        ),
        ("Intended use", [words.intended_use, f"Out of scope: {words.out_of_scope}"]),
        (
            "Training data",
            [
                f"The model was trained on {rows['trained']} customers. {rows['held_out']} others "
                f"were held out by a hash of their id; {document['churned']} of them churned. "
                f"The sha256 of the table{_as_of(document)} is {document['data_sha256']}, that of "
                f"its contract {document['contract_sha256']}."
            ],
        ),
        (
            "Evaluation",
            [
                f"On the held-out customers. Verdict of the quality gate: {document['verdict']}.",
                Table(
                    ("metric", "value", "95 % interval", "champion"),
                    [
                        (name_and_unit(row), row["value"], row["interval"], row["champion"])
                        for row in metric_rows(document)
                    ],
                ),
                champion_sentence(document),
                *_window(document),
            ],
        ),
        ("Input features", _importance(document)),
        ("Weakest slices", _slices(document)),
        (
            "Limits",
            [
                *(words.limits, words.ethics),
                *(f"Warning of the quality gate: {one}." for one in document["warnings"]),
                *_common_limits(document),
            ],
        ),
        (
            "How to reproduce",
            [
                f"With the table of the sha256 above, check out {commit} and type nox -s train. "
                "The same commit and the same data give the same bytes: the model's "
                f"sha256 must be {document['model_sha256']}.",
                Table(("environment", "value"), list(document["environment"].items())),
            ],
        ),
    ]


def _window(document: Document) -> list[Part]:
    """Return the out-of-time evaluation, where there is one."""
    rows = [
        (name_and_unit(row), row["value"], row["interval"], row["rules"])
        for row in window_rows(document)
    ]
    if not rows:
        return []
    header = ("metric", "value out of time", "95 % interval", "rule")
    return [evaluation_sentence(document), Table(header, rows)]


def _importance(document: Document) -> list[Part]:
    found = important_features(document)
    if not found:
        return ["The permutation importance was not measured."]
    rows = [(one["feature"], *_estimate(one | {"value": one["decrease"]})) for one in found]
    header = ("input feature", "decrease in ROC AUC", "95 % interval")
    return [importance_sentence(document), Table(header, rows, importance_picture(document))]


def _slices(document: Document) -> list[Part]:
    """Return the slices with the lowest ROC AUC, and the names of those too small to evaluate."""
    large = [one for one in document["slices"] if one["metrics"] is not None]
    small = [one["name"] for one in document["slices"] if one["metrics"] is None]
    ordered = sorted(large, key=lambda one: one["metrics"]["roc_auc"]["value"] or 0.0)
    parts: list[Part] = []
    if ordered:
        parts += [
            "The slices with the lowest ROC AUC:",
            Table(
                ("slice", "customers", "churned", "roc_auc", "95 % interval", "recall"),
                [
                    (
                        *(one["name"], one["rows"], one["churned"]),
                        *_estimate(one["metrics"]["roc_auc"]),
                        _estimate(one["metrics"]["recall"])[0],
                    )
                    for one in ordered[:WORST_SLICES]
                ],
            ),
        ]
    if small:
        parts.append(f"Too small to evaluate: {', '.join(small)}.")
    return parts


def _estimate(estimate: Mapping[str, float | None]) -> tuple[str, str]:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "", ""
    return f"{value:.4f}", f"{low:.4f} to {high:.4f}"


def _common_limits(document: Document) -> list[str]:
    missing = [one for one in document["slices"] if one["name"].endswith(" is null")]
    limits = [
        "The model was trained on past customers. When the customers change, nox -s data reports "
        "drift, and the model must be trained again.",
        "A null is treated like the median of the training data.",
    ]
    if missing:
        counts = ", ".join(f"{one['name']} ({one['rows']})" for one in missing)
        limits.append(f"Among the held-out customers: {counts}.")
    return limits
