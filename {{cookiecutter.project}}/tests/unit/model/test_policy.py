"""The policy says what it means, and what is not understood is refused with its place."""

from pathlib import Path

import pytest

from {{ cookiecutter.package }} import policy as policies
from {{ cookiecutter.package }}.errors import ConfigurationError
from tests.customers import QUALITY


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
        ("[drift]", "[drifts]", "drift: missing"),
        ("significance = 0.01", "significance = 1", "must be a share between 0 and 1"),
        ("min_rows = 300", "min_rows = 0", "drift.min_rows: must be at least 1"),
        ("min_rows = 300", "", "drift.min_rows: missing"),
        ("min_rows = 300", "min_rows = 300\npsi = 0.2", "drift.psi: unknown key"),
        ("nulls = { warn = 0.005, ", "nulls = { ", "drift.nulls.warn: missing"),
        ("warn = 0.02, ", "warn = 0.2, ", "drift.target.fail: must not be below warn"),
        (', reason = "more leave"', "", "drift.target.reason: missing"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in QUALITY
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        policies.load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


def test_a_policy_file_without_rules_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY.partition("[[rule]]")[0], encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"rule: there is no \[\[rule\]\]"):
        policies.load(path)


def test_one_rule_may_bound_a_metric_on_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY.replace("min = 0.7", "min = 0.7\nmax = 0.9"), encoding="utf-8")
    bounds = [(rule.metric, rule.bound) for rule in policies.load(path).rules]
    assert bounds == [("roc_auc", "min"), ("roc_auc", "max"), ("brier", "max")]
