"""The forge gets the rules in the repository's files, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from toolkit.release.errors import ConfigurationError, PreconditionFailed
from toolkit.release.forge.client import GITHUB, GITLAB, Forge
from toolkit.release.forge.protection import PROTECTION, RULESETS, apply, plan
from toolkit.release.progress import Progress
from toolkit.tests.listener import listening
from toolkit.tests.stand_in_forge import GITHUB as TEAM
from toolkit.tests.stand_in_forge import GITLAB as PROJECT
from toolkit.tests.stand_in_forge import TOKEN, StandInForge

PATHS = {GITHUB: TEAM, GITLAB: PROJECT}

RULES = [{"type": "deletion"}, {"type": "non_fast_forward"}]
RULESET = {
    "name": "main",
    "target": "branch",
    "conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}},
    "rules": RULES,
}
BRANCH = {"name": "env/*", "push_access_level": 30, "allow_force_push": False}
SETTINGS = {"only_allow_merge_if_pipeline_succeeds": True}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a rule of each kind."""
    write(tmp_path / RULESETS / "main.json", RULESET)
    tags = [{"name": "release/*", "create_access_level": 30}]
    rules = {"project": SETTINGS, "protected_branches": [BRANCH], "protected_tags": tags}
    write(tmp_path / PROTECTION, rules)
    return tmp_path


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


@contextmanager
def at(name: str, stand_in: StandInForge) -> Iterator[Forge]:
    with listening(answer=stand_in) as listener:
        yield Forge(name, listener.address + PATHS[name], TOKEN)


def outcomes(forge: Forge, root: Path) -> list[str]:
    """Apply the rules, and return the outcome of each."""
    return [change.outcome for change in apply(forge, plan(forge, root), Progress())]


def test_a_weakened_ruleset_is_restored(root: Path) -> None:
    stand_in = StandInForge()
    with at(GITHUB, stand_in) as forge:
        assert outcomes(forge, root) == ["created"]
        stand_in.lists["rulesets"][0]["rules"] = RULES[:1]
        assert outcomes(forge, root) == ["updated"]
        assert outcomes(forge, root) == ["already so"]
    assert stand_in.written() == ["POST /rulesets", "PUT /rulesets/1"]
    assert stand_in.lists["rulesets"][0]["rules"] == RULES


def test_an_additional_rule_of_a_ruleset_is_removed(root: Path) -> None:
    more = [*RULES, {"type": "creation"}]
    stand_in = StandInForge({"rulesets": [RULESET | {"id": 4, "rules": more}]})
    with at(GITHUB, stand_in) as forge:
        assert outcomes(forge, root) == ["updated"]
    assert stand_in.lists["rulesets"][0]["rules"] == RULES


def test_a_branch_that_gitlab_protects_otherwise_is_protected_again(root: Path) -> None:
    stand_in = StandInForge(project={"only_allow_merge_if_pipeline_succeeds": False})
    with at(GITLAB, stand_in) as forge:
        assert outcomes(forge, root) == ["updated", "created", "created"]
        stand_in.lists["protected_branches"][0]["push_access_levels"][0]["access_level"] = 40
        assert outcomes(forge, root) == ["already so", "updated", "already so"]
        assert outcomes(forge, root) == ["already so"] * 3
    assert stand_in.project == SETTINGS
    assert stand_in.written()[-2:] == [
        "DELETE /protected_branches/env%2F%2A",
        "POST /protected_branches",
    ]


ALONE = {
    "name": "environments for the release job alone",
    "target": "branch",
    "bypass_actors": [{"actor_id": None, "actor_type": "DeployKey", "bypass_mode": "always"}],
    "rules": [{"type": "creation"}, {"type": "update"}],
}
MAY_PUSH = {"id": 7, "title": "release job", "read_only": False, "can_push": True}
MAY_READ = {"id": 8, "title": "release job", "read_only": True, "can_push": False}
ANOTHER = MAY_PUSH | {"title": "a laptop"}


@pytest.fixture
def for_the_job(root: Path) -> Path:
    """The same, with rules that let only the release job push."""
    write(root / RULESETS / "release-job.json", ALONE)
    branch, tag = BRANCH | {"deploy_key": "release job"}, {"name": "release/*"}
    tags = [tag | {"create_access_level": 30, "deploy_key": "release job"}]
    write(
        root / PROTECTION, {"project": {}, "protected_branches": [branch], "protected_tags": tags}
    )
    return root


def levels(stand_in: StandInForge) -> list[Any]:
    """Return who may push to env/*, and who may create release/*."""
    [branch], [tag] = stand_in.lists["protected_branches"], stand_in.lists["protected_tags"]
    found = (branch["push_access_levels"], tag["create_access_levels"])
    return [one.get("deploy_key_id", one["access_level"]) for entries in found for one in entries]


@pytest.mark.parametrize("keys", [[], [MAY_READ], [ANOTHER]])
def test_without_the_release_job_s_key_nobody_is_locked_out_and_that_is_said(
    for_the_job: Path, keys: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in = StandInForge({"keys": keys})
    with at(GITHUB, stand_in) as forge:
        assert outcomes(forge, for_the_job) == ["created", "not set"]
    assert [one["name"] for one in stand_in.lists["rulesets"]] == ["main"]
    said = "environments for the release job alone: not set: there is no deploy key 'release job'"
    assert f"ruleset {said}" in capsys.readouterr().err
    stand_in = StandInForge({"deploy_keys": keys})
    with at(GITLAB, stand_in) as forge:
        expected = ["already so", "created", "not set", "created", "not set"]
        assert outcomes(forge, for_the_job) == expected
    assert levels(stand_in) == [30, 30]
    assert "release/* for the release job alone: not set: there is" in capsys.readouterr().err


def test_with_the_release_job_s_key_nobody_else_may_push(for_the_job: Path) -> None:
    stand_in = StandInForge({"keys": [MAY_PUSH]})
    with at(GITHUB, stand_in) as forge:
        assert outcomes(forge, for_the_job) == ["created", "created"]
        assert outcomes(forge, for_the_job) == ["already so", "already so"]
        # Without the key nobody may push, until it is there again: nothing is loosened.
        stand_in.lists["keys"].clear()
        assert outcomes(forge, for_the_job) == ["already so", "already so"]
        stand_in.lists["rulesets"][1]["bypass_actors"].append({"actor_type": "Team", "actor_id": 1})
        assert outcomes(forge, for_the_job) == ["already so", "updated"]
    assert stand_in.lists["rulesets"][1]["bypass_actors"] == ALONE["bypass_actors"]
    stand_in = StandInForge()
    with at(GITLAB, stand_in) as forge:
        outcomes(forge, for_the_job)
        stand_in.lists["deploy_keys"] = [MAY_PUSH]
        assert outcomes(forge, for_the_job) == ["already so", "updated", "updated"]
        assert outcomes(forge, for_the_job) == ["already so"] * 3
    assert levels(stand_in) == [7, 7]


def test_a_gitlab_that_passes_over_the_key_keeps_letting_developers_push_and_that_is_said(
    for_the_job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its own default, maintainers alone, the release job could not push."""
    stand_in = StandInForge({"deploy_keys": [MAY_PUSH]}, takes_keys=False)
    with at(GITLAB, stand_in) as forge:
        assert outcomes(forge, for_the_job) == ["already so", "not set", "not set"]
        assert levels(stand_in) == [30, 30]
        said = "branches env/*: not set: this GitLab takes no deploy key"
        assert said in capsys.readouterr().err
        by_hand = [{"access_level": 0}, {"access_level": 40, "deploy_key_id": 7}]
        stand_in.lists["protected_branches"][0]["push_access_levels"] = by_hand
        assert outcomes(forge, for_the_job) == ["already so", "already so", "not set"]


def test_a_plan_writes_nothing(root: Path) -> None:
    for name in PATHS:
        stand_in = StandInForge()
        with at(name, stand_in) as forge:
            assert plan(forge, root)
        assert stand_in.written() == []


def test_a_forge_that_does_not_return_its_rules_is_an_error(root: Path) -> None:
    with at(GITHUB, StandInForge(refused="GET /rulesets")) as forge:
        with pytest.raises(PreconditionFailed, match="did not return its rules") as refusal:
            plan(forge, root)
    assert (refusal.value.exit_code, refusal.value.state) == (14, "nothing was changed")
    assert refusal.value.why == "GitHub answered 403: not with ***"


def test_a_refusal_in_the_middle_says_what_is_not_protected_now(root: Path) -> None:
    stand_in = StandInForge()
    with at(GITLAB, stand_in) as forge:
        outcomes(forge, root)
        stand_in.lists["protected_branches"][0]["allow_force_push"] = True
        stand_in.refused = "POST /protected_branches"
        with pytest.raises(PreconditionFailed, match="did not accept protected branches env") as no:
            outcomes(forge, root)
    taken = "it has accepted: DELETE /protected_branches/env%2F%2A; the rest is unchanged"
    assert no.value.state == taken


def test_an_answer_of_another_kind_is_a_refusal(root: Path) -> None:
    for name in PATHS:
        with listening(body=b"[{}]") as listener, pytest.raises(PreconditionFailed):
            plan(Forge(name, listener.address, TOKEN), root)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_file_that_cannot_be_read_is_named(root: Path, content: str | None) -> None:
    for name, path in ((GITHUB, RULESETS), (GITLAB, PROTECTION)):
        file = root / path / "main.json" if name == GITHUB else root / path
        file.unlink()
        if content:
            file.write_text(content, encoding="utf-8")
        with at(name, StandInForge()) as forge, pytest.raises(ConfigurationError) as refusal:
            plan(forge, root)
        assert refusal.value.exit_code == 2
