"""The GitLab pipeline of a fresh repository, run: green, red where it must be, released and back."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import gitlab_runner
import ci_project
import pytest
from engine import CACHE_VARIABLE
from gitlab_runner import GitLab, Pipeline, RunnerMissing
from living import Living
from ci_project import FAULTS, TOKEN, Project, write_a_sentence

from demo.changes import learn_more_slowly

MERGE_REQUEST = "merge_request_event"


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return how gitlab-ci-local is called, installed now unless a cache has it."""
    cache = os.environ.get(CACHE_VARIABLE)
    folder = Path(cache, "gitlab-ci-local") if cache else tmp_path_factory.mktemp("npm")
    try:
        return gitlab_runner.install(folder)
    except RunnerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def project(
    tool: list[str], living: Living, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    with ci_project.project(living, tmp_path_factory.mktemp("gitlab")) as project:
        yield project


@pytest.fixture(scope="module")
def gitlab(tool: list[str], project: Project) -> GitLab:
    return GitLab(project.machine, project.remote, tool)


@pytest.fixture(scope="module")
def green(project: Project, gitlab: GitLab) -> Pipeline:
    """Return the pipeline of a merge request that breaks nothing."""
    project.propose("harmless", write_a_sentence)
    done = gitlab.run(source=MERGE_REQUEST, branch="harmless")
    print(done)
    return done


@pytest.fixture(scope="module")
def checks(project: Project, gitlab: GitLab) -> dict[str, str]:
    """Return the name of each session's job."""
    jobs = gitlab.jobs(source=MERGE_REQUEST)
    named = {name: re.fullmatch(r"check: \[(\w+)(,.*)?\]", name) for name in jobs}
    return {match[1]: name for name, match in named.items() if match}


@pytest.fixture(scope="module")
def red(project: Project, gitlab: GitLab, checks: dict[str, str]) -> dict[str, Pipeline]:
    """Return the pipelines of merge requests with a fault each, of one check each."""
    for branch, fault in FAULTS.items():
        project.propose(branch, fault.plant)
    with ThreadPoolExecutor(gitlab_runner.PLACES) as threads:
        begun = {
            branch: threads.submit(
                gitlab.run, checks[fault.session], source=MERGE_REQUEST, branch=branch
            )
            for branch, fault in FAULTS.items()
        }
    return {branch: pipeline.result() for branch, pipeline in begun.items()}


@dataclass(frozen=True)
class Story:
    """Two commits on main, and how they came to prod.

    Parameters
    ----------
    staged, promoted : list of Pipeline
        Of each commit, the jobs ``release`` and ``production``.
    refused : Pipeline
        The job ``production`` of the first commit, before it was approved.
    served : list of (str, str)
        What staging and prod served after each commit.
    """

    staged: list[Pipeline]
    promoted: list[Pipeline]
    refused: Pipeline
    served: list[tuple[str, str]]


def press(gitlab: GitLab, button: str, **variables: str) -> Pipeline:
    """Start a manual job."""
    done = gitlab.run(button, CI_JOB_MANUAL="true", **variables)
    print(done)
    return done


@pytest.fixture(scope="module")
def story(project: Project, gitlab: GitLab) -> Story:
    """Return two releases."""
    repository = project.repository
    staged = [gitlab.run("release")]
    print(staged[0])
    refused = press(gitlab, "production")
    repository.ask("approve", "--env", "prod")
    promoted = [press(gitlab, "production")]
    served = [(project.served("staging"), project.served("prod"))]
    learn_more_slowly(repository)
    repository.git("push", "--quiet", "origin", "main")
    staged.append(gitlab.run("release"))
    repository.ask("approve", "--env", "prod")
    promoted.append(press(gitlab, "production"))
    served.append((project.served("staging"), project.served("prod")))
    return Story(staged, promoted, refused, served)


@pytest.fixture(scope="module")
def rollback(gitlab: GitLab, story: Story) -> Pipeline:
    """Return the pipeline of the rollback button, pressed after the story."""
    return press(gitlab, "rollback-prod", REASON="customers complained")


def test_a_merge_request_is_green_on_a_fresh_repository(
    project: Project, checks: dict[str, str], green: Pipeline
) -> None:
    assert green.is_green, green.said
    assert set(checks) == set(project.sessions)
    ended = {name: job.result for name, job in green.jobs.items()}
    assert ended == dict.fromkeys(checks.values(), "success")


def test_a_check_keeps_its_reports(checks: dict[str, str], green: Pipeline) -> None:
    for session, name in checks.items():
        report = "quick-gate" if session == "gate" else session
        kept = green.jobs[name].artifacts / "reports"
        assert {f"{report}.json", f"{report}.md"} <= {path.name for path in kept.iterdir()}


@pytest.mark.parametrize("branch", FAULTS)
def test_a_fault_turns_its_check_and_the_pipeline_red(
    checks: dict[str, str], red: dict[str, Pipeline], branch: str
) -> None:
    check = red[branch].jobs[checks[FAULTS[branch].session]]
    assert check.result == "failed"
    assert FAULTS[branch].said in check.log
    assert list((check.artifacts / "reports").glob("*.md"))
    assert TOKEN not in red[branch].said
    assert not red[branch].is_green


def test_main_is_released_after_its_checks_and_prod_and_rollbacks_are_buttons(
    gitlab: GitLab, checks: dict[str, str]
) -> None:
    jobs = gitlab.jobs()
    assert set(checks.values()) < set(jobs)
    assert (jobs["release"]["when"], jobs["release"]["stage"]) == ("on_success", "release")
    for button in ("production", "rollback-staging", "rollback-prod"):
        assert jobs[button]["when"] == "manual"


def test_a_merge_request_releases_nothing(gitlab: GitLab) -> None:
    jobs = gitlab.jobs(source=MERGE_REQUEST)
    assert {job["stage"] for job in jobs.values()} == {"check"}


def test_a_commit_on_main_is_scanned_then_served_in_staging(story: Story) -> None:
    for pipeline in story.staged:
        assert pipeline.is_green, pipeline.said
        assert "Session scan was successful" in pipeline.jobs["release"].log
    assert story.served[0] != story.served[1]


def test_prod_serves_it_once_it_is_approved_and_not_before(story: Story) -> None:
    assert story.refused.jobs["production"].result == "failed"
    assert "is not approved for prod" in story.refused.said
    for pipeline, (in_staging, in_prod) in zip(story.promoted, story.served, strict=True):
        assert pipeline.is_green, pipeline.said
        assert in_prod == in_staging


def test_the_rollback_button_brings_the_release_before_back(
    project: Project, story: Story, rollback: Pipeline
) -> None:
    (first, _), (second, _) = story.served
    assert rollback.is_green, rollback.said
    assert project.served("prod") == first
    assert project.served("staging") == second
    assert project.repository.ask("history", "--env", "prod")[0]["reason"] == "customers complained"


def test_no_planted_token_is_in_anything_that_was_left_behind(
    project: Project, green: Pipeline, red: dict[str, Pipeline], rollback: Pipeline
) -> None:
    assert project.machine.leaks(project.remote) == []
    everything = [green, rollback, *red.values()]
    assert not [pipeline for pipeline in everything if project.machine.mark in pipeline.said]
