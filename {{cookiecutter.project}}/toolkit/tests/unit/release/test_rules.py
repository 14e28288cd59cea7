"""What decides about a release and has changed: named, with what became laxer first."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.release import rules
from toolkit.tests.workshop import Workshop, git

QUALITY = """
[[rule]]
metric = "accuracy"
min = 0.85
reason = "as good as last year"

[[rule]]
metric = "brier"
max = 0.2

[champion]
max_age_days = 1.0
"""
RELEASE = """
schema = 2
[environments.prod.approval]
needed = 2
author_may_approve = false
signed = true
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A repository with rules."""
    shop = Workshop.open(tmp_path / "clone", None)
    write(shop, {"quality.toml": QUALITY, "release.toml": RELEASE, "toolkit/a.py": "", "b.py": ""})
    return shop


def write(shop: Workshop, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = shop.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(shop.folder, "add", "--all")
    return shop.commit("work")


def found(shop: Workshop, files: dict[str, str]) -> tuple[str, ...]:
    base = shop.machine.repository.head()
    return rules.changes(shop.machine.repository, base, write(shop, files))


def test_without_a_change_of_the_rules_there_is_nothing_to_say(shop: Workshop) -> None:
    assert found(shop, {"b.py": "changed = True"}) == ()
    assert found(shop, {"quality.toml": QUALITY.replace("last year", "before")}) == ()


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("quality.toml", "min = 0.85", "min = 0.8", "rule accuracy.min 0.85 -> 0.8, laxer"),
        ("quality.toml", "min = 0.85", "min = 0.9", "rule accuracy.min 0.85 -> 0.9"),
        ("quality.toml", "max = 0.2", "max = 0.3", "rule brier.max 0.2 -> 0.3, laxer"),
        ("quality.toml", "max = 0.2\n", "", "rule brier.max 0.2 -> nothing, laxer"),
        ("quality.toml", "days = 1.0", "days = 9.0", "champion.max_age_days 1.0 -> 9.0, laxer"),
        ("release.toml", "needed = 2", "needed = 1", "prod.approval.needed 2 -> 1, laxer"),
        ("release.toml", "approve = false", "approve = true", "false -> true, laxer"),
        ("release.toml", "signed = true", "signed = false", "true -> false, laxer"),
        ("release.toml", "signed = true", "", "prod.approval.signed true -> nothing, laxer"),
    ],
)
def test_a_changed_value_is_named_and_whether_it_is_laxer(
    shop: Workshop, name: str, old: str, new: str, sentence: str
) -> None:
    text = {"quality.toml": QUALITY, "release.toml": RELEASE}[name]
    assert old in text
    [output] = found(shop, {name: text.replace(old, new)})
    assert output.startswith(f"{name}: ") and output.endswith(sentence)


def test_what_became_laxer_comes_first_and_other_files_are_counted(shop: Workshop) -> None:
    stricter = QUALITY.replace("min = 0.85", "min = 0.9")
    changed = {
        "quality.toml": stricter,
        "release.toml": RELEASE.replace("needed = 2", "needed = 1"),
    }
    output = found(shop, changed | {"toolkit/a.py": "a = 1", "allowed_signers": "key"})
    assert [one.partition(":")[0] for one in output] == [
        "release.toml",
        "quality.toml",
        "allowed_signers",
        "toolkit",
    ]
    assert output[2:] == ("allowed_signers: changed", "toolkit: 1 file changed")


def test_a_policy_that_cannot_be_read_is_named(shop: Workshop) -> None:
    assert found(shop, {"quality.toml": "["}) == (
        "quality.toml: changed, and it cannot be compared",
    )


def test_they_are_told_under_a_heading_and_not_at_all_where_there_are_none() -> None:
    told = rules.section(("release.toml: scan true -> false, laxer", "toolkit: 1 file changed"))
    assert told == [
        "  Policy changes",
        "    release.toml: scan true -> false, laxer",
        "    toolkit: 1 file changed",
    ]
    assert rules.section(()) == []
