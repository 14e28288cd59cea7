"""The gate fails closed: evidence that is missing, no number or of another version never passes."""

import copy
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.data.contract import Contract
from toolkit.data.dataset import Dataset
from toolkit.model import gates, training
from toolkit.model.evaluation import METRICS
from toolkit.model.gates import EVIDENCE_SCHEMA
from toolkit.model.policy import FairnessPolicy, FairnessRule, Policy, Rule, SlicePolicy, SliceRule
from toolkit.model.predictor import Predictor
from toolkit.model.verdicts import Outcome

Evidence = dict[str, Any]

RULES = (
    Rule("roc_auc", "min", 0.7, "the order matters"),
    Rule("brier", "max", 0.2, "the probability matters"),
    Rule("latency_ms", "max", 20, "people wait"),
)
SLICES = SlicePolicy(
    *(100, 10, 4, 0.05),
    rules=(
        SliceRule("roc_auc", "max_below", 0.2, "nobody is left out", "fail"),
        SliceRule("recall", "min", 0.3, "everybody is found", "fail"),
        SliceRule("roc_auc", "max_loss", 0.05, "nobody pays for it", "fail"),
    ),
)
FAIRNESS = FairnessPolicy(
    *(("gender",), 100, 0.05), rules=(FairnessRule("recall", 0.1, "alike", "fail"),)
)


@pytest.fixture
def strict(policy: Policy) -> Policy:
    """Return a policy with every kind of rule."""
    return replace(policy, rules=RULES, slices=SLICES, fairness=FAIRNESS)


def estimate(value: float, reach: float = 0.02) -> dict[str, float]:
    return {"value": value, "low": value - reach, "high": value + reach}


def part(name: str, rows: int, auc: float, recall: float = 0.6, reach: float = 0.05) -> Evidence:
    metrics = {"roc_auc": estimate(auc, reach), "recall": estimate(recall, reach)}
    return {"name": name, "rows": rows, "churned": rows // 3, "metrics": metrics}


def comparison(metric: str, candidate: float, champion: float, p_value: float) -> Evidence:
    loss = champion - candidate
    return {
        **{"metric": metric, "candidate": candidate, "champion": champion},
        **{"loss": loss, "low": loss - 0.01, "high": loss + 0.01, "p_value": p_value},
    }


def scored(**changes: Any) -> Evidence:
    """Return the evidence about a champion that the candidate equals."""
    return {
        **{"state": "scored", "why": "", "release": "c0ffee", "environment": "prod"},
        **{"model_sha256": "a" * 64, "served_since": "2026-11-01", "age_days": 0.1},
        **{"rows": 990, "refused": 10, "rows_when_released": 950, "held_out": 1000},
        **{"churned": 280, "churned_when_released": 260, "roc_auc_when_released": estimate(0.85)},
        **{"missing_features": [], "new_features": []},
        "comparisons": [comparison("roc_auc", 0.85, 0.851, 0.4)],
        "slices": [{"name": "young", "comparisons": [comparison("roc_auc", 0.8, 0.8, 0.5)]}],
    } | changes


@pytest.fixture
def evidence(strict: Policy) -> Evidence:
    """Return evidence that passes everything."""
    return {
        "schema": EVIDENCE_SCHEMA,
        "policy_sha256": strict.sha256,
        "training": "full",
        "data_warnings": [],
        "rows": {"held_out": 1000},
        "answers": 500,
        "metrics": {
            **{name: estimate(0.15 if "brier" in name else 0.85) for name in METRICS},
            **{"latency_ms": {"value": 1.0, "low": None, "high": None}},
        },
        "strongest_column": {"name": "tenure", "roc_auc": 0.7},
        "slices": [
            *(part("young", 300, 0.8), part("old", 700, 0.83)),
            {"name": "unknown", "rows": 3, "churned": 1, "metrics": None},
        ],
        "fairness": [
            {
                **{"column": "gender", "metric": "recall", "gap": 0.02, "p_value": 0.5},
                "shares": {"a": 0.6, "b": 0.62},
            }
        ],
        "champion": scored(),
    }


def reasons(evidence: Evidence, policy: Policy) -> list[str]:
    verdict = gates.decide(evidence, policy)
    assert verdict.passed == (not verdict.reasons)
    return verdict.reasons


def test_good_evidence_passes(evidence: Evidence, strict: Policy) -> None:
    verdict = gates.decide(evidence, strict)
    assert verdict.passed
    assert (verdict.reasons, verdict.warnings) == ([], [])
    assert [one.subject for one in verdict.outcomes] == [
        *("data", "distinct probabilities", "roc_auc", "roc_auc", "brier", "latency_ms"),
        *("slices: roc_auc", "slices: recall", "slices against the champion: roc_auc"),
        *(
            "champion: age",
            "champion: refused customers",
            "champion: holdout",
            "champion: churn rate of the holdout",
            "champion: difficulty of the holdout",
            "champion: features",
        ),
        *("champion: roc_auc", "fairness: recall by gender"),
    ]


def test_rules_that_hold_for_the_newest_customers_fail_without_these(
    evidence: Evidence, strict: Policy
) -> None:
    by_time = replace(strict, training=replace(strict.training, evaluate="time"))
    assert reasons(evidence, by_time) == [
        f"out of time: {one} is missing, or not a number" for one in ("roc_auc", "roc_auc", "brier")
    ]
    metrics = {name: estimate(0.15 if "brier" in name else 0.85) for name in METRICS}
    evidence["out_of_time"] = {"metrics": metrics}
    assert reasons(evidence, by_time) == []
    metrics["brier"] = estimate(0.25)
    assert reasons(evidence, by_time) == [
        "out of time: brier is 0.2500, above the max of 0.2: the probability matters"
    ]
    assert reasons(evidence, strict) == []


def test_the_verdict_is_kept_as_json(evidence: Evidence, strict: Policy) -> None:
    kept = gates.decide(evidence, strict).as_json()
    assert kept["verdict"] == "passed"
    assert kept["rules"][3] == {
        **{"subject": "roc_auc", "rule": "at least 0.7", "value": 0.85},
        **{"level": "ok", "sentence": ""},
    }


# Versions


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("schema", 1, "the evidence's schema is 1, not 2"),
        ("schema", None, "the evidence's schema is None, not 2"),
        ("policy_sha256", "another", "the evidence's policy_sha256 is another, not "),
        ("training", "half", "the evidence is of a 'half' training"),
    ],
)
def test_evidence_of_another_version_or_policy_fails(
    evidence: Evidence, strict: Policy, key: str, value: object, reason: str
) -> None:
    [only] = reasons(evidence | {key: value}, strict)
    assert only.startswith(reason)


# Metrics


@pytest.mark.parametrize(
    ("metric", "value", "reason"),
    [
        ("roc_auc", 0.69, "roc_auc is 0.6900, below the min of 0.7: the order matters"),
        ("brier", 0.21, "brier is 0.2100, above the max of 0.2: the probability matters"),
        ("latency_ms", 21.0, "latency_ms is 21.0000, above the max of 20: people wait"),
        ("latency_ms", None, "latency_ms is missing, or not a number"),
        ("brier", math.nan, "brier is missing, or not a number"),
        ("brier", -math.inf, "brier is missing, or not a number"),
        ("brier", True, "brier is missing, or not a number"),
        ("brier", "0.1", "brier is missing, or not a number"),
    ],
)
def test_a_bad_metric_fails_with_its_reason(
    evidence: Evidence, strict: Policy, metric: str, value: object, reason: str
) -> None:
    evidence["metrics"][metric]["value"] = value
    assert reasons(evidence, strict) == [reason]


def waiting(seconds: float) -> None:
    """Use no core, as on a machine whose cores are busy with something else."""
    time.sleep(seconds)


def computing(seconds: float) -> None:
    """Use a core."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.parametrize(("spend", "broken"), [(waiting, 0), (computing, 1)])
def test_a_model_that_computes_for_long_fails_and_one_that_waits_for_a_core_passes(
    evidence: Evidence,
    strict: Policy,
    dataset: Dataset,
    contract: Contract,
    predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
    spend: Callable[[float], None],
    broken: int,
) -> None:
    answer = predictor.answer

    def late(customers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        spend(0.03)
        return answer(customers)

    monkeypatch.setattr(predictor, "answer", late)
    evidence["metrics"]["latency_ms"]["value"] = training.latency_ms(
        dataset.select(np.arange(10)), contract, predictor
    )
    told = reasons(evidence, strict)
    assert len(told) == broken
    assert all(
        re.fullmatch(r"latency_ms is \d\d+\.\d+, above the max of 20: .*", one) for one in told
    )


def test_the_threshold_itself_passes(evidence: Evidence, strict: Policy) -> None:
    evidence["metrics"]["brier"]["value"] = 0.2
    assert reasons(evidence, strict) == []


def test_a_missing_metric_fails_though_its_rule_only_warns(
    evidence: Evidence, strict: Policy
) -> None:
    soft = replace(strict, rules=(*RULES, Rule("f1", "min", 0.5, "it is nice", "warn")))
    del evidence["metrics"]["f1"]
    assert reasons(evidence, soft) == ["f1 is missing, or not a number"]


def test_a_rule_that_warns_does_not_fail(evidence: Evidence, strict: Policy) -> None:
    soft = replace(strict, rules=(*RULES, Rule("f1", "min", 0.9, "it is nice", "warn")))
    verdict = gates.decide(evidence, soft)
    assert verdict.passed
    assert verdict.warnings == ["f1 is 0.8500, below the min of 0.9: it is nice"]


def test_a_quick_training_needs_no_metric_that_only_a_full_one_measures(
    evidence: Evidence, strict: Policy
) -> None:
    del evidence["metrics"]["latency_ms"]
    assert reasons(evidence | {"training": "quick"}, strict) == []


def test_every_reason_is_given_at_once(evidence: Evidence, strict: Policy) -> None:
    evidence["metrics"]["roc_auc"] = estimate(0.6)
    evidence["metrics"]["brier"] = estimate(0.3)
    assert len(reasons(evidence, strict)) == 2


def test_a_policy_without_rules_fails_everything(evidence: Evidence, strict: Policy) -> None:
    assert reasons(evidence, replace(strict, rules=())) == ["no rule was checked"]


def test_a_model_that_is_too_good_names_the_column_that_leaks_the_target(
    evidence: Evidence, strict: Policy
) -> None:
    ceiling = replace(strict, rules=(Rule("roc_auc", "max", 0.8, "a column leaks the target"),))
    assert reasons(evidence, ceiling) == [
        "roc_auc is 0.8500, above the max of 0.8: a column leaks the target"
    ]
    evidence["strongest_column"] = {"name": "closed_on", "roc_auc": 0.9991}
    [reason] = reasons(evidence, ceiling)
    assert reason.endswith("; the column closed_on alone reaches 0.9991")


def test_a_constant_model_fails(evidence: Evidence, strict: Policy) -> None:
    reason = "the model predicts the same probability for every customer"
    assert reasons(evidence | {"answers": 1}, strict) == [reason]


def test_a_model_that_is_not_better_than_random_guessing_fails(
    evidence: Evidence, strict: Policy
) -> None:
    evidence["metrics"]["roc_auc"] = {"value": 0.71, "low": 0.49, "high": 0.9}
    [reason] = reasons(evidence, strict)
    assert reason.startswith(
        "the model is not significantly better than random guessing, 0.5: its roc_auc is 0.710"
    )


# Slices


def test_a_slice_that_is_significantly_worse_than_all_customers_fails_by_name(
    evidence: Evidence, strict: Policy
) -> None:
    evidence["slices"].append(part("islanders", 400, 0.5))
    assert reasons(evidence, strict) == [
        "roc_auc is significantly below 0.650 in islanders (0.500, 400 customers): "
        "nobody is left out"
    ]


def test_a_slice_that_is_worse_by_chance_passes(evidence: Evidence, strict: Policy) -> None:
    evidence["slices"].append(part("islanders", 120, 0.55, reach=0.15))
    assert reasons(evidence, strict) == []


def test_a_floor_holds_in_every_slice(evidence: Evidence, strict: Policy) -> None:
    evidence["slices"].append(part("islanders", 400, 0.8, recall=0.1))
    assert reasons(evidence, strict) == [
        "recall is significantly below 0.300 in islanders (0.100, 400 customers): "
        "everybody is found"
    ]


@pytest.mark.parametrize("value", [None, math.nan, "high"])
def test_a_slice_without_a_figure_fails(evidence: Evidence, strict: Policy, value: object) -> None:
    evidence["slices"][0]["metrics"]["recall"]["value"] = value
    assert reasons(evidence, strict) == ["recall is missing, or not a number, in young"]


@pytest.mark.parametrize("slices", [None, [], [None], {"young": 0.8}])
def test_slices_that_were_not_measured_fail(
    evidence: Evidence, strict: Policy, slices: object
) -> None:
    assert reasons(evidence | {"slices": slices}, strict) == ["the slices are missing"]


def test_slices_that_are_all_too_small_warn(evidence: Evidence, strict: Policy) -> None:
    evidence["slices"] = [{"name": "few", "rows": 9, "churned": 2, "metrics": None}]
    verdict = gates.decide(evidence, strict)
    assert verdict.passed
    assert verdict.warnings == [
        "no slice has 100 customers, 10 of each label: no slice was evaluated"
    ]


def test_a_slice_that_loses_against_the_champion_fails_by_name(
    evidence: Evidence, strict: Policy
) -> None:
    loser = {"name": "old", "comparisons": [comparison("roc_auc", 0.7, 0.8, 0.001)]}
    evidence["champion"]["slices"].append(loser)
    assert reasons(evidence, strict) == [
        "roc_auc is worse than the champion's in old (by 0.100): nobody pays for it"
    ]


def test_a_slice_whose_loss_is_not_significant_passes(evidence: Evidence, strict: Policy) -> None:
    loser = {"name": "old", "comparisons": [comparison("roc_auc", 0.7, 0.8, 0.04)]}
    evidence["champion"]["slices"].append(loser)
    assert reasons(evidence, strict) == []


def test_a_slice_that_was_not_compared_fails(evidence: Evidence, strict: Policy) -> None:
    evidence["champion"]["slices"].append({"name": "old", "comparisons": []})
    assert reasons(evidence, strict) == ["roc_auc was not compared in old"]


# The champion


def test_a_worse_model_fails_and_names_the_champion(evidence: Evidence, strict: Policy) -> None:
    worse = scored(comparisons=[comparison("roc_auc", 0.83, 0.85, 0.001)])
    assert reasons(evidence | {"champion": worse}, strict) == [
        "roc_auc is 0.8300, worse than the 0.8500 of the champion c0ffee on the same customers by "
        "0.0200 (p 0.001): no worse than what serves"
    ]


@pytest.mark.parametrize(
    ("candidate", "p_value"),
    [(0.83, 0.03), (0.847, 0.0001), (0.85, 0.5), (0.9, 0.999)],
    ids=["not significant", "significant and tiny", "a tie", "better"],
)
def test_a_model_whose_loss_is_small_or_not_significant_passes(
    evidence: Evidence, strict: Policy, candidate: float, p_value: float
) -> None:
    champion = scored(comparisons=[comparison("roc_auc", candidate, 0.85, p_value)])
    assert reasons(evidence | {"champion": champion}, strict) == []


def test_a_relative_loss_is_a_share_of_the_champion_s(evidence: Evidence, strict: Policy) -> None:
    rule = replace(strict.champion.rules[0], kind="max_relative_loss", threshold=0.02)
    relative = replace(strict, champion=replace(strict.champion, rules=(rule,)))
    for candidate, failures in ((0.84, 0), (0.82, 1)):
        champion = scored(comparisons=[comparison("roc_auc", candidate, 0.85, 0.001)])
        assert len(reasons(evidence | {"champion": champion}, relative)) == failures


def test_no_champion_yet_is_a_case_of_its_own(evidence: Evidence, strict: Policy) -> None:
    first = {"state": "none yet", "why": "prod has served nothing yet", "release": None}
    verdict = gates.decide(evidence | {"champion": first}, strict)
    assert verdict.passed and verdict.warnings == []
    [outcome] = [one for one in verdict.outcomes if one.subject == "champion"]
    assert outcome.sentence == "there is no champion yet: prod has served nothing yet"


def test_a_champion_that_was_not_fetched_warns(evidence: Evidence, strict: Policy) -> None:
    champion = {"state": "not fetched", "why": "there is no reports/champion"}
    verdict = gates.decide(evidence | {"champion": champion}, strict)
    assert verdict.passed
    assert verdict.warnings == [
        "the model was not compared with a champion: there is no reports/champion"
    ]


@pytest.mark.parametrize("level", ["warn", "fail"])
def test_a_champion_that_no_longer_loads_is_named(
    evidence: Evidence, strict: Policy, level: str
) -> None:
    champion = {"state": "unscorable", "why": "it wants the column 'region'", "release": "c0ffee"}
    policy = replace(strict, champion=replace(strict.champion, not_comparable=level))
    verdict = gates.decide(evidence | {"champion": champion}, policy)
    sentence = (
        "the champion c0ffee cannot be scored any more: it wants the column 'region'; where that "
        'is right, accept it for one release: not_comparable = "warn" under [champion] in '
        "quality.toml"
    )
    assert (verdict.reasons if level == "fail" else verdict.warnings) == [sentence]
    assert verdict.passed == (level == "warn")


def test_a_champion_that_cannot_be_scored_fails_by_default(policy: Policy) -> None:
    assert (policy.champion.other_features, policy.champion.not_comparable) == ("warn", "fail")


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"churned": 400},
            "40.0% of the holdout churned, and 27.4% of that of the champion c0ffee when it was "
            "released: look at who is held out",
        ),
        (
            {"roc_auc_when_released": estimate(0.9)},
            "the champion c0ffee has a ROC AUC of 0.8510 on this holdout, and had 0.9000 on its "
            "own when it was released: look at who is held out",
        ),
        (
            {"churned_when_released": None},
            "the evidence of the champion c0ffee does not say how many of its holdout churned",
        ),
        (
            {"roc_auc_when_released": {}},
            "the evidence of the champion c0ffee does not say its ROC AUC when released",
        ),
    ],
)
def test_another_holdout_than_the_champion_s_warns(
    evidence: Evidence, strict: Policy, changes: Evidence, warning: str
) -> None:
    verdict = gates.decide(evidence | {"champion": scored(**changes)}, strict)
    assert (verdict.reasons, verdict.warnings) == ([], [warning])


def test_what_the_data_check_warns_of_is_told_again(evidence: Evidence, strict: Policy) -> None:
    verdict = gates.decide(evidence | {"data_warnings": ["age: drift", "a doubt"]}, strict)
    assert verdict.passed
    assert verdict.warnings == ["the data: age: drift", "the data: a doubt"]


def test_evidence_that_does_not_say_what_the_data_check_warned_of_fails(
    evidence: Evidence, strict: Policy
) -> None:
    del evidence["data_warnings"]
    assert reasons(evidence, strict) == ["the evidence does not say what the data check warned of"]


@pytest.mark.parametrize("level", ["warn", "fail"])
def test_a_champion_with_other_features_is_named(
    evidence: Evidence, strict: Policy, level: str
) -> None:
    champion = scored(missing_features=[["region", "category"]], new_features=[["age", "integer"]])
    policy = replace(strict, champion=replace(strict.champion, other_features=level))
    verdict = gates.decide(evidence | {"champion": champion}, policy)
    sentence = "the champion c0ffee has other input features: removed: region; new: age"
    assert (verdict.reasons if level == "fail" else verdict.warnings) == [sentence]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"age_days": 2.0}, "the champion c0ffee was fetched 2.0 days ago, and prod may serve"),
        ({"age_days": None}, "the champion c0ffee was fetched an unknown number of days ago"),
        ({"held_out": 700}, "the holdout has shrunk from 950 to 700 customers"),
        ({"held_out": None}, "the holdout has shrunk from 950 to an unknown number of"),
        ({"rows": 900, "refused": 100}, "the champion c0ffee refuses 10.0% of"),
        ({"rows": 0, "refused": 1000}, "the champion c0ffee refuses an unknown share of"),
        ({"comparisons": []}, "roc_auc was not compared with the champion's"),
        ({"comparisons": None}, "roc_auc was not compared with the champion's"),
        ({"slices": None}, "the slices were not compared with the champion's"),
    ],
)
def test_a_comparison_that_proves_nothing_fails(
    evidence: Evidence, strict: Policy, changes: Evidence, reason: str
) -> None:
    found = reasons(evidence | {"champion": scored(**changes)}, strict)
    assert len(found) == 1 and found[0].startswith(reason), found


def test_a_champion_without_the_size_of_its_holdout_is_compared(
    evidence: Evidence, strict: Policy
) -> None:
    assert reasons(evidence | {"champion": scored(rows_when_released=None)}, strict) == []


@pytest.mark.parametrize("champion", [None, {}, {"state": "lost"}, "prod"])
def test_evidence_without_a_champion_s_state_fails(
    evidence: Evidence, strict: Policy, champion: object
) -> None:
    assert reasons(evidence | {"champion": champion}, strict) == [
        "the evidence does not say what became of the champion"
    ]


# Fairness


def test_groups_with_a_significant_gap_fail_by_name(evidence: Evidence, strict: Policy) -> None:
    evidence["fairness"][0] |= {"gap": 0.2, "p_value": 0.001, "shares": {"a": 0.5, "b": 0.7}}
    assert reasons(evidence, strict) == ["recall is 0.500 for gender = a and 0.700 for b: alike"]


def test_a_gap_that_is_not_significant_passes(evidence: Evidence, strict: Policy) -> None:
    evidence["fairness"][0] |= {"gap": 0.2, "p_value": 0.2}
    assert reasons(evidence, strict) == []


@pytest.mark.parametrize("gaps", [None, [], [{"column": "gender", "metric": None}]])
def test_a_protected_column_that_was_not_measured_fails(
    evidence: Evidence, strict: Policy, gaps: object
) -> None:
    [reason] = reasons(evidence | {"fairness": gaps}, strict)
    assert reason.startswith("fairness: recall by gender was not measured")


# Evidence that lacks a figure, or has none in its place, never passes


def leaves(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every number that a rule of the strict policy needs."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(value, list):
        for place, entry in enumerate(value):
            yield from leaves(entry, (*path, place))
    elif isinstance(value, int | float):
        yield path


def is_needed(path: tuple[Any, ...]) -> bool:
    """Whether a rule of the strict policy reads this figure."""
    match path:
        case ("answers",):
            return True
        case ("metrics", "roc_auc", _) | ("metrics", "brier" | "latency_ms", "value"):
            return True
        case ("slices", _, "metrics", _, _) | ("fairness", _, "gap" | "p_value"):
            return True
        case ("champion", "age_days" | "rows" | "refused" | "held_out"):
            return True
        case ("champion", "comparisons", _, "candidate" | "champion" | "loss" | "p_value"):
            return True
        case ("champion", "slices", _, "comparisons", _, "loss" | "p_value"):
            return True
    return False


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(data=st.data(), bad=st.sampled_from([None, math.nan, math.inf, -math.inf, "0.9", True]))
def test_a_gate_never_passes_without_a_figure_that_it_needs(
    data: st.DataObject, bad: object
) -> None:
    policy, sound = _LATEST["policy"], _LATEST["evidence"]
    needed = [path for path in leaves(sound) if is_needed(path)]
    *parents, last = data.draw(st.sampled_from(needed))
    broken = copy.deepcopy(sound)
    entry = broken
    for key in parents:
        entry = entry[key]
    if data.draw(st.booleans()) and isinstance(entry, dict):
        del entry[last]
    else:
        entry[last] = bad
    verdict = gates.decide(broken, policy)
    assert not verdict.passed and verdict.reasons


_LATEST: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def latest(strict: Policy, evidence: Evidence) -> None:
    """Keep what hypothesis, which knows no fixtures of one test, starts from."""
    _LATEST.update(policy=strict, evidence=copy.deepcopy(evidence))


@settings(derandomize=True, database=None, deadline=None, max_examples=100)
@given(
    evidence=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=10,
    ),
    part=st.sampled_from(["metrics", "slices", "champion", "fairness", "answers"]),
)
def test_evidence_of_any_other_shape_fails_without_a_crash(evidence: object, part: str) -> None:
    broken = copy.deepcopy(_LATEST["evidence"]) | {part: evidence}
    if part == "answers" and isinstance(evidence, float) and evidence > 1:
        return
    assert not gates.decide(broken, _LATEST["policy"]).passed


def test_a_broken_rule_has_a_sentence(evidence: Evidence, strict: Policy) -> None:
    evidence["metrics"]["brier"]["value"] = 0.5
    [broken] = [one for one in gates.decide(evidence, strict).outcomes if one.level == "fail"]
    assert broken == Outcome(
        *("brier", "at most 0.2", 0.5, "fail"),
        "brier is 0.5000, above the max of 0.2: the probability matters",
    )
