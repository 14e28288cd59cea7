"""The GitLab pipeline of a fresh repository, run: green, red where it must be, released and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import gitlab_runner
import pipelines
import pytest
from engine import CACHE_VARIABLE
from gitlab_runner import GitLab, Pipeline, RunnerMissing
from living import Living
from pipelines import FAULTS, TOKEN, Project, write_a_sentence

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
    with pipelines.project(living, tmp_path_factory.mktemp("gitlab")) as project:
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
def red(project: Project, gitlab: GitLab) -> dict[str, Pipeline]:
    """Return the pipelines of merge requests with a fault each, of one check each."""
    for branch, fault in FAULTS.items():
        project.propose(branch, fault.plant)
    with ThreadPoolExecutor(gitlab_runner.PLACES) as threads:
        begun = {
            branch: threads.submit(
                gitlab.run, f"check: [{fault.session}]", source=MERGE_REQUEST, branch=branch
            )
            for branch, fault in FAULTS.items()
        }
    return {branch: pipeline.result() for branch, pipeline in begun.items()}


@dataclass(frozen=True)
class Release:
    """A commit on main on its way, and what was served on that way.

    Parameters
    ----------
    to_staging, unapproved, to_prod : Pipeline
    staging, prod : str
        The releases that were served at the end.
    """

    to_staging: Pipeline
    unapproved: Pipeline
    to_prod: Pipeline
    staging: str
    prod: str


def release(project: Project, gitlab: GitLab) -> Release:
    """Release what is on main; prod wants an approval, and does without it what it must."""
    to_staging = gitlab.run("release")
    print(to_staging)
    unapproved = gitlab.run("production", CI_JOB_MANUAL="true")
    project.repository.ask("approve", "--env", "prod")
    to_prod = gitlab.run("production", CI_JOB_MANUAL="true")
    print(to_prod)
    served = [project.served(environment) for environment in ("staging", "prod")]
    return Release(to_staging, unapproved, to_prod, *served)


@pytest.fixture(scope="module")
def releases(project: Project, gitlab: GitLab) -> list[Release]:
    first = release(project, gitlab)
    learn_more_slowly(project.repository)
    project.repository.git("push", "--quiet", "origin", "main")
    return [first, release(project, gitlab)]


@pytest.fixture(scope="module")
def rollback(gitlab: GitLab, releases: list[Release]) -> Pipeline:
    done = gitlab.run("rollback-prod", CI_JOB_MANUAL="true")
    print(done)
    return done


def test_a_merge_request_is_green_on_a_fresh_repository(project: Project, green: Pipeline) -> None:
    assert green.is_green, green.said
    ended = {name: job.result for name, job in green.jobs.items()}
    assert ended == {f"check: [{session}]": "success" for session in project.sessions}


def test_a_check_keeps_its_reports(project: Project, green: Pipeline) -> None:
    for session in project.sessions:
        report = "quick-gate" if session == "gate" else session
        kept = green.jobs[f"check: [{session}]"].artifacts / "reports"
        assert {f"{report}.json", f"{report}.md"} <= {path.name for path in kept.iterdir()}


@pytest.mark.parametrize("branch", FAULTS)
def test_a_fault_turns_its_check_and_the_pipeline_red(
    red: dict[str, Pipeline], branch: str
) -> None:
    check = red[branch].jobs[f"check: [{FAULTS[branch].session}]"]
    assert check.result == "failed"
    assert FAULTS[branch].said in check.log
    assert list((check.artifacts / "reports").glob("*.md"))
    assert TOKEN not in red[branch].said
    assert not red[branch].is_green


def test_main_is_released_after_its_checks_and_prod_and_rollbacks_are_buttons(
    gitlab: GitLab, project: Project
) -> None:
    jobs = gitlab.jobs()
    assert {f"check: [{session}]" for session in project.sessions} < set(jobs)
    assert (jobs["release"]["when"], jobs["release"]["stage"]) == ("on_success", "release")
    for button in ("production", "rollback-staging", "rollback-prod"):
        assert jobs[button]["when"] == "manual"


def test_a_merge_request_releases_nothing(gitlab: GitLab, project: Project) -> None:
    jobs = gitlab.jobs(source=MERGE_REQUEST)
    assert {job["stage"] for job in jobs.values()} == {"check"}


def test_a_commit_on_main_is_served_in_staging(releases: list[Release]) -> None:
    for each in releases:
        assert each.to_staging.is_green, each.to_staging.said
    first, second = releases
    assert first.staging != second.staging


def test_prod_serves_it_once_it_is_approved_and_not_before(releases: list[Release]) -> None:
    for each in releases:
        assert each.unapproved.jobs["production"].result == "failed"
        assert f"release {each.staging} is not approved for prod" in each.unapproved.said
        assert each.to_prod.is_green, each.to_prod.said
        assert each.prod == each.staging


def test_the_rollback_button_brings_the_release_before_back(
    project: Project, releases: list[Release], rollback: Pipeline
) -> None:
    first, second = releases
    assert rollback.is_green, rollback.said
    assert project.served("prod") == first.prod
    assert project.served("staging") == second.staging


def test_no_planted_token_is_in_anything_that_was_left_behind(
    project: Project, green: Pipeline, red: dict[str, Pipeline], rollback: Pipeline
) -> None:
    assert project.machine.leaks(project.remote) == []
    everything = [green, rollback, *red.values()]
    assert not [pipeline for pipeline in everything if project.machine.mark in pipeline.said]
