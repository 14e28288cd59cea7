"""The report of the feature consistency check, as Markdown."""

from collections.abc import Mapping
from typing import Any

from .files import cell, table


def to_markdown(document: Mapping[str, Any]) -> str:
    """Return reports/features.json as Markdown."""
    page = f"# Feature consistency: {document['verdict']}\n\n"
    page += "".join(f"- **fails**: {cell(reason)}\n" for reason in document["reasons"])
    if "names" in document:
        facts = {
            "features, in the order of the model's input": ", ".join(document["names"]),
            "rows compared": document["rows"],
            "largest difference of a feature value": f"{document['feature_difference']:.2g}",
            "largest difference of a prediction": f"{document['prediction_difference']:.2g}",
        }
        page += table(("what", "value"), facts.items())
    return page
