"""The nightly decision: whether the night's model is proposed for release."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..reports.files import cell, table
from . import champion as champions
from .decay import Decay
from .policy import NightlyPolicy

SCHEMA = 1
METRIC = "roc_auc"
# A model that is no better is kept back; one that could not be compared is unknown.
PROPOSE, KEEP, UNKNOWN = "propose", "keep", "unknown"


@dataclass(frozen=True)
class Decision:
    """What to do with the night's model.

    Attributes
    ----------
    decision
        propose: release it to staging and propose it for prod; keep: do not; unknown: do not,
        because it could not be compared.
    sentence
        The reason.
    gain, p_value
        How much better its ROC AUC is than that of the release that the sentence names, and the
        chance that a model no better looks so; None where there was none to compare with.
    """

    decision: str
    sentence: str
    gain: float | None = None
    p_value: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the decision as reports/nightly.json keeps it."""
        return asdict(self)


def decide(
    document: Mapping[str, Any], earlier: Mapping[str, Any], policy: NightlyPolicy
) -> Decision:
    """Decide by the gate's evidence, and by the comparison with the champion of some days ago.

    Where another release serves meanwhile, by the comparison with that one too. Only a model that
    passes its gate and is significantly better is proposed: a release without a gain is a risk
    without a reason.
    """
    if document["verdict"] != "passed":
        return Decision(KEEP, f"kept back: the gate failed: {'; '.join(document['reasons'])}")
    if earlier["state"] == champions.NONE_YET:
        return Decision(PROPOSE, "proposed: it passes its gate, and nothing has served yet")
    if earlier["state"] != champions.SCORED:
        why = f"kept back: it could not be compared with the earlier champion: {earlier['why']}"
        return Decision(UNKNOWN, why)
    decision = _compared(earlier, _served(earlier, policy.days_ago), policy)
    present = document["champion"]
    # In the days after a promotion a model must beat the new release too, or each night's would.
    if decision.decision == PROPOSE and present["release"] not in (None, earlier["release"]):
        against_present = _compared(present, "which serves", policy)
        if against_present.decision != PROPOSE:
            return against_present
    return decision


def _compared(champion: Mapping[str, Any], which: str, policy: NightlyPolicy) -> Decision:
    """Decide by the comparison with one release; `which` says in words which one it is."""
    found = next((one for one in champion["comparisons"] if one["metric"] == METRIC), None)
    if found is None or None in (found["loss"], found["p_value"]):
        return Decision(UNKNOWN, f"kept back: {METRIC} could not be compared")
    # The comparison's p-value is of being worse; this one is of being better, which no tie is.
    gain, p_worse = 0.0 - found["loss"], found["p_value"]
    p_value = 1 - p_worse if gain else max(p_worse, 1 - p_worse)
    figures = (
        f"{METRIC} {found['candidate']:.4f} against {found['champion']:.4f} of release "
        f"{champion['release']}, {which}"
    )
    if gain > 0 and p_value < policy.significance:
        return Decision(PROPOSE, f"proposed: {figures} (p {p_value:.2g})", gain, p_value)
    return Decision(KEEP, f"kept back: no better: {figures} (p {p_value:.2g})", gain, p_value)


def nothing_new(release: str, document: Mapping[str, Any]) -> Decision:
    """Decide about a night whose training would make the model of the release that serves."""
    table = f"table {str(document['data_sha256'])[:12]}"
    return Decision(KEEP, f"nothing new: release {release} was trained on the same {table}")


def _served(earlier: Mapping[str, Any], days_ago: int) -> str:
    """Return when the earlier champion served: a young environment has only its first release."""
    since = earlier["served_since"]
    if datetime.fromisoformat(since) <= datetime.now(UTC) - timedelta(days=days_ago):
        return f"which served {days_ago} days ago"
    return f"the first that was verified, at {since}"


def to_markdown(decision: Decision, document: Mapping[str, Any], watched: Decay | None) -> str:
    """Return reports/nightly.json as Markdown."""
    page = f"# Nightly training: {decision.decision}\n\n"
    page += f"{cell(decision.sentence)}\n\n"
    if watched:
        page += f"The release that serves: **{watched.state}**: {cell(watched.sentence)}\n\n"
    facts = {
        "gate": document["verdict"],
        "commit": document["commit"],
        "model sha256": document["model_sha256"],
        "data sha256": document["data_sha256"],
    }
    if document.get("data_as_of"):
        facts["data as of"] = document["data_as_of"]
    return page + table(("evidence", "value"), facts.items())
