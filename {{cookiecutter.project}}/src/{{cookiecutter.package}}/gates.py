"""The quality gate: one pure function from evidence and policy to a verdict with its reasons.

It fails closed: what is missing, not a number, or of another version than the policy is a failure
with a reason, and never a pass.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from . import champion as champions
from .policy import ChampionRule, FairnessRule, Policy, Rule, SliceRule
from .policy_file import OF_THE_MODEL
from .probe import SUSPICIOUS_AUC

EVIDENCE_SCHEMA = 2
FAIL, WARN, OK = "fail", "warn", "ok"
GUESSING_AUC = 0.5
NAMED = 5


@dataclass(frozen=True)
class Outcome:
    """What came of one rule.

    Attributes
    ----------
    subject
        What the rule is about: a metric, with its slice or column, or a circumstance.
    rule
        What must hold.
    value
        The figure that was held against it; None where there is none, or it is no number.
    level
        ``ok``, ``warn`` or ``fail``.
    sentence
        What a person would say.
    """

    subject: str
    rule: str
    value: float | None
    level: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What came of all rules."""

    outcomes: tuple[Outcome, ...]

    @property
    def reasons(self) -> list[str]:
        """A sentence for each rule that failed."""
        return [one.sentence for one in self.outcomes if one.level == FAIL]

    @property
    def warnings(self) -> list[str]:
        """A sentence for each rule that only warns, and was broken."""
        return [one.sentence for one in self.outcomes if one.level == WARN]

    @property
    def passed(self) -> bool:
        """Whether every rule was checked and none failed."""
        return bool(self.outcomes) and not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Return what the evidence keeps of it."""
        return {
            "verdict": "passed" if self.passed else "failed",
            "reasons": self.reasons,
            "warnings": self.warnings,
            "rules": [vars(outcome) for outcome in self.outcomes],
        }


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
            *_champion(evidence, policy),
            *_fairness(evidence, policy),
        ]
    return Verdict(tuple(outcomes))


def _versions(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    """Refuse to judge what was measured in another format, or under another policy."""
    for key, wanted in (("schema", EVIDENCE_SCHEMA), ("policy_sha256", policy.sha256)):
        found = evidence.get(key)
        if found != wanted:
            yield _failed(key, f"is {wanted}", f"the evidence's {key} is {found}, not {wanted}")
    training = evidence.get("training")
    if training not in ("quick", "full"):
        yield _failed("training", "quick or full", f"the evidence is of a {training!r} training")


def _common_sense(evidence: Mapping[str, Any]) -> Iterator[Outcome]:
    """Stop what no threshold should have to be written for."""
    answers = _number(evidence, "answers")
    same = "the model gives every customer the same probability: it has learnt nothing"
    yield _held("answers", "more than one", answers, answers is not None and answers > 1, same)
    auc, low, high = (
        _number(evidence, "metrics", "roc_auc", key) for key in ("value", "low", "high")
    )
    told = auc is not None and low is not None and high is not None
    guessing = (
        f"the model cannot tell who leaves from who stays: its roc_auc is {auc:.3f}, somewhere "
        f"from {low:.3f} to {high:.3f}, and guessing gives {GUESSING_AUC}"
        if told
        else "roc_auc is missing, or not a number"
    )
    better = low is not None and told and low > GUESSING_AUC
    yield _held("roc_auc", "certainly better than guessing", auc, better, guessing)


def _bounds(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    checked = 0
    for rule in policy.rules:
        if rule.metric in OF_THE_MODEL and evidence["training"] == "quick":
            continue  # There is no model yet that could be released.
        checked += 1
        value = _number(evidence, "metrics", rule.metric, "value")
        yield _bound(rule, value, evidence)
    if not checked:
        yield _failed("rules", "at least one", "no rule was checked")


def _bound(rule: Rule, value: float | None, evidence: Mapping[str, Any]) -> Outcome:
    words = f"{'at least' if rule.bound == 'min' else 'at most'} {rule.threshold:g}"
    if value is None:
        # Also where breaking the rule would only warn: nothing is known of it.
        return _failed(rule.metric, words, f"{rule.metric} is missing, or not a number")
    kept = value >= rule.threshold if rule.bound == "min" else value <= rule.threshold
    side = "below" if rule.bound == "min" else "above"
    sentence = (
        f"{rule.metric} is {value:.4f}, {side} the {rule.bound} of {rule.threshold:g}: "
        f"{rule.reason}"
    )
    alone = _number(evidence, "strongest_column", "roc_auc")
    if (rule.metric, rule.bound) == ("roc_auc", "max") and (alone or 0) >= SUSPICIOUS_AUC:
        name = evidence["strongest_column"]["name"]
        sentence += f"; the column {name} alone reaches {alone:.4f}"
    return _held(rule.metric, words, value, kept, sentence, rule.level)


def _slices(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    slices = evidence.get("slices")
    if not isinstance(slices, list) or not slices or not all(isinstance(x, dict) for x in slices):
        yield _failed("slices", "measured", "the slices are missing")
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
            yield from _slice_losses(rule, evidence, policy)
            continue
        subject, broken, unknown = f"slices: {rule.metric}", [], []
        overall = _number(evidence, "metrics", rule.metric, "value")
        floor = rule.threshold
        if rule.kind == "max_below":
            floor = (overall if overall is not None else math.nan) - rule.threshold
        words = f"at least {floor:.3f} in each of {len(large)} slices"
        reach = _quantile(policy.slices.significance / max(len(large), 1))
        for one in large:
            value, low, high = (
                _number(one, "metrics", rule.metric, key) for key in ("value", "low", "high")
            )
            if value is None or low is None or high is None or not math.isfinite(floor):
                unknown.append(str(one.get("name")))
            elif value + reach * (high - low) / (2 * _quantile(0.025)) < floor:
                broken.append(f"{one.get('name')}: {value:.3f} of {one.get('rows')} customers")
        if unknown:
            names = _named(unknown)
            yield _failed(subject, words, f"{rule.metric} is missing or no number in {names}")
        else:
            sentence = f"{rule.metric} is certainly below {floor:.3f} in {_named(broken)}"
            yield _held(subject, words, None, not broken, f"{sentence}: {rule.reason}", rule.level)


def _slice_losses(
    rule: SliceRule, evidence: Mapping[str, Any], policy: Policy
) -> Iterator[Outcome]:
    told = evidence.get("champion")
    if not isinstance(told, dict) or told.get("state") != champions.SCORED:
        return  # That there is no champion to compare with is said once, elsewhere.
    subject = f"slices against the champion: {rule.metric}"
    slices = told.get("slices")
    if not isinstance(slices, list):
        yield _failed(subject, "compared", "the slices were not compared with the champion's")
        return
    words = f"no certain loss above {rule.threshold:g} in any of {len(slices)} slices"
    broken, unknown = [], []
    for one in slices:
        entry = one if isinstance(one, Mapping) else {}
        found = _comparison(entry.get("comparisons"), rule.metric)
        loss, p_value = _number(found, "loss"), _number(found, "p_value")
        if loss is None or p_value is None:
            unknown.append(str(entry.get("name")))
        elif loss > rule.threshold and p_value < policy.slices.significance / len(slices):
            broken.append(f"{entry.get('name')}: worse by {loss:.3f}")
    if unknown:
        yield _failed(subject, words, f"{rule.metric} was not compared in {_named(unknown)}")
    else:
        sentence = f"{rule.metric} is worse than the champion's in {_named(broken)}"
        yield _held(subject, words, None, not broken, f"{sentence}: {rule.reason}", rule.level)


def _champion(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    """Every case of a champion has its own sentence; one that is not known here fails."""
    told = evidence.get("champion")
    state = told.get("state") if isinstance(told, dict) else None
    why = told.get("why") if isinstance(told, dict) else None
    if not isinstance(told, dict) or state not in champions.STATES:
        yield _failed("champion", "told", "nothing is told of the champion")
    elif state == champions.NONE_YET:
        yield Outcome("champion", "none yet", None, OK, f"there is no champion yet: {why}")
    elif state == champions.NOT_FETCHED:
        sentence = f"the model was compared with no champion: {why}"
        yield Outcome("champion", "fetched", None, WARN, sentence)
    elif state == champions.UNSCORABLE:
        sentence = f"the champion {told.get('release')} cannot be scored any more: {why}"
        yield _held("champion", "scored", None, False, sentence, policy.champion.other_features)
    else:
        yield from _met(told, policy)


def _met(told: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    release, rules = told.get("release"), policy.champion
    age = _number(told, "age_days")
    yield _held(
        "champion: age",
        f"fetched no longer than {rules.max_age_days:g} days ago",
        age,
        age is not None and age <= rules.max_age_days,
        f"the champion {release} was fetched {_days(age)} ago, and something else may serve now: "
        "invoke champion --env prod",
    )
    rows, refused = _number(told, "rows"), _number(told, "refused")
    share = refused / (rows + refused) if rows and refused is not None else None
    yield _held(
        "champion: answers",
        f"refuses at most {rules.max_refused:.0%} of the customers",
        share,
        share is not None and share <= rules.max_refused,
        f"the champion {release} refuses to answer {_percent(share)} of the held-out customers: "
        "the rest is another clientele",
    )
    then, now = _number(told, "rows_when_released"), _number(told, "held_out")
    kept = then is None or (now is not None and now >= rules.min_rows_share * then)
    yield _held(
        "champion: hold-out",
        f"at least {rules.min_rows_share:.0%} of the customers that the champion was judged by",
        now,
        kept,
        f"the hold-out has shrunk from {then} customers to {now}: it proves less than it did",
    )
    missing, new = told.get("missing_features"), told.get("new_features")
    yield _held(
        "champion: features",
        "asked with the same columns",
        None,
        missing == [] and new == [],
        f"the champion {release} is asked with other columns: "
        f"{_features('no more', missing)}, {_features('new', new)}",
        rules.other_features,
    )
    for rule in rules.rules:
        yield _loss(rule, told, policy)


def _loss(rule: ChampionRule, told: Mapping[str, Any], policy: Policy) -> Outcome:
    found = _comparison(told.get("comparisons"), rule.metric)
    candidate, champion, loss, p_value = (
        _number(found, key) for key in ("candidate", "champion", "loss", "p_value")
    )
    subject = f"champion: {rule.metric}"
    relative = rule.kind == "max_relative_loss"
    unit = " of the champion's" if relative else ""
    words = f"no certain loss above {rule.threshold:g}{unit}"
    if candidate is None or champion is None or loss is None or p_value is None:
        return _failed(subject, words, f"{rule.metric} was not compared with the champion's")
    size = loss / abs(champion) if relative and champion else loss
    worse = size > rule.threshold and p_value < policy.champion.significance
    sentence = (
        f"{rule.metric} is {candidate:.4f}, worse than the {champion:.4f} of the champion "
        f"{told.get('release')} on the same customers by {size:.4f}{unit} "
        f"(p {p_value:.2g}): {rule.reason}"
    )
    return _held(subject, words, size, not worse, sentence, rule.level)


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
    gap, p_value = _number(found, "gap"), _number(found, "p_value")
    if gap is None or p_value is None:
        why = f"fewer than two groups of {column} have {policy.fairness.min_rows} customers"
        return _failed(subject, words, f"{subject} cannot be told: {why}, or it is no category")
    shares = found.get("shares") or {}
    ordered = sorted(shares, key=lambda name: shares[name])
    sentence = (
        f"{rule.metric} is {shares[ordered[0]]:.3f} for {column} {ordered[0]} and "
        f"{shares[ordered[-1]]:.3f} for {ordered[-1]}: {rule.reason}"
    )
    unfair = gap > rule.max_gap and p_value < policy.fairness.significance
    return _held(subject, words, gap, not unfair, sentence, rule.level)


def _held(
    subject: str, rule: str, value: float | None, kept: bool, sentence: str, level: str = FAIL
) -> Outcome:
    return Outcome(subject, rule, value, OK if kept else level, "" if kept else sentence)


def _failed(subject: str, rule: str, sentence: str) -> Outcome:
    return Outcome(subject, rule, None, FAIL, sentence)


def _number(evidence: object, *keys: str) -> float | None:
    """Return a finite number from within the evidence; None where there is none."""
    for key in keys:
        evidence = evidence.get(key) if isinstance(evidence, Mapping) else None
    if isinstance(evidence, bool) or not isinstance(evidence, int | float):
        return None
    return float(evidence) if math.isfinite(evidence) else None


def _comparison(comparisons: object, metric: str) -> Mapping[str, Any]:
    found = comparisons if isinstance(comparisons, list) else []
    return next(
        (one for one in found if isinstance(one, Mapping) and one.get("metric") == metric), {}
    )


def _quantile(tail: float) -> float:
    """Return how many standard deviations leave this share in one tail."""
    return NormalDist().inv_cdf(1 - tail)


def _named(names: Sequence[str]) -> str:
    first = ", ".join(names[:NAMED])
    return f"{first} and {len(names) - NAMED} others" if len(names) > NAMED else first


def _features(what: str, features: object) -> str:
    names = [str(name) for name, *_ in features] if isinstance(features, list) else ["?"]
    return f"{what}: {', '.join(names) or 'none'}"


def _days(age: float | None) -> str:
    return "some time" if age is None else f"{age:.1f} days"


def _percent(share: float | None) -> str:
    return "some" if share is None else f"{share:.1%}"
