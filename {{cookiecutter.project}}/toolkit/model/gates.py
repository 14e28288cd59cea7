"""The quality gate: one pure function from evidence and policy to a verdict with its reasons.

It fails closed: what is missing, not a number, or of another version than the policy is a failure
with a reason, and never a pass.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any

from ..data.probe import SUSPICIOUS_AUC
from . import champion_gate
from .policy import FairnessRule, Policy, Rule
from .policy_file import FULL_TRAINING_METRICS
from .verdicts import FAIL, WARN, Outcome, Verdict, failed, held, named, number

EVIDENCE_SCHEMA = 2
GUESSING_AUC = 0.5


def decide(evidence: Mapping[str, Any], policy: Policy) -> Verdict:
    """Hold evidence against the policy.

    Parameters
    ----------
    evidence
        As `measurement` makes it and reports/gate.json keeps it.
    """
    outcomes = list(_versions(evidence, policy))
    if not any(one.level == FAIL for one in outcomes):
        outcomes += [
            *_common_sense(evidence),
            *_bounds(evidence, policy),
            *_slices(evidence, policy),
            *champion_gate.outcomes(evidence, policy),
            *_fairness(evidence, policy),
        ]
    return Verdict(tuple(outcomes))


def _versions(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    """Refuse to judge what was measured in another format, or under another policy."""
    for key, wanted in (("schema", EVIDENCE_SCHEMA), ("policy_sha256", policy.sha256)):
        found = evidence.get(key)
        if found != wanted:
            yield failed(key, f"is {wanted}", f"the evidence's {key} is {found}, not {wanted}")
    training = evidence.get("training")
    if training not in ("quick", "full"):
        yield failed("training", "quick or full", f"the evidence is of a {training!r} training")


def _common_sense(evidence: Mapping[str, Any]) -> Iterator[Outcome]:
    """Stop what no threshold should have to be written for."""
    answers = number(evidence, "answers")
    same = "the model gives every customer the same probability: it has learnt nothing"
    yield held("answers", "more than one", answers, answers is not None and answers > 1, same)
    auc, low, high = (
        number(evidence, "metrics", "roc_auc", key) for key in ("value", "low", "high")
    )
    told = auc is not None and low is not None and high is not None
    guessing = (
        f"the model cannot tell who leaves from who stays: its roc_auc is {auc:.3f}, somewhere "
        f"from {low:.3f} to {high:.3f}, and guessing gives {GUESSING_AUC}"
        if told
        else "roc_auc is missing, or not a number"
    )
    better = low is not None and told and low > GUESSING_AUC
    yield held("roc_auc", "certainly better than guessing", auc, better, guessing)


def _bounds(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    checked = 0
    units = {one.name: f" {one.metric.unit}" for one in policy.metrics if one.metric.unit}
    for rule in policy.rules:
        if rule.metric in FULL_TRAINING_METRICS and evidence["training"] == "quick":
            continue  # There is no model yet that could be released.
        checked += 1
        value = number(evidence, "metrics", rule.metric, "value")
        yield _bound(rule, value, evidence, units.get(rule.metric, ""))
    if not checked:
        yield failed("rules", "at least one", "no rule was checked")


def _bound(rule: Rule, value: float | None, evidence: Mapping[str, Any], unit: str) -> Outcome:
    words = f"{'at least' if rule.bound == 'min' else 'at most'} {rule.threshold:g}{unit}"
    if value is None:
        # Also where breaking the rule would only warn: nothing is known of it.
        return failed(rule.metric, words, f"{rule.metric} is missing, or not a number")
    kept = value >= rule.threshold if rule.bound == "min" else value <= rule.threshold
    side = "below" if rule.bound == "min" else "above"
    sentence = (
        f"{rule.metric} is {value:.4f}{unit}, {side} the {rule.bound} of {rule.threshold:g}: "
        f"{rule.reason}"
    )
    alone = number(evidence, "strongest_column", "roc_auc")
    if (rule.metric, rule.bound) == ("roc_auc", "max") and (alone or 0) >= SUSPICIOUS_AUC:
        name = evidence["strongest_column"]["name"]
        sentence += f"; the column {name} alone reaches {alone:.4f}"
    return held(rule.metric, words, value, kept, sentence, rule.level)


def _slices(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    slices = evidence.get("slices")
    if not isinstance(slices, list) or not slices or not all(isinstance(x, dict) for x in slices):
        yield failed("slices", "measured", "the slices are missing")
        return
    large = [one for one in slices if one.get("metrics") is not None]
    if not large:
        sentence = (
            f"no slice has {policy.slices.min_rows} customers, {policy.slices.min_of_each} of each "
            "kind: how groups of them are served is not known"
        )
        yield Outcome("slices", "large enough to be judged", None, WARN, sentence)
    for rule in policy.slices.rules:
        if rule.kind == "max_loss":
            yield from champion_gate.slice_losses(rule, evidence, policy)
            continue
        subject, broken, unknown = f"slices: {rule.metric}", [], []
        overall = number(evidence, "metrics", rule.metric, "value")
        floor = rule.threshold
        if rule.kind == "max_below":
            floor = (overall if overall is not None else math.nan) - rule.threshold
        words = f"at least {floor:.3f} in each of {len(large)} slices"
        reach = _quantile(policy.slices.significance / max(len(large), 1))
        for one in large:
            value, low, high = (
                number(one, "metrics", rule.metric, key) for key in ("value", "low", "high")
            )
            if value is None or low is None or high is None or not math.isfinite(floor):
                unknown.append(str(one.get("name")))
            elif value + reach * (high - low) / (2 * _quantile(0.025)) < floor:
                broken.append(f"{one.get('name')}: {value:.3f} of {one.get('rows')} customers")
        if unknown:
            names = named(unknown)
            yield failed(subject, words, f"{rule.metric} is missing or no number in {names}")
        else:
            sentence = f"{rule.metric} is certainly below {floor:.3f} in {named(broken)}"
            yield held(subject, words, None, not broken, f"{sentence}: {rule.reason}", rule.level)


def _fairness(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    gaps = evidence.get("fairness")
    for column in policy.fairness.columns:
        for rule in policy.fairness.rules:
            yield _gap(rule, column, gaps if isinstance(gaps, list) else [], policy)


def _gap(
    rule: FairnessRule, column: str, gaps: Sequence[Mapping[str, Any]], policy: Policy
) -> Outcome:
    subject = f"fairness: {rule.metric} by {column}"
    words = f"no certain gap above {rule.max_gap:g} between the groups"
    wanted = {"column": column, "metric": rule.metric}
    found = next(
        (one for one in gaps if isinstance(one, Mapping) and wanted.items() <= one.items()), {}
    )
    gap, p_value = number(found, "gap"), number(found, "p_value")
    if gap is None or p_value is None:
        why = f"fewer than two groups of {column} have {policy.fairness.min_rows} customers"
        return failed(subject, words, f"{subject} cannot be told: {why}, or it is no category")
    shares = found.get("shares") or {}
    ordered = sorted(shares, key=lambda name: shares[name])
    sentence = (
        f"{rule.metric} is {shares[ordered[0]]:.3f} for {column} {ordered[0]} and "
        f"{shares[ordered[-1]]:.3f} for {ordered[-1]}: {rule.reason}"
    )
    unfair = gap > rule.max_gap and p_value < policy.fairness.significance
    return held(subject, words, gap, not unfair, sentence, rule.level)


def _quantile(tail: float) -> float:
    """Return how many standard deviations leave this share in one tail."""
    return NormalDist().inv_cdf(1 - tail)
