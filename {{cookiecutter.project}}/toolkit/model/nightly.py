"""The nightly decision: whether tonight's model is proposed for release."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..reports.files import cell, table
from . import champion as champions
from .policy import NightlyPolicy

SCHEMA = 1
METRIC = "roc_auc"
# Worse, or no better, is not the same as: nobody could tell.
PROPOSE, KEEP, UNKNOWN = "propose", "keep", "unknown"


@dataclass(frozen=True)
class Decision:
    """What is to be done with tonight's model.

    Attributes
    ----------
    decision
        propose: it should be released to staging and proposed for prod; keep: it should not;
        unknown: it could not be compared, and is not.
    sentence
        Why, or why not.
    gain, p_value
        By how much it is better than the champion of some days ago, and how often a model that is
        no better would look so; None where there was none to compare with.
    """

    decision: str
    sentence: str
    gain: float | None = None
    p_value: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for reports/nightly.json."""
        return asdict(self)


def decide(document: Mapping[str, Any], told: Mapping[str, Any], policy: NightlyPolicy) -> Decision:
    """Decide by the gate's evidence, and by the comparison with the champion of some days ago.

    Only a model that passes its gate and is certainly better is proposed: a release that changes
    nothing is a risk for nothing.
    """
    if document["verdict"] != "passed":
        return Decision(KEEP, f"kept back: the gate says {'; '.join(document['reasons'])}")
    if told["state"] == champions.NONE_YET:
        return Decision(PROPOSE, "proposed: it passes its gate, and nothing has served yet")
    if told["state"] != champions.SCORED:
        return Decision(UNKNOWN, f"kept back: the earlier champion could not be met: {told['why']}")
    found = next((one for one in told["comparisons"] if one["metric"] == METRIC), None)
    if found is None or None in (found["loss"], found["p_value"]):
        return Decision(UNKNOWN, f"kept back: {METRIC} could not be compared")
    # The comparison asks how certainly it is worse; here the same is asked the other way round.
    gain, p_value = 0.0 - found["loss"], 1 - found["p_value"]
    figures = (
        f"{METRIC} {found['candidate']:.4f} against {found['champion']:.4f} of release "
        f"{told['release']}, which served {policy.days_ago} days ago"
    )
    if gain > 0 and p_value < policy.significance:
        return Decision(PROPOSE, f"proposed: {figures} (p {p_value:.2g})", gain, p_value)
    return Decision(KEEP, f"kept back: no better: {figures} (p {p_value:.2g})", gain, p_value)


def to_markdown(decision: Decision, document: Mapping[str, Any]) -> str:
    """Return reports/nightly.json as Markdown."""
    page = f"# Nightly training: {decision.decision}\n\n"
    page += f"{cell(decision.sentence)}\n\n"
    facts = {
        "gate": document["verdict"],
        "commit": document["commit"],
        "model sha256": document["model_sha256"],
        "data sha256": document["data_sha256"],
    }
    return page + table(("evidence", "value"), facts.items())
