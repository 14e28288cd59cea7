"""The forges' rules are written in their own words, and let the releases through."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Bake
from toolkit.release.forge.client import GITHUB, GITLAB, Forge
from toolkit.release.forge.protection import JOB_KEY, KEY_FIELD, apply, plan
from toolkit.release.progress import Progress
from toolkit.tests import stand_in_forge
from toolkit.tests.listener import listening
from toolkit.tests.stand_in_forge import TOKEN, StandInForge

# What GitHub's REST API takes for a repository's ruleset, of each rule all parameters that it
# must have: https://docs.github.com/en/rest/repos/rules#create-a-repository-ruleset
FIELDS = {"name", "target", "enforcement", "bypass_actors", "conditions", "rules"}
PARAMETERS = {
    "creation": set[str](),
    "deletion": set[str](),
    "non_fast_forward": set[str](),
    "update": set[str](),
    "pull_request": {
        "dismiss_stale_reviews_on_push",
        "require_code_owner_review",
        "require_last_push_approval",
        "required_approving_review_count",
        "required_review_thread_resolution",
    },
    "required_status_checks": {
        "required_status_checks",
        "strict_required_status_checks_policy",
    },
}
# What GitLab's takes, on every plan: https://docs.gitlab.com/api/protected_branches/ and
# https://docs.gitlab.com/api/protected_tags/; 0 is nobody, 30 developers, 40 maintainers.
LEVELS = {0, 30, 40}
BRANCH = {"name", "push_access_level", "merge_access_level", "allow_force_push"}
TAG = {"name", "create_access_level"}

# The rules that let only the release job push; it passes by its deploy key, and through no other.
RELEASE_JOB = {"environments for the release job alone", "releases for the release job alone"}
DEPLOY_KEY = {"actor_id": None, "actor_type": "DeployKey", "bypass_mode": "always"}

VERSION = "0123456789ab-01234567"
BRANCHES = ["env/staging", "env/prod"]
TAGS = [f"release/{VERSION}", f"approval/prod/{VERSION}/ada@example.com"]


@pytest.fixture(scope="module")
def rulesets(baked: Path) -> dict[str, Any]:
    paths = (baked / ".github" / "rulesets").glob("*.json")
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return {ruleset["name"]: ruleset for ruleset in found}


@pytest.fixture(scope="module")
def protection(baked: Path) -> Any:
    return json.loads((baked / ".gitlab" / "protection.json").read_text(encoding="utf-8"))


def kinds(ruleset: Any) -> set[str]:
    return {rule["type"] for rule in ruleset["rules"]}


def matched(pattern: str, name: str) -> bool:
    """Match as GitHub does: an asterisk stops at a slash, `**/` does not."""
    parts = re.split(r"(\*\*/|\*)", pattern)
    translated = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return bool(re.fullmatch("".join(translated.get(x, re.escape(x)) for x in parts), name))


def test_github_s_rulesets_say_what_its_api_takes(rulesets: dict[str, Any]) -> None:
    assert set(rulesets) == {"main", "environments", "releases", *RELEASE_JOB}
    for name, ruleset in rulesets.items():
        assert set(ruleset) == FIELDS
        assert ruleset["enforcement"] == "active"
        assert ruleset["bypass_actors"] == ([DEPLOY_KEY] if name in RELEASE_JOB else [])
        assert ruleset["target"] in {"branch", "tag"}
        assert set(ruleset["conditions"]["ref_name"]) == {"include", "exclude"}
        for rule in ruleset["rules"]:
            assert set(rule.get("parameters", {})) == PARAMETERS[rule["type"]]


def test_main_wants_a_code_owner_and_the_check_that_the_pull_request_runs(
    baked: Path, rulesets: dict[str, Any]
) -> None:
    main = rulesets["main"]
    assert main["conditions"]["ref_name"]["include"] == ["~DEFAULT_BRANCH"]
    assert {"deletion", "non_fast_forward"} < kinds(main)
    parameters = {rule["type"]: rule.get("parameters") for rule in main["rules"]}
    assert parameters["pull_request"]["required_approving_review_count"] == 1
    assert parameters["pull_request"]["require_code_owner_review"]
    (wanted,) = parameters["required_status_checks"]["required_status_checks"]
    workflow = baked / ".github" / "workflows" / "pull-request.yml"
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    assert wanted["context"] in {job["name"] for job in jobs.values()}


@pytest.mark.parametrize(
    ("name", "prefix", "names", "rules"),
    [
        ("environments", "refs/heads/", BRANCHES, {"deletion", "non_fast_forward"}),
        ("releases", "refs/tags/", TAGS, {"deletion", "update"}),
        ("environments for the release job alone", "refs/heads/", BRANCHES, {"creation", "update"}),
        # Not the approvals: people make them.
        ("releases for the release job alone", "refs/tags/", TAGS[:1], {"creation"}),
    ],
)
def test_the_ledger_may_be_written_and_not_rewritten(
    rulesets: dict[str, Any], name: str, prefix: str, names: list[str], rules: set[str]
) -> None:
    patterns = rulesets[name]["conditions"]["ref_name"]["include"]
    for reference in names:
        assert any(matched(pattern, prefix + reference) for pattern in patterns), reference
    others = {"refs/heads/main", *(f"refs/tags/{tag}" for tag in TAGS if tag not in names)}
    assert not any(matched(pattern, other) for pattern in patterns for other in others)
    assert kinds(rulesets[name]) == rules


def test_gitlab_s_protection_says_what_every_plan_takes(protection: Any) -> None:
    branches = {branch["name"]: branch for branch in protection["protected_branches"]}
    assert set(branches) == {"main", "env/*"}
    assert {tag["name"] for tag in protection["protected_tags"]} == {"release/*", "approval/*"}
    for entries, fields in ((branches.values(), BRANCH), (protection["protected_tags"], TAG)):
        for entry in entries:
            assert set(entry) - {KEY_FIELD} == fields
            # People push approvals, and nobody pushes to main.
            is_of_the_job = entry["name"] in ("env/*", "release/*")
            assert entry.get(KEY_FIELD) == (JOB_KEY if is_of_the_job else None)
            levels = {entry[name] for name in fields if name.endswith("_level")}
            assert levels <= LEVELS
    assert not any(branch["allow_force_push"] for branch in branches.values())
    assert branches["main"]["push_access_level"] == 0
    assert branches["env/*"]["push_access_level"] == 30
    assert protection["project"]["only_allow_merge_if_pipeline_succeeds"]


def outcomes(forge: Forge, repository: Path) -> set[str]:
    """Bring a forge to the repository's rules as `invoke protect` does; return what came of them."""
    return {change.outcome for change in apply(forge, plan(forge, repository), Progress())}


@pytest.mark.parametrize(
    ("name", "path"), [(GITHUB, stand_in_forge.GITHUB), (GITLAB, stand_in_forge.GITLAB)]
)
def test_the_rules_are_applied_once_and_are_already_so_afterwards(
    baked: Path, name: str, path: str
) -> None:
    key = {"id": 1, "title": JOB_KEY, "read_only": False, "can_push": True}
    stand_in = StandInForge({"keys": [key], "deploy_keys": [key]})
    with listening(answer=stand_in) as listener:
        forge = Forge(name, listener.address + path, TOKEN)
        assert "already so" not in outcomes(forge, baked)
        written = len(stand_in.written())
        assert outcomes(forge, baked) == {"already so"}
    assert len(stand_in.written()) == written > 2


# By a team that signs, or that has several addresses; and by cruft.
WRITTEN_LATER = ("/allowed_signers", "/.mailmap", "/.cruft.json")


@pytest.mark.parametrize("ci", ["github", "gitlab", "both"])
def test_the_owners_are_asked_about_files_that_are_there(bake: Bake, ci: str) -> None:
    repository = bake(ci=ci, email="ada@example.com")
    text = (repository / "docs" / "CODEOWNERS").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[0] == ["*", "ada@example.com"]
    for path, owner in lines[1:]:
        assert owner == "ada@example.com"
        if path in WRITTEN_LATER:
            continue
        assert (repository / path.lstrip("/")).exists(), path
        assert path.endswith("/") == (repository / path.lstrip("/")).is_dir()
