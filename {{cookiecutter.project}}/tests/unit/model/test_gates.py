"""The gate fails closed: what is missing or not a number is never a pass."""

import math
from dataclasses import replace

import pytest

from {{ cookiecutter.package }} import gates
from {{ cookiecutter.package }}.policy import Policy

SOUND = {"roc_auc": 0.8, "brier": 0.1}


def test_good_metrics_pass(policy: Policy) -> None:
    verdict = gates.decide(SOUND, policy)
    assert verdict.passed
    assert verdict.reasons == ()
    assert [outcome.passed for outcome in verdict.outcomes] == [True, True]


def test_the_threshold_itself_passes(policy: Policy) -> None:
    assert gates.decide({"roc_auc": 0.7, "brier": 0.2}, policy).passed


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"roc_auc": 0.69}, "roc_auc is 0.6900, below the min of 0.7: the order matters"),
        ({"brier": 0.21}, "brier is 0.2100, above the max of 0.2: the probability matters"),
        ({"roc_auc": math.nan}, "roc_auc is nan, not a finite number"),
        ({"roc_auc": math.inf}, "roc_auc is inf, not a finite number"),
        ({"brier": -math.inf}, "brier is -inf, not a finite number"),
    ],
)
def test_a_bad_metric_fails_with_its_reason(
    policy: Policy, metrics: dict[str, float], reason: str
) -> None:
    verdict = gates.decide(SOUND | metrics, policy)
    assert not verdict.passed
    assert verdict.reasons == (reason,)


def test_a_missing_metric_fails(policy: Policy) -> None:
    verdict = gates.decide({"brier": 0.1}, policy)
    assert not verdict.passed
    assert verdict.reasons == ("roc_auc is missing",)


def test_every_reason_is_given_at_once(policy: Policy) -> None:
    assert len(gates.decide({}, policy).reasons) == 2


def test_a_policy_without_rules_fails_everything(policy: Policy) -> None:
    verdict = gates.decide(SOUND, replace(policy, rules=()))
    assert not verdict.passed
    assert verdict.reasons == ("no rule was checked",)


def test_a_metric_may_be_bounded_on_both_sides(policy: Policy) -> None:
    ceiling = replace(policy.rules[0], bound="max", threshold=0.9)
    both = replace(policy, rules=(*policy.rules, ceiling))
    assert gates.decide(SOUND, both).passed
    assert not gates.decide(SOUND | {"roc_auc": 0.95}, both).passed
