"""A policy that cannot be read is refused, with the file and the key."""

import tomllib
from pathlib import Path

import pytest

from toolkit.errors import ConfigurationError
from toolkit.model import policy_file
from toolkit.model.metrics import HIGHER_IS_BETTER, Metric
from toolkit.model.policy_ranges import METRICS, OTHERS, RANGES, THRESHOLDS
from toolkit.tests.customers import QUALITY, keys_of_numbers

CHAMPION_RULE = 'metric = "missed_cost"\nmax_loss = 1.0'


def metric(name: str) -> Metric:
    return Metric(name, lambda y_true, y_prob, sample_weight: 1.0, higher_is_better=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 2", "schema = 1", "schema: is 1, but this version of the toolkit reads 2"),
        ('"brier"', '"briar"', "rule[2].metric: must be one of roc_auc, "),
        ("max = 0.2", "maxx = 0.2", "rule[2].maxx: unknown key"),
        ("max = 0.2", "", "rule[2].metric: 'brier' has neither min nor max"),
        ("max = 0.2", 'max = "0.2"', "rule[2].max: must be a finite number, not '0.2'"),
        ("max = 0.2", "max = nan", "rule[2].max: must be a finite number, not nan"),
        ('reason = "the order matters"', "", "rule[1].reason: missing"),
        ("[training]", "[trainings]", "training: missing"),
        ("seed = 1", "seed = -1", "training.seed: must be from 0 to 4294967295, not -1: the"),
        ("seed = 1", "seed = 1\nepochs = 3", "training.epochs: unknown key"),
        ("folds = 3", "folds = 2", "training.folds: must be from 3 to 20, not 2: with fewer"),
        (
            "folds = 3",
            'folds = 3\nevaluate = "day"',
            "training.evaluate: must be one of hash, time",
        ),
        ("folds = 3", "folds = 3\nwindow_days = 0", "training.window_days: must be from 1 to 365"),
        ("[nightly]", "[decay]\nmin_rows = 9\n[nightly]", "decay.min_rows: must be from 100 to"),
        ("[nightly]", "[decay]\nfall = 1\n[nightly]", "decay.fall: unknown key"),
        ("quick_rows = 300", "quick_rows = 0", "training.quick_rows: must be from 100 to "),
        ("holdout_share = 0.25", "holdout_share = 1", "holdout_share: must be from 0.05 to 0.5"),
        ("schema = 2", "schema = 2\nwarn = true", "warn: unknown key"),
        (
            '"boosting"',
            '"bosting"',
            "estimator: must be one of boosting, logistic, forest, not 'bosting'",
        ),
        (
            'reason = "the order matters"',
            'reason = "x"\nlevel = "note"',
            "must be one of fail, warn, not 'note'",
        ),
        ("[nightly]", "[nighty]", "nightly: missing"),
        ("bands = 2", "bands = 1", "slices.bands: must be from 2 to 20, not 1"),
        ("min_of_each = 5", "min_of_each = 0", "slices.min_of_each: must be from 1 to 100"),
        (
            "max_below = 0.25",
            "below = 0.25",
            "slices.rule[1].metric: the rule must have exactly one of",
        ),
        (
            "max_below = 0.25",
            "max_below = 0.25\nmin = 0.5",
            "the rule must have exactly one of min, max_b",
        ),
        (
            'metric = "roc_auc"\nmax_loss = 0.05',
            'metric = "f1"\nmax_loss = 0.05',
            "by roc_auc alone",
        ),
        ("max_age_days = 1.0", "max_age_days = 0", "champion.max_age_days: must be from 0.01 to"),
        ("min_rows_share = 0.8", "min_rows_share = 2", "champion.min_rows_share: must be from 0.5"),
        ('other_features = "warn"', 'other_features = "ok"', "must be one of fail, warn, not 'ok'"),
        ("max_loss = 0.005", "max_loss = -1", "champion.rule[1].max_loss: must be from 0 to"),
        (
            "max_loss = 0.005",
            "max_los = 0.005",
            "champion.rule[1].metric: the rule must have exactly one",
        ),
        ("columns = []", 'columns = ["age", 1]', "fairness.columns: must be a list of strings"),
        ("max_gap = 0.2", "max_gap = 2", "fairness.rule[1].max_gap: must be from 0.001"),
        ("days_ago = 7", "days_ago = 0", "nightly.days_ago: must be from 1 to 90, not 0"),
        ("[drift]", "[drifts]", "drift: missing"),
        ("significance = 0.01", "significance = 1", "significance: must be from 1e-06 to 0.2"),
        ("min_rows = 300", "min_rows = 0", "drift.min_rows: must be from 10 to 1000, not 0: fewer"),
        ("min_rows = 300", "", "drift.min_rows: missing"),
        ("min_rows = 300", "min_rows = 300\npsi = 0.2", "drift.psi: unknown key"),
        ("nulls = { warn = 0.005, ", "nulls = { ", "drift.nulls.warn: missing"),
        ("warn = 0.02, ", "warn = 0.2, ", "drift.target.fail: must not be below warn"),
        (
            '"missed_cost"',
            '"missed_costs"',
            "brier, log_loss, calibration_error, accuracy_gain, mis",
        ),
        ("cost_eur = 100", "", "metrics.missed_cost.cost_eur: missing"),
        ("cost_eur = 100", "cost_usd = 100", "metrics.missed_cost.cost_eur: missing"),
        ("cost_eur = 100", "cost_eur = 100\nvat = 0.2", "metrics.missed_cost.vat: unknown key"),
        ("cost_eur = 100", 'cost_eur = "100"', "cost_eur: must be a finite number, not '100'"),
        ("cost_eur = 100", "cost_eur = inf", "cost_eur: must be a finite number, not inf"),
        ("cost_eur = 100", "cost_eur = -1", "cost_eur: must be from 0 to 1000, not -1"),
        ("[metrics.missed_cost]", "[metrics.gain]\n[metrics.missed_cost]", "metrics.gain: unknown"),
        (
            'metric = "roc_auc"\nmax_below = 0.25',
            'metric = "missed_cost"\nmax_below = 0.25',
            "slices.rule[1].metric: slices have lower bounds, and missed_cost is better low",
        ),
        (', reason = "more churn"', "", "drift.target.reason: missing"),
    ],
)
def test_a_mistake_in_a_policy_is_refused_with_its_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert message in refusal(tmp_path, old, new)


def refusal(folder: Path, old: str, new: str) -> str:
    """Return why a policy with another text in it is refused; the file comes first."""
    assert old in QUALITY
    path = folder / "quality.toml"
    path.write_text(QUALITY.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        policy_file.load(path, "toolkit.tests.example")
    assert str(refused.value).startswith(f"{path}: ")
    assert refused.value.next_step == f"fix {path}"
    return str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "significance = 0.02",
            "significance = 1e-300",
            "champion.significance: must be from 1e-0",
        ),
        ("significance = 0.05", "significance = 1e-300", "slices.significance: must be from 1e-06"),
        ("min_rows = 20", "min_rows = 1000000000", "slices.min_rows: must be from 10 to 1000, not"),
        ("min_rows = 300", "min_rows = 1000000000", "drift.min_rows: must be from 10 to 1000, not"),
        ("fail = 0.02,", "fail = 1.0,", "drift.come_and_gone.fail: must be from 0 to 0.5, not 1.0"),
        ("fail = 0.15", "fail = 9", "drift.numbers.fail: must be from 0 to 1, not 9: a whole stan"),
        ("max_age_days = 1.0", "max_age_days = 1e6", "champion.max_age_days: must be from 0.01 to"),
        ("max_refused = 0.05", "max_refused = 1.0", "champion.max_refused: must be from 0 to 0.2"),
        ("max_loss = 0.005", "max_loss = 0.5", "champion.rule[1].max_loss: must be from 0 to 0.2"),
        ("max_loss = 0.05", "max_loss = 0.5", "slices.rule[2].max_loss: must be from 0 to 0.2"),
        ("max_below = 0.25", "max_below = 1", "slices.rule[1].max_below: must be from 0 to 0.5"),
        ("max_loss = 0.005", "max_relative_loss = 9", "max_relative_loss: must be from 0 to 0.5"),
        ("min = 0.7", "min = -1", "rule[1].min: must be from 0 to 1, not -1: the metric has no"),
        ("max = 0.2\n", "max = 2\n", "rule[2].max: must be from 0 to 1, not 2: the metric has no"),
        ("max = 1000", "max = 1e9", "rule[4].max: must be from 0.001 to 60000, not 1000000000.0"),
        (
            'reason = "no worse than what serves"',
            'reason = "x"\nlevel = "warn"',
            "champion.rule: each one only warns, so that no model could ever fail",
        ),
    ],
)
def test_a_value_that_would_switch_a_rule_off_is_refused_with_its_range(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert message in refusal(tmp_path, old, new)


def test_rules_of_which_each_one_only_warns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    head, *rules = QUALITY.split("\n[[rule]]\n")
    softer = [f'{rule.rstrip()}\nlevel = "warn"\n' for rule in rules]
    text = "\n[[rule]]\n".join([head, *softer])
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="toml: rule: each one only warns, so that no"):
        policy_file.load(path, "toolkit.tests.example")
    one_fails = text.replace('level = "warn"', 'level = "fail"', 1)
    path.write_text(one_fails, encoding="utf-8")
    levels = [rule.level for rule in policy_file.load(path, "toolkit.tests.example").rules]
    assert levels == ["fail", "warn", "warn", "warn"]


def test_the_owner_s_metrics_have_thresholds_in_their_own_unit(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY.replace("max = 30", "max = 3000000"), encoding="utf-8")
    rules = policy_file.load(path, "toolkit.tests.example").rules
    assert ("missed_cost", 3e6) in {(rule.metric, rule.threshold) for rule in rules}


def test_every_number_of_a_policy_has_a_range() -> None:
    without = {path for path in keys_of_numbers(tomllib.loads(QUALITY)) if path not in RANGES}
    thresholds = {path for path in without if ".rule." in f".{path}"}
    # Of a rule by its metric; of the owner's parameters in their metrics.py.
    assert without - thresholds == {"schema", "metrics.missed_cost.cost_eur"}
    kinds = {path.rpartition(".")[2] for path in thresholds}
    assert kinds <= {*THRESHOLDS, *OTHERS}
    assert {*HIGHER_IS_BETTER, *policy_file.FULL_TRAINING_METRICS} == set(METRICS)


def test_a_champion_rule_may_name_a_metric_of_the_owner_s(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY.replace('metric = "roc_auc"\nmax_loss = 0.005', CHAMPION_RULE))
    policy = policy_file.load(path, "toolkit.tests.example")
    [rule] = policy.champion.rules
    assert (rule.metric, rule.kind, rule.threshold) == ("missed_cost", "max_loss", 1.0)
    [metric] = policy.metrics
    assert (metric.name, metric.parameters) == ("missed_cost", {"cost_eur": 100.0})


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ((metric("f1"),), "'f1' is the name of a built-in metric"),
        ((metric("latency_ms"),), "'latency_ms' is the name of a built-in metric"),
        ((metric("lift"), metric("lift")), "2 entries are named 'lift'"),
        (metric("lift"), "must be a tuple of Metric, not Metric"),
        (("lift",), "entry 1 must be a Metric, not str"),
    ],
)
def test_a_mistake_in_the_metrics_is_refused_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: object, message: str
) -> None:
    monkeypatch.setattr("toolkit.tests.example.metrics.METRICS", metrics)
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"metrics\.py, line \d+: METRICS: {message}"):
        policy_file.load(path, "toolkit.tests.example")


def test_a_policy_file_without_rules_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY.partition("\n[[rule]]")[0], encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"rule: there is no \[\[rule\]\]"):
        policy_file.load(path, "toolkit.tests.example")


def test_one_rule_may_bound_a_metric_on_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    path.write_text(QUALITY.replace("min = 0.7", "min = 0.7\nmax = 0.9"), encoding="utf-8")
    bounds = [
        (rule.metric, rule.bound) for rule in policy_file.load(path, "toolkit.tests.example").rules
    ]
    assert bounds[:3] == [("roc_auc", "min"), ("roc_auc", "max"), ("brier", "max")]


def test_a_protected_column_wants_a_rule(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    head, _, tail = QUALITY.partition("[[fairness.rule]]")
    rest = tail.partition("[nightly]")[2]
    text = head.replace("columns = []", 'columns = ["plan type"]') + "[nightly]" + rest
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="there is no rule for the protected columns"):
        policy_file.load(path, "toolkit.tests.example")
