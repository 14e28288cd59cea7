"""The forge is found and called, and its token is never shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.release.errors import NoForge
from toolkit.release.forge.client import GITHUB, GITLAB, Forge, ForgeFailed, find
from toolkit.release.forge.review import reviewer
from toolkit.release.git import Repository
from toolkit.tests.listener import listening
from toolkit.tests.stand_in_forge import TOKEN, StandInForge, job
from toolkit.tests.workshop import git


def review(login: str, *environments: str, state: str = "approved") -> dict[str, Any]:
    """Return a review as GitHub tells it: one may be for several environments that wait."""
    names = [{"id": at, "name": name} for at, name in enumerate(environments)]
    return {"state": state, "environments": names, "user": {"login": login}}


REVIEWS = [
    review("grace", "Production"),
    review("linus", "production", state="rejected"),
    review("intern", "staging"),
]


def running(address: str, environment: str = "production") -> dict[str, str]:
    ours = {"GITHUB_RUN_ID": "7", "REVIEWED_ENVIRONMENT": environment}
    return job(GITHUB, address) | ours


def test_the_approver_of_a_github_run_is_named() -> None:
    with listening(body=json.dumps(REVIEWS).encode()) as listener:
        assert reviewer(running(listener.address)) == "grace at GitHub"
    ((path, headers, _),) = listener.requests
    assert path == "/repos/team/churn/actions/runs/7/approvals"
    assert headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("environment", "recorded"),
    [("staging", "ada, intern at GitHub"), ("production", "ada, grace at GitHub"), ("", "")],
)
def test_only_reviews_of_the_job_s_own_environment_count(environment: str, recorded: str) -> None:
    reviews = [*REVIEWS, review("ada", "staging", "production")]
    with listening(body=json.dumps(reviews).encode()) as listener:
        assert reviewer(running(listener.address, environment)) == recorded


def test_a_run_that_nobody_had_to_approve_has_no_reviewer() -> None:
    with listening(body=b"[]") as listener:
        assert reviewer(running(listener.address)) == ""


def test_a_forge_that_does_not_answer_is_recorded_as_that() -> None:
    with listening(status=403) as listener:
        output = reviewer(running(listener.address))
    assert output == "an unknown reviewer at GitHub"


def test_the_starter_of_a_manual_gitlab_job_is_named() -> None:
    started = {"GITLAB_CI": "true", "GITLAB_USER_LOGIN": "ada"}
    assert reviewer(started) == ""
    assert reviewer(started | {"CI_JOB_MANUAL": "true"}) == "ada at GitLab"


def test_a_laptop_has_no_reviewer() -> None:
    assert reviewer({}) == ""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository without a remote."""
    git(tmp_path, "init", "--quiet")
    return Repository(tmp_path)


def at(repository: Repository, origin: str) -> Repository:
    """Give a repository its origin."""
    git(repository.root, "remote", "add", "origin", origin)
    return repository


@pytest.mark.parametrize(
    ("forge", "address"),
    [(GITHUB, "http://forge/repos/team/churn"), (GITLAB, "http://forge/projects/7")],
)
def test_a_job_finds_the_forge_that_runs_it(
    repository: Repository, forge: str, address: str
) -> None:
    assert find(repository, job(forge, "http://forge")) == Forge(forge, address, TOKEN)


@pytest.mark.parametrize(
    "origin",
    [
        "https://github.com/team/churn.git",
        "https://ada@github.com/team/churn",
        "git@github.com:team/churn.git",
        "ssh://git@github.com:22/team/churn.git/",
    ],
)
def test_a_laptop_finds_github_by_its_origin(repository: Repository, origin: str) -> None:
    found = find(at(repository, origin), {"GITHUB_TOKEN": f"{TOKEN}\n", "GITLAB_TOKEN": "other"})
    assert found == Forge(GITHUB, "https://api.github.com/repos/team/churn", TOKEN)


def test_a_laptop_finds_gitlab_by_its_origin(repository: Repository) -> None:
    there = at(repository, "git@gitlab.example.com:team/risk/churn.git")
    found = find(there, {"GITHUB_TOKEN": "other", "GITLAB_TOKEN": TOKEN})
    address = "https://gitlab.example.com/api/v4/projects/team%2Frisk%2Fchurn"
    assert found == Forge(GITLAB, address, TOKEN)


@pytest.mark.parametrize("origin", ["/srv/gitlab/churn.git", "git@elsewhere.example:team/churn"])
def test_no_token_is_sent_to_an_origin_that_is_at_no_forge(
    repository: Repository, origin: str
) -> None:
    with pytest.raises(NoForge) as refusal:
        find(at(repository, origin), {"GITHUB_TOKEN": TOKEN, "GITLAB_TOKEN": TOKEN})
    assert refusal.value.exit_code == 2
    assert TOKEN not in str(refusal.value)


@pytest.mark.parametrize(
    ("forge", "token"), [(GITHUB, "GITHUB_TOKEN is"), (GITLAB, "FORGE_TOKEN is")]
)
def test_the_error_of_a_job_without_its_token_names_the_token(
    repository: Repository, forge: str, token: str
) -> None:
    variables = {**job(forge, "http://forge"), "FORGE_TOKEN": "", "GITHUB_TOKEN": ""}
    with pytest.raises(NoForge) as refusal:
        find(repository, variables)
    assert token in refusal.value.why


def test_a_refusal_says_why_and_never_the_token() -> None:
    stand_in = StandInForge(refused="GET /issues")
    with listening(answer=stand_in) as listener:
        forge = Forge(GITHUB, f"{listener.address}/repos/team/churn", TOKEN)
        with pytest.raises(ForgeFailed) as refusal:
            forge.ask("GET", "/issues")
    assert str(refusal.value) == "GitHub answered 403: not with ***"
    assert TOKEN not in repr(forge)


@pytest.mark.parametrize(
    ("address", "token", "why"),
    [
        ("http://127.0.0.1:9", TOKEN, "ConnectionRefusedError"),
        ("http://127.0.0.1:9", f"{TOKEN}\nX: y", "ValueError"),
        ("forge", TOKEN, "ValueError"),
    ],
)
def test_the_error_of_a_dead_forge_does_not_hold_the_token(
    address: str, token: str, why: str
) -> None:
    with pytest.raises(ForgeFailed) as refusal:
        Forge(GITHUB, address, token).ask("GET", "/issues")
    assert str(refusal.value) == f"GitHub gave no readable answer: {why}"


def test_an_answer_that_is_no_json_is_no_answer() -> None:
    with listening(body=b"<html>") as listener, pytest.raises(ForgeFailed, match="JSONDecode"):
        Forge(GITLAB, listener.address, TOKEN).ask("GET", "/issues")


def test_the_token_follows_no_redirect() -> None:
    with listening() as elsewhere, listening(status=302) as listener:
        listener.location = f"{elsewhere.address}/issues"
        Forge(GITHUB, listener.address, TOKEN).ask("GET", "/issues")
    ((_, headers, _),) = elsewhere.requests
    assert TOKEN not in str(headers)


def test_a_list_is_read_to_its_last_page() -> None:
    many = [{"title": str(number)} for number in range(250)]
    with listening(answer=StandInForge({"issues": many})) as listener:
        forge = Forge(GITLAB, f"{listener.address}/projects/7", TOKEN)
        assert list(forge.entries("/issues?state=opened")) == many
    assert len(listener.requests) == 3
