"""The part of the gate that is about the champion: every case of it has its own sentence."""

from collections.abc import Iterator, Mapping
from typing import Any

from . import champion as champions
from .policy import ChampionRule, Policy, SliceRule
from .verdicts import OK, WARN, Outcome, failed, held, named, number


def outcomes(evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    """Yield what comes of a champion; a case that is not known here fails."""
    told = evidence.get("champion")
    state = told.get("state") if isinstance(told, dict) else None
    why = told.get("why") if isinstance(told, dict) else None
    if not isinstance(told, dict) or state not in champions.STATES:
        yield failed("champion", "told", "nothing is told of the champion")
    elif state == champions.NONE_YET:
        yield Outcome("champion", "none yet", None, OK, f"there is no champion yet: {why}")
    elif state == champions.NOT_FETCHED:
        sentence = f"the model was compared with no champion: {why}"
        yield Outcome("champion", "fetched", None, WARN, sentence)
    elif state == champions.UNSCORABLE:
        sentence = f"the champion {told.get('release')} cannot be scored any more: {why}"
        yield held("champion", "scored", None, False, sentence, policy.champion.other_features)
    else:
        yield from _met(told, policy)


def _met(told: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    release, rules = told.get("release"), policy.champion
    age = number(told, "age_days")
    yield held(
        "champion: age",
        f"fetched no longer than {rules.max_age_days:g} days ago",
        age,
        age is not None and age <= rules.max_age_days,
        f"the champion {release} was fetched {_days(age)} ago, and something else may serve now: "
        "invoke champion --env prod",
    )
    rows, refused = number(told, "rows"), number(told, "refused")
    share = refused / (rows + refused) if rows and refused is not None else None
    yield held(
        "champion: answers",
        f"refuses at most {rules.max_refused:.0%} of the customers",
        share,
        share is not None and share <= rules.max_refused,
        f"the champion {release} refuses to answer {_percent(share)} of the held-out customers: "
        "the rest is another clientele",
    )
    then, now = number(told, "rows_when_released"), number(told, "held_out")
    kept = then is None or (now is not None and now >= rules.min_rows_share * then)
    yield held(
        "champion: hold-out",
        f"at least {rules.min_rows_share:.0%} of the customers that the champion was judged by",
        now,
        kept,
        f"the hold-out has shrunk from {then} customers to {now}: it proves less than it did",
    )
    missing, new = told.get("missing_features"), told.get("new_features")
    yield held(
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
        number(found, key) for key in ("candidate", "champion", "loss", "p_value")
    )
    subject = f"champion: {rule.metric}"
    relative = rule.kind == "max_relative_loss"
    unit = " of the champion's" if relative else ""
    words = f"no certain loss above {rule.threshold:g}{unit}"
    if candidate is None or champion is None or loss is None or p_value is None:
        return failed(subject, words, f"{rule.metric} was not compared with the champion's")
    size = loss / abs(champion) if relative and champion else loss
    worse = size > rule.threshold and p_value < policy.champion.significance
    sentence = (
        f"{rule.metric} is {candidate:.4f}, worse than the {champion:.4f} of the champion "
        f"{told.get('release')} on the same customers by {size:.4f}{unit} "
        f"(p {p_value:.2g}): {rule.reason}"
    )
    return held(subject, words, size, not worse, sentence, rule.level)


def slice_losses(rule: SliceRule, evidence: Mapping[str, Any], policy: Policy) -> Iterator[Outcome]:
    """Yield what comes of a rule about losses in slices."""
    told = evidence.get("champion")
    if not isinstance(told, dict) or told.get("state") != champions.SCORED:
        return  # That there is no champion to compare with is said once, elsewhere.
    subject = f"slices against the champion: {rule.metric}"
    slices = told.get("slices")
    if not isinstance(slices, list):
        yield failed(subject, "compared", "the slices were not compared with the champion's")
        return
    words = f"no certain loss above {rule.threshold:g} in any of {len(slices)} slices"
    broken, unknown = [], []
    for one in slices:
        entry = one if isinstance(one, Mapping) else {}
        found = _comparison(entry.get("comparisons"), rule.metric)
        loss, p_value = number(found, "loss"), number(found, "p_value")
        if loss is None or p_value is None:
            unknown.append(str(entry.get("name")))
        elif loss > rule.threshold and p_value < policy.slices.significance / len(slices):
            broken.append(f"{entry.get('name')}: worse by {loss:.3f}")
    if unknown:
        yield failed(subject, words, f"{rule.metric} was not compared in {named(unknown)}")
    else:
        sentence = f"{rule.metric} is worse than the champion's in {named(broken)}"
        yield held(subject, words, None, not broken, f"{sentence}: {rule.reason}", rule.level)


def _comparison(comparisons: object, metric: str) -> Mapping[str, Any]:
    found = comparisons if isinstance(comparisons, list) else []
    return next(
        (one for one in found if isinstance(one, Mapping) and one.get("metric") == metric), {}
    )


def _features(what: str, features: object) -> str:
    names = [str(name) for name, *_ in features] if isinstance(features, list) else ["?"]
    return f"{what}: {', '.join(names) or 'none'}"


def _days(age: float | None) -> str:
    return "some time" if age is None else f"{age:.1f} days"


def _percent(share: float | None) -> str:
    return "some" if share is None else f"{share:.1%}"
