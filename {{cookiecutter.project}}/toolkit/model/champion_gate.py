"""The champion's part of the gate: each case of a champion has its own sentence."""

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

from . import champion as champions
from .policy import ChampionRule, Levels, Policy, SliceRule
from .verdicts import OK, WARN, Outcome, checked, listed, not_checked, number

# The width of a 95 % interval, in standard deviations.
INTERVAL_SDS = 2 * NormalDist().inv_cdf(0.975)


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
        sentence += (
            "; where that is right, accept it for one release: "
            'not_comparable = "warn" under [champion] in quality.toml'
        )
        yield checked("champion", "scored", None, False, sentence, policy.champion.not_comparable)
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
    yield from _composition(champion, policy)
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


def _composition(champion: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    """Compare the holdout with that on which the champion was evaluated when it was released.

    It never fails: customers may have changed since, which is why one trains again.
    """
    release, significance = champion.get("release"), policy.champion.significance
    rows, now = number(champion, "held_out"), number(champion, "churned")
    rows_then, then = (
        number(champion, "rows_when_released"),
        number(champion, "churned_when_released"),
    )
    subject, words = "champion: churn rate of the holdout", "that of the champion's holdout"
    if rows and rows_then and now is not None and then is not None:
        rate, rate_then, pooled = now / rows, then / rows_then, (now + then) / (rows + rows_then)
        sd = math.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / rows_then))
        apart = _apart(rate - rate_then, sd, policy.drift.target, significance)
        sentence = (
            f"{rate:.1%} of the holdout churned, and {rate_then:.1%} of that of the champion "
            f"{release} when it was released: look at who is held out"
        )
        yield checked(subject, words, rate, not apart, sentence, WARN)
    else:
        sentence = (
            f"the evidence of the champion {release} does not say how many of its holdout churned"
        )
        yield checked(subject, words, None, False, sentence, WARN)
    value, low, high = (
        number(champion, "roc_auc_when_released", key) for key in ("value", "low", "high")
    )
    found = number(_comparison(champion.get("comparisons"), "roc_auc"), "champion")
    subject, words = "champion: difficulty of the holdout", "that of the champion's holdout"
    if value is None or low is None or high is None or found is None:
        sentence = f"the evidence of the champion {release} does not say its ROC AUC when released"
        yield checked(subject, words, None, False, sentence, WARN)
        return
    # Both estimates vary by as much.
    sd = math.sqrt(2) * (high - low) / INTERVAL_SDS
    apart = _apart(found - value, sd, policy.drift.relation, significance)
    sentence = (
        f"the champion {release} has a ROC AUC of {found:.4f} on this holdout, and had {value:.4f} "
        "on its own when it was released: look at who is held out"
    )
    yield checked(subject, words, found, not apart, sentence, WARN)


def _apart(difference: float, sd: float, levels: Levels, significance: float) -> bool:
    """Return whether a difference is both large and significant."""
    p_value = 2 * (1 - NormalDist().cdf(abs(difference) / sd)) if sd > 0 else float(not difference)
    return abs(difference) >= levels.warn and p_value < significance


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
