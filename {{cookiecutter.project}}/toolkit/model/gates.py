"""The quality gate: a pure function from evidence and policy to a verdict with its reasons.

It fails closed: a figure that is missing or no number, and evidence of another version than the
policy, fail with a reason and never pass.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any

from ..data.probe import SUSPICIOUS_AUC
from . import champion_gate
from .policy import TIME, FairnessRule, Policy, Rule
from .policy_file import FULL_TRAINING_METRICS
from .verdicts import FAIL, OK, WARN, Outcome, Verdict, checked, listed, not_checked, number

EVIDENCE_SCHEMA = 2
GUESSING_AUC = 0.5
OUT_OF_TIME = "out of time: "


def decide(evidence: Mapping[str, Any], policy: Policy) -> Verdict:
    """Check evidence against the policy.

    Parameters
    ----------
    evidence
        As `measurement` returns it and reports/gate.json keeps it.
    """
    outcomes = list(_versions(evidence, policy))
    if not any(one.level == FAIL for one in outcomes):
        outcomes += [
            *_data(evidence),
            *_sanity(evidence),
            *_window(evidence, policy),
            *_bounds(evidence, policy),
            *_slices(evidence, policy),
            *champion_gate.outcomes(evidence, policy),
            *_fairness(evidence, policy),
        ]
    return Verdict(tuple(outcomes))


def _versions(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    """Refuse evidence in another format, or measured under another policy."""
    for key, wanted in (("schema", EVIDENCE_SCHEMA), ("policy_sha256", policy.sha256)):
        found = evidence.get(key)
        if found != wanted:
            yield not_checked(key, f"is {wanted}", f"the evidence's {key} is {found}, not {wanted}")
    training = evidence.get("training")
    if training not in ("quick", "full"):
        yield not_checked(
            "training", "quick or full", f"the evidence is of a {training!r} training"
        )


def _data(evidence: Mapping[str, Any]) -> Iterator[Outcome]:
    """Tell again what the data check warned of: a model is no better than its table."""
    warnings = evidence.get("data_warnings")
    words = "the data check warns of nothing"
    if not isinstance(warnings, list):
        sentence = "the evidence does not say what the data check warned of"
        yield not_checked("data", words, sentence)
    elif not warnings:
        yield Outcome("data", words, None, OK, "")
    else:
        yield from (Outcome("data", words, None, WARN, f"the data: {one}") for one in warnings)


def _sanity(evidence: Mapping[str, Any]) -> Iterator[Outcome]:
    """Check what holds without any rule in quality.toml."""
    answers = number(evidence, "answers")
    same = "the model predicts the same probability for every customer"
    varied = answers is not None and answers > 1
    yield checked("distinct probabilities", "more than one", answers, varied, same)
    yield _better_than_guessing(evidence, "")


def _window(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    """Check that the evidence has the out-of-time evaluation that the policy asks for."""
    if policy.training.evaluate == TIME:
        yield _better_than_guessing(evidence.get("out_of_time"), OUT_OF_TIME)


def _better_than_guessing(evaluation: object, where: str) -> Outcome:
    """Check the ROC AUC of an evaluation; `where` begins what is said of it."""
    auc, low, high = (
        number(evaluation, "metrics", "roc_auc", key) for key in ("value", "low", "high")
    )
    subject, words = f"{where}roc_auc", "significantly better than random guessing"
    if auc is None or low is None or high is None:
        return not_checked(subject, words, f"{subject} is missing, or not a number")
    guessing = (
        f"{where}the model is not {words}, {GUESSING_AUC}: its roc_auc is {auc:.3f}, with a 95 % "
        f"interval from {low:.3f} to {high:.3f}"
    )
    return checked(subject, words, auc, low > GUESSING_AUC, guessing)


def _bounds(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    count = 0
    units = {one.name: f" {one.metric.unit}" for one in policy.metrics if one.metric.unit}
    for rule in policy.rules:
        if rule.metric in FULL_TRAINING_METRICS and evidence["training"] == "quick":
            continue  # There is no model yet that could be released.
        count += 1
        # Size, speed and overfitting are of the model, whoever it is evaluated on.
        in_window = policy.training.evaluate == TIME and rule.metric not in FULL_TRAINING_METRICS
        decides = evidence.get("out_of_time") if in_window else evidence
        value = number(decides, "metrics", rule.metric, "value")
        subject = f"{OUT_OF_TIME * in_window}{rule.metric}"
        yield _bound(rule, subject, value, evidence, units.get(rule.metric, ""))
    if not count:
        yield not_checked("rules", "at least one", "no rule was checked")


def _bound(
    rule: Rule, subject: str, value: float | None, evidence: Mapping[str, Any], unit: str
) -> Outcome:
    words = f"{'at least' if rule.bound == 'min' else 'at most'} {rule.threshold:g}{unit}"
    if value is None:
        return not_checked(subject, words, f"{subject} is missing, or not a number")
    passed = value >= rule.threshold if rule.bound == "min" else value <= rule.threshold
    side = "below" if rule.bound == "min" else "above"
    sentence = (
        f"{subject} is {value:.4f}{unit}, {side} the {rule.bound} of {rule.threshold:g}: "
        f"{rule.reason}"
    )
    alone = number(evidence, "strongest_column", "roc_auc")
    if (rule.metric, rule.bound) == ("roc_auc", "max") and (alone or 0) >= SUSPICIOUS_AUC:
        name = evidence["strongest_column"]["name"]
        sentence += f"; the column {name} alone reaches {alone:.4f}"
    return checked(subject, words, value, passed, sentence, rule.level)


def _slices(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    slices = evidence.get("slices")
    if not isinstance(slices, list) or not slices or not all(isinstance(x, dict) for x in slices):
        yield not_checked("slices", "measured", "the slices are missing")
        return
    large = [one for one in slices if one.get("metrics") is not None]
    if not large:
        sentence = (
            f"no slice has {policy.slices.min_rows} customers, {policy.slices.min_of_each} of each "
            "label: no slice was evaluated"
        )
        yield Outcome("slices", "large enough to evaluate", None, WARN, sentence)
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
                broken.append(f"{one.get('name')} ({value:.3f}, {one.get('rows')} customers)")
        if unknown:
            names = listed(unknown)
            sentence = f"{rule.metric} is missing, or not a number, in {names}"
            yield not_checked(subject, words, sentence)
        else:
            sentence = f"{rule.metric} is significantly below {floor:.3f} in {listed(broken)}"
            yield checked(
                subject, words, None, not broken, f"{sentence}: {rule.reason}", rule.level
            )


def _fairness(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    gaps = evidence.get("fairness")
    for column in policy.fairness.columns:
        for rule in policy.fairness.rules:
            yield _gap(rule, column, gaps if isinstance(gaps, list) else [], policy)


def _gap(
    rule: FairnessRule, column: str, gaps: Sequence[Mapping[str, Any]], policy: Policy
) -> Outcome:
    subject = f"fairness: {rule.metric} by {column}"
    words = f"no significant gap above {rule.max_gap:g} between the groups"
    wanted = {"column": column, "metric": rule.metric}
    found = next(
        (one for one in gaps if isinstance(one, Mapping) and wanted.items() <= one.items()), {}
    )
    gap, p_value = number(found, "gap"), number(found, "p_value")
    if gap is None or p_value is None:
        why = f"fewer than two groups of {column} have {policy.fairness.min_rows} customers"
        sentence = f"{subject} was not measured: {why}, or it is no category"
        return not_checked(subject, words, sentence)
    shares = found.get("shares") or {}
    ordered = sorted(shares, key=lambda name: shares[name])
    sentence = (
        f"{rule.metric} is {shares[ordered[0]]:.3f} for {column} = {ordered[0]} and "
        f"{shares[ordered[-1]]:.3f} for {ordered[-1]}: {rule.reason}"
    )
    unfair = gap > rule.max_gap and p_value < policy.fairness.significance
    return checked(subject, words, gap, not unfair, sentence, rule.level)


def _quantile(tail: float) -> float:
    """Return the quantile of the normal distribution that leaves this share in the upper tail."""
    return NormalDist().inv_cdf(1 - tail)
