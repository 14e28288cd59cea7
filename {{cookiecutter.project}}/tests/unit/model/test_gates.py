"""The gate fails closed: what is missing, not a number or not understood is never a pass."""

import math
from pathlib import Path

import pytest

from {{ cookiecutter.package }} import gates
from {{ cookiecutter.package }}.errors import ConfigurationError
from {{ cookiecutter.package }}.gates import Policy
from tests.customers import QUALITY

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
    verdict = gates.decide(SOUND, Policy(policy.training, ()))
    assert not verdict.passed
    assert verdict.reasons == ("no rule was checked",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 0", "schema: is 0, and this code reads 1"),
        ('"brier"', '"briar"', "rule[2].metric: 'briar' is none of roc_auc, "),
        ("max = 0.2", "maxx = 0.2", "rule[2].maxx: unknown key"),
        ("max = 0.2", "", "rule[2].metric: 'brier' has neither min nor max"),
        ("max = 0.2", 'max = "0.2"', "rule[2].max: must be a finite number, not '0.2'"),
        ("max = 0.2", "max = nan", "rule[2].max: must be a finite number, not nan"),
        ('reason = "the order matters"', "", "rule[1].reason: missing"),
        ("[training]", "[trainings]", "training: missing"),
        ("seed = 1", "seed = -1", "training.seed: must not be negative"),
        ("seed = 1", "seed = 1\nepochs = 3", "training.epochs: unknown key"),
        ("folds = 3", "folds = 1", "training.folds: must be at least 2"),
        ("quick_rows = 300", "quick_rows = 0", "training.quick_rows: must be at least 1"),
        ("holdout_share = 0.25", "holdout_share = 1", "must be a share between 0 and 1"),
        ("schema = 1", "schema = 1\nwarn = true", "warn: unknown key"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in QUALITY
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        gates.load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


def test_a_policy_file_without_rules_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY.partition("[[rule]]")[0], encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"rule: there is no \[\[rule\]\]"):
        gates.load(path)


def test_one_rule_may_bound_a_metric_on_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY.replace("min = 0.7", "min = 0.7\nmax = 0.9"), encoding="utf-8")
    policy = gates.load(path)
    assert [rule.bound for rule in policy.rules] == ["min", "max", "max"]
    assert not gates.decide(SOUND | {"roc_auc": 0.95}, policy).passed
