"""The forge's reviewer is recorded where a forge's job promotes."""

from __future__ import annotations

import json

from release.forge import reviewer
from tests.listener import listening

REVIEWS = [
    {"state": "approved", "user": {"login": "grace"}},
    {"state": "rejected", "user": {"login": "linus"}},
]


def github(address: str) -> dict[str, str]:
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": address,
        "GITHUB_REPOSITORY": "team/churn",
        "GITHUB_RUN_ID": "7",
        "GITHUB_TOKEN": "planted-secret",
    }


def test_whoever_approved_a_github_run_is_named() -> None:
    with listening(body=json.dumps(REVIEWS).encode()) as listener:
        assert reviewer(github(listener.address)) == "grace at GitHub"
    ((path, headers, _),) = listener.requests
    assert path == "/repos/team/churn/actions/runs/7/approvals"
    assert headers["Authorization"] == "Bearer planted-secret"


def test_a_run_that_nobody_had_to_approve_has_no_reviewer() -> None:
    with listening(body=b"[]") as listener:
        assert reviewer(github(listener.address)) == ""


def test_a_forge_that_does_not_answer_is_recorded_as_that() -> None:
    with listening(status=403) as listener:
        said = reviewer(github(listener.address))
    assert said == "somebody, who could not be read at GitHub"


def test_whoever_started_a_manual_gitlab_job_is_named() -> None:
    job = {"GITLAB_CI": "true", "GITLAB_USER_LOGIN": "ada"}
    assert reviewer(job) == ""
    assert reviewer(job | {"CI_JOB_MANUAL": "true"}) == "ada at GitLab"


def test_a_laptop_has_no_reviewer() -> None:
    assert reviewer({}) == ""
