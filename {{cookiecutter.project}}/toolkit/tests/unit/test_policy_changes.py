"""Each threshold that became laxer is told with both of its values, whoever asks."""

from __future__ import annotations

import re
import tomllib

import pytest

from toolkit.policy_changes import POLICIES, STRICTNESS, Change, compare
from toolkit.tests.customers import CONTRACT, QUALITY, keys_of_numbers

RELEASE = """
schema = 2
scan = true
lease_s = 900

[signing]
events = true
by = ["release@example.com"]

[environments.staging]
platform = "process"
port = 8101

[environments.prod]
platform = "process"
soak_minutes = 60
nightly = "propose"

[environments.prod.approval]
needed = 2
by = ["ada@example.com", "grace@example.com"]
author_may_approve = false
signed = true

[environments.prod.canary]
windows = 10
max_slowdown = 0.1
slo_ms = 50

[[freezes]]
name = "weekend"
environments = ["prod"]
begins = "Fri 16:00"
"""
RULES = """
[[rule]]
holds = "tenure_months <= 12 * age"
reason = "nobody joins before birth"
"""
FILES = {
    "quality.toml": QUALITY,
    "release.toml": RELEASE,
    "data/contract.toml": CONTRACT + RULES,
}


def changes(name: str, old: str, new: str) -> list[Change]:
    """Replace a text of a file, and return what has changed by that."""
    assert old in FILES[name]
    before = {name: FILES[name].encode()}
    return compare(before, {name: FILES[name].replace(old, new, 1).encode()})


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("quality.toml", "min = 0.7", "min = 0.6", "rule roc_auc.min 0.7 -> 0.6"),
        ("quality.toml", "max = 0.2", "max = 0.3", "rule brier.max 0.2 -> 0.3"),
        (
            "quality.toml",
            "= 0.02\nmax_age",
            "= 1e-6\nmax_age",
            "champion.significance 0.02 -> 1e-06",
        ),
        ("quality.toml", "max_age_days = 1.0", "max_age_days = 30", "max_age_days 1.0 -> 30"),
        ("quality.toml", "min_rows_share = 0.8", "min_rows_share = 0.5", "rows_share 0.8 -> 0.5"),
        ("quality.toml", "max_refused = 0.05", "max_refused = 0.2", "max_refused 0.05 -> 0.2"),
        (
            "quality.toml",
            "max_loss = 0.005",
            "max_loss = 0.2",
            "rule roc_auc.max_loss 0.005 -> 0.2",
        ),
        ("quality.toml", "max_below = 0.25", "max_below = 0.5", "roc_auc.max_below 0.25 -> 0.5"),
        (
            "quality.toml",
            "max_gap = 0.2",
            "max_gap = 0.5",
            "fairness.rule recall.max_gap 0.2 -> 0.5",
        ),
        ("quality.toml", "min_rows = 300", "min_rows = 1000", "drift.min_rows 300 -> 1000"),
        ("quality.toml", "min_rows = 20", "min_rows = 1000", "slices.min_rows 20 -> 1000"),
        ("quality.toml", "min_of_each = 5", "min_of_each = 100", "slices.min_of_each 5 -> 100"),
        ("quality.toml", "bands = 2", "bands = 1", "slices.bands 2 -> 1"),
        ("quality.toml", "fail = 0.15", "fail = 1", "drift.numbers.fail 0.15 -> 1"),
        ("quality.toml", "warn = 0.005", "warn = 0.02", "drift.nulls.warn 0.005 -> 0.02"),
        ("quality.toml", "quick_rows = 300", "quick_rows = 100", "training.quick_rows 300 -> 100"),
        ("quality.toml", "share = 0.25", "share = 0.05", "training.holdout_share 0.25 -> 0.05"),
        ("release.toml", "scan = true", "scan = false", "scan true -> false"),
        ("release.toml", "schema = 2", "schema = 1", "schema 2 -> 1"),
        ("release.toml", "events = true", "events = false", "signing.events true -> false"),
        ("release.toml", "events = true\n", "", "signing.events true -> nothing"),
        ("release.toml", "needed = 2", "needed = 1", "prod.approval.needed 2 -> 1"),
        ("release.toml", "signed = true", "", "prod.approval.signed true -> nothing"),
        ("release.toml", "approve = false", "approve = true", "may_approve false -> true"),
        ("release.toml", "soak_minutes = 60\n", "", "environments.prod.soak_minutes 60 -> nothing"),
        (
            "release.toml",
            "slo_ms = 50",
            "slo_ms = 500",
            "environments.prod.canary.slo_ms 50 -> 500",
        ),
        ("release.toml", 'nightly = "propose"', 'nightly = "promote"', "propose -> promote"),
        ("data/contract.toml", "max = 99", "max = 99000", "column age.max 99 -> 99000"),
        ("data/contract.toml", "max = 99\n", "", "column age.max 99 -> nothing"),
        ("data/contract.toml", "max_null_rate = 0", "", "tenure_months.max_null_rate 0 -> nothing"),
        ("data/contract.toml", "min = 50", "min = 5", "rows.min 50 -> 5"),
        ("data/contract.toml", RULES, "", "rule tenure_months <= 12 * age required -> nothing"),
    ],
)
def test_a_laxer_value_is_told_with_the_old_and_the_new(
    name: str, old: str, new: str, sentence: str
) -> None:
    laxer = [str(one) for one in changes(name, old, new) if one.laxer]
    assert len(laxer) == 1
    assert laxer[0].startswith(f"{name}: ") and laxer[0].endswith(f"{sentence}, laxer")


def test_rules_for_the_hash_again_or_for_fewer_days_ask_for_less() -> None:
    def laxer(old: str, new: str) -> list[bool]:
        quality = [QUALITY.replace("folds = 3", f"folds = 3\n{one}").encode() for one in (old, new)]
        return [one.laxer for one in compare(*({"quality.toml": one} for one in quality))]

    assert laxer('evaluate = "time"', "") == [True]
    assert laxer('evaluate = "time"', 'evaluate = "hash"') == [True]
    assert laxer("", 'evaluate = "time"') == [False]
    assert laxer("", "window_days = 7") == [True]
    assert laxer("window_days = 30", "window_days = 60") == [False]


@pytest.mark.parametrize("setting", ["significance = 0.001", "max_fall = 0.05", "min_rows = 5000"])
def test_a_decay_that_is_told_later_is_laxer(setting: str) -> None:
    watched = f"{QUALITY}\n[decay]\n{setting}\n".encode()
    [one] = compare({"quality.toml": QUALITY.encode()}, {"quality.toml": watched})
    assert one.laxer
    [back] = compare({"quality.toml": watched}, {"quality.toml": QUALITY.encode()})
    assert not back.laxer


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("quality.toml", "min = 0.7", "min = 0.8"),
        ("quality.toml", "max = 0.2", "max = 0.1"),
        ("quality.toml", 'other_features = "warn"', 'other_features = "fail"'),
        ("quality.toml", "columns = []", 'columns = ["plan type"]'),
        ("quality.toml", "seed = 1", "seed = 2"),
        ("release.toml", "scan = true", ""),
        ("release.toml", "needed = 2", "needed = 3"),
        ("release.toml", "lease_s = 900", "lease_s = 300"),
        ("release.toml", 'begins = "Fri 16:00"', 'begins = "Fri 12:00"'),
        ("data/contract.toml", "max = 99", "max = 98"),
        ("data/contract.toml", '"basic", "full"', '"full", "basic"'),
    ],
)
def test_another_change_is_told_and_is_not_laxer(name: str, old: str, new: str) -> None:
    [change] = changes(name, old, new)
    assert (change.file, change.laxer) == (name, False)


@pytest.mark.parametrize(
    ("name", "old", "new", "keys"),
    [
        ("release.toml", RELEASE[RELEASE.index("[[freezes]]") :], "", {"freezes weekend.begins"}),
        ("quality.toml", '"warn"\n\n[[champion', '"ok"\n\n[[champion', {"champion.other_features"}),
        (
            "data/contract.toml",
            '["basic", "full"]',
            '["full", "new"]',
            {"column plan type.categor"},
        ),
        ("release.toml", '"grace@example.com"]', '"eve@example.com"]', {"environments.prod.appro"}),
        (
            "release.toml",
            '["release@example.com"]',
            '["r@x", "release@example.com"]',
            {"signing.b"},
        ),
    ],
)
def test_a_list_that_holds_more_and_a_window_that_is_gone_are_laxer(
    name: str, old: str, new: str, keys: set[str]
) -> None:
    laxer = [one.key for one in changes(name, old, new) if one.laxer]
    assert all(any(found.startswith(key) for found in laxer) for key in keys)


def with_levels(level: str) -> str:
    """Return the policy in which each rule has a level."""
    return re.sub("^(reason = .*)$", rf'\1\nlevel = "{level}"', QUALITY, flags=re.MULTILINE)


def test_rules_that_only_warn_now_are_laxer_and_each_is_named() -> None:
    old, soft = {"quality.toml": QUALITY.encode()}, {"quality.toml": with_levels("warn").encode()}
    assert [str(one) for one in compare(old, soft)] == [
        f"quality.toml: {key} -> {value} (warn), laxer"
        for key, value in (
            ("slices.rule roc_auc.max_below 0.25", "0.25"),
            ("slices.rule roc_auc.max_loss 0.05", "0.05"),
            ("champion.rule roc_auc.max_loss 0.005", "0.005"),
            ("fairness.rule recall.max_gap 0.2", "0.2"),
            ("rule roc_auc.min 0.7", "0.7"),
            ("rule brier.max 0.2", "0.2"),
            ("rule missed_cost.max 30", "30"),
            ("rule latency_ms.max 1000", "1000"),
        )
    ]
    assert [one.laxer for one in compare(soft, old)] == 8 * [False]
    assert compare(old, {"quality.toml": with_levels("fail").encode()}) == []


def test_a_stricter_threshold_that_only_warns_is_laxer() -> None:
    reason = 'reason = "the order matters"'
    [change] = changes(
        "quality.toml", f"min = 0.7\n{reason}", f'min = 0.9\n{reason}\nlevel = "warn"'
    )
    assert str(change) == "quality.toml: rule roc_auc.min 0.7 -> 0.9 (warn), laxer"


def test_of_two_rules_about_one_metric_the_changed_one_is_told() -> None:
    second = '[[rule]]\nmetric = "roc_auc"\nmin = 0.9\nlevel = "warn"\nreason = "better"\n'
    both = {"quality.toml": f"{QUALITY}\n{second}".encode()}
    [added] = compare({"quality.toml": QUALITY.encode()}, both)
    assert str(added) == "quality.toml: rule roc_auc.min nothing -> 0.9 (warn)"
    without_the_first = {"quality.toml": both["quality.toml"].replace(b"min = 0.7", b"max = 0.99")}
    said = [str(one) for one in compare(both, without_the_first)]
    assert said == [
        "quality.toml: rule roc_auc.min 0.7 -> nothing, laxer",
        "quality.toml: rule roc_auc.max nothing -> 0.99",
    ]


def test_what_became_laxer_comes_first() -> None:
    old = {name: text.encode() for name, text in FILES.items()}
    new = dict(old)
    new["quality.toml"] = old["quality.toml"].replace(b"min = 0.7", b"min = 0.8")
    new["data/contract.toml"] = old["data/contract.toml"].replace(b"max = 99", b"max = 120")
    assert [one.file for one in compare(old, new)] == ["data/contract.toml", "quality.toml"]


@pytest.mark.parametrize("content", [b"[", b"\xff", b"a = " + 5000 * b"["])
def test_a_file_that_cannot_be_compared_is_told_and_counts_as_laxer(content: bytes) -> None:
    for old, new in ((content, QUALITY.encode()), (QUALITY.encode(), content)):
        [change] = compare({"quality.toml": old}, {"quality.toml": new})
        assert str(change) == "quality.toml: changed, and it cannot be compared"
        assert change.laxer
    assert compare({"quality.toml": content}, {"quality.toml": content}) == []


def test_a_value_of_another_kind_counts_as_laxer() -> None:
    [change] = changes("quality.toml", "max_refused = 0.05", 'max_refused = "none"')
    assert change.laxer


def test_a_file_that_was_not_there_before_asks_for_more_only() -> None:
    found = compare({}, {name: text.encode() for name, text in FILES.items()})
    assert {one.file for one in found} == set(POLICIES)
    assert not any(one.laxer for one in found)


def test_it_is_known_of_each_number_of_a_policy_whether_more_or_less_is_laxer() -> None:
    patterns = [re.compile(re.escape(one.keys).replace(r"\*", ".*")) for one in STRICTNESS]
    unknown = {
        key
        for key in keys_of_numbers(tomllib.loads(QUALITY), name=" x")
        if not any(pattern.fullmatch(f"quality.toml: {key}") for pattern in patterns)
    }
    # The format, the estimator's seed, and the parameters of the owner's metrics.
    assert unknown == {"schema", "training.seed", "metrics.missed_cost.cost_eur"}
