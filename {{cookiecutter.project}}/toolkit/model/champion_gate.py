"""The champion's part of the gate: each case of a champion has its own sentence."""

from collections.abc import Iterator, Mapping
from typing import Any

from . import champion as champions
from .policy import ChampionRule, Policy, SliceRule
from .verdicts import OK, WARN, Outcome, checked, listed, not_checked, number


def outcomes(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    """Yield the outcomes of the rules about the champion; an unknown state of it fails."""
    champion = evidence.get("champion")
    state = champion.get("state") if isinstance(champion, dict) else None
    why = champion.get("why") if isinstance(champion, dict) else None
    if not isinstance(champion, dict) or state not in champions.STATES:
        sentence = "the evidence does not say what became of the champion"
        yield not_checked("champion", "compared", sentence)
    elif state == champions.NONE_YET:
        yield Outcome("champion", "none yet", None, OK, f"there is no champion yet: {why}")
    elif state == champions.NOT_FETCHED:
        sentence = f"the model was not compared with a champion: {why}"
        yield Outcome("champion", "fetched", None, WARN, sentence)
    elif state == champions.UNSCORABLE:
        sentence = f"the champion {champion.get('release')} cannot be scored any more: {why}"
        yield checked("champion", "scored", None, False, sentence, policy.champion.other_features)
    else:
        yield from _scored(champion, policy)


def _scored(champion: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    release, rules = champion.get("release"), policy.champion
    age = number(champion, "age_days")
    yield checked(
        "champion: age",
        f"fetched at most {rules.max_age_days:g} days ago",
        age,
        age is not None and age <= rules.max_age_days,
        f"the champion {release} was fetched {_days(age)} ago, and prod may serve another release "
        "now: invoke champion --env prod",
    )
    rows, refused = number(champion, "rows"), number(champion, "refused")
    share = refused / (rows + refused) if rows and refused is not None else None
    yield checked(
        "champion: refused customers",
        f"at most {rules.max_refused:.0%}",
        share,
        share is not None and share <= rules.max_refused,
        f"the champion {release} refuses {_percent(share)} of the held-out customers: the others "
        "do not represent all",
    )
    then, now = number(champion, "rows_when_released"), number(champion, "held_out")
    passed = then is None or (now is not None and now >= rules.min_rows_share * then)
    yield checked(
        "champion: holdout",
        f"at least {rules.min_rows_share:.0%} of the champion's when it was released",
        now,
        passed,
        f"the holdout has shrunk from {_count(then)} to {_count(now)} customers, and proves less",
    )
    missing, new = champion.get("missing_features"), champion.get("new_features")
    yield checked(
        "champion: features",
        "the same input features",
        None,
        missing == [] and new == [],
        f"the champion {release} has other input features: "
        f"{_features('removed', missing)}; {_features('new', new)}",
        rules.other_features,
    )
    for rule in rules.rules:
        yield _loss(rule, champion, policy)


def _loss(rule: ChampionRule, champion: Mapping[str, Any], policy: Policy) -> Outcome:
    found = _comparison(champion.get("comparisons"), rule.metric)
    ours, theirs, loss, p_value = (
        number(found, key) for key in ("candidate", "champion", "loss", "p_value")
    )
    subject = f"champion: {rule.metric}"
    relative = rule.kind == "max_relative_loss"
    unit = " of the champion's" if relative else ""
    words = f"no significant loss above {rule.threshold:g}{unit}"
    if ours is None or theirs is None or loss is None or p_value is None:
        return not_checked(subject, words, f"{rule.metric} was not compared with the champion's")
    size = loss / abs(theirs) if relative and theirs else loss
    worse = size > rule.threshold and p_value < policy.champion.significance
    sentence = (
        f"{rule.metric} is {ours:.4f}, worse than the {theirs:.4f} of the champion "
        f"{champion.get('release')} on the same customers by {size:.4f}{unit} "
        f"(p {p_value:.2g}): {rule.reason}"
    )
    return checked(subject, words, size, not worse, sentence, rule.level)


def slice_losses(rule: SliceRule, evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    """Yield the outcome of a rule about losses in slices; none without a scored champion."""
    champion = evidence.get("champion")
    if not isinstance(champion, dict) or champion.get("state") != champions.SCORED:
        return
    subject = f"slices against the champion: {rule.metric}"
    slices = champion.get("slices")
    if not isinstance(slices, list):
        yield not_checked(subject, "compared", "the slices were not compared with the champion's")
        return
    words = f"no significant loss above {rule.threshold:g} in any of {len(slices)} slices"
    broken, unknown = [], []
    for one in slices:
        entry = one if isinstance(one, Mapping) else {}
        found = _comparison(entry.get("comparisons"), rule.metric)
        loss, p_value = number(found, "loss"), number(found, "p_value")
        if loss is None or p_value is None:
            unknown.append(str(entry.get("name")))
        elif loss > rule.threshold and p_value < policy.slices.significance / len(slices):
            broken.append(f"{entry.get('name')} (by {loss:.3f})")
    if unknown:
        yield not_checked(subject, words, f"{rule.metric} was not compared in {listed(unknown)}")
    else:
        sentence = f"{rule.metric} is worse than the champion's in {listed(broken)}"
        yield checked(subject, words, None, not broken, f"{sentence}: {rule.reason}", rule.level)


def _comparison(comparisons: object, metric: str) -> Mapping[str, Any]:
    found = comparisons if isinstance(comparisons, list) else []
    return next(
        (one for one in found if isinstance(one, Mapping) and one.get("metric") == metric), {}
    )


def _features(what: str, features: object) -> str:
    names = [str(name) for name, *_ in features] if isinstance(features, list) else ["unknown"]
    return f"{what}: {', '.join(names) or 'none'}"


def _days(age: float | None) -> str:
    return "an unknown number of days" if age is None else f"{age:.1f} days"


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.1%}"


def _count(rows: float | None) -> str:
    return "an unknown number of" if rows is None else f"{rows:.0f}"
